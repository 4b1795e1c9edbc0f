//! The standard streams, in children: they behave as std's.

use super::io::{self, BufRead, IsTerminal, Read, Write, stderr, stdin, stdout};
use super::{NAME, enter, thread};
use crate::child::{command, finish, is_child, lines, start};
use std::os::fd::AsRawFd;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::process::Stdio;

/// Returns the name of the test `test` here.
fn named(test: &str) -> String {
    format!("{NAME}::standard::{test}")
}

#[test]
fn the_types_have_the_auto_traits() {
    fn has_them<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + 'static>() {}
    has_them::<io::Stdin>();
    has_them::<io::Stdout>();
    has_them::<io::Stderr>();
    assert_eq!(format!("{:?}", stdin()), "Stdin { .. }");
    assert_eq!(format!("{:?}", stdout()), "Stdout { .. }");
    assert_eq!(format!("{:?}", stderr()), "Stderr { .. }");
    assert_eq!(format!("{:?}", stdout().lock()), "StdoutLock { .. }");
    assert_eq!(format!("{:?}", stderr().lock()), "StderrLock { .. }");
    assert_eq!([stdin().as_raw_fd(), stdout().as_raw_fd(), stderr().as_raw_fd()], [0, 1, 2]);
}

#[test]
fn lines_go_through() {
    let name = named("lines_go_through");
    if is_child(&name) {
        return enter(|| {
            assert!(!stdin().is_terminal());
            let mut first = String::new();
            assert_eq!(stdin().read_line(&mut first).unwrap(), 6);
            writeln!(stdout(), "> first {first:?}").unwrap();
            let mut two = [0; 2];
            stdin().read_exact(&mut two).unwrap();
            writeln!(&stdout(), "> two {two:?}").unwrap();
            let mut locked = stdin().lock();
            let mut out = stdout().lock();
            writeln!(out, "> peeked {:?}", locked.fill_buf().unwrap().first()).unwrap();
            drop(locked);
            for line in stdin().lines() {
                write!(out, "> line ").unwrap();
                // This thread already holds the lock.
                writeln!(stdout(), "{}", line.unwrap()).unwrap();
            }
            drop(out);
            let mut rest = String::new();
            assert_eq!((&stdin()).read_to_string(&mut rest).unwrap(), 0);
        });
    }
    let mut child = start(&name);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"hello\nabc\nd\n").unwrap();
    drop(stdin);
    assert_eq!(
        finish(child),
        ["first \"hello\\n\"", "two [97, 98]", "peeked Some(99)", "line c", "line d"]
    );
}

/// Requests and answers: each side waits for the other.
#[test]
fn a_dialogue() {
    let name = named("a_dialogue");
    if is_child(&name) {
        return enter(|| {
            for line in stdin().lock().lines() {
                writeln!(stdout(), "> {}!", line.unwrap()).unwrap();
            }
        });
    }
    let mut child = start(&name);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    for number in 0..100 {
        writeln!(stdin, "{number}").unwrap();
        let mut line = String::new();
        while !line.contains("> ") {
            line.clear();
            std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        }
        assert!(line.ends_with(&format!("> {number}!\n")), "{line}");
    }
    drop(stdin);
    std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
    finish(child);
}

#[test]
fn buffered_output_is_written_at_the_end() {
    let name = named("buffered_output_is_written_at_the_end");
    if is_child(&name) {
        enter(|| write!(stdout(), "\n> no line yet").unwrap());
        std::process::exit(0);
    }
    assert_eq!(finish(start(&name)), ["no line yet"]);
}

/// The process ends in the middle of a green thread that holds the lock.
#[test]
fn exit_inside_with_the_lock_held() {
    let name = named("exit_inside_with_the_lock_held");
    if is_child(&name) {
        return enter(|| {
            let mut locked = stdout().lock();
            write!(locked, "\n> held").unwrap();
            std::process::exit(0);
        });
    }
    assert_eq!(finish(start(&name)), ["held"]);
}

#[test]
fn only_whole_lines_are_written_at_once() {
    let name = named("only_whole_lines_are_written_at_once");
    if is_child(&name) {
        return enter(|| {
            write!(stdout(), "\n> one\n> tw").unwrap();
            writeln!(stderr(), "> between").unwrap();
            // The parent answers when it has seen both.
            stdin().read_line(&mut String::new()).unwrap();
            writeln!(stdout(), "o").unwrap();
            write!(stdout(), "> three").unwrap();
            stdout().flush().unwrap();
            stdin().read_line(&mut String::new()).unwrap();
        });
    }
    let mut child = start(&name);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut seen = Vec::new();
    let mut until = |end: &[u8]| {
        while !seen.ends_with(end) {
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
        lines(&seen)
    };
    assert_eq!(until(b"> one\n"), ["one"]);
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("between") {
        std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
    }
    writeln!(stdin).unwrap();
    assert_eq!(until(b"> three"), ["one", "two", "three"]);
    writeln!(stdin).unwrap();
    std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn several_buffers_at_once() {
    let name = named("several_buffers_at_once");
    if is_child(&name) {
        return enter(|| {
            let write = |texts: &[&str]| {
                let bufs: Vec<_> = texts.iter().map(|text| io::IoSlice::new(text.as_bytes())).collect();
                stdout().write_vectored(&bufs).unwrap()
            };
            assert_eq!(write(&["", "\n> one\n> t", "wo\n> thr"]), 18);
            assert_eq!(write(&["", "ee\n", ""]), 3);
            assert_eq!(write(&[""]), 0);
            assert_eq!(write(&[]), 0);
            assert_eq!(stderr().write_vectored(&[io::IoSlice::new(b"> a"), io::IoSlice::new(b"b\n")]).unwrap(), 5);
        });
    }
    assert_eq!(finish(start(&name)), ["one", "two", "three"]);
}

/// Lines of several threads are not mixed, and all arrive, however slow the reader is.
#[test]
fn many_writers() {
    let name = named("many_writers");
    if is_child(&name) {
        return enter(|| {
            thread::scope(|scope| {
                for thread in 0..4 {
                    scope.spawn(move || {
                        for line in 0..500 {
                            writeln!(stdout(), "> {thread} {line} {}", "x".repeat(100)).unwrap();
                        }
                    });
                }
            });
        });
    }
    let mut seen = [0; 4];
    let lines = finish(start(&name));
    assert_eq!(lines.len(), 2000);
    for line in lines {
        let mut words = line.split(' ');
        let thread: usize = words.next().unwrap().parse().unwrap();
        assert_eq!(words.next().unwrap(), seen[thread].to_string());
        assert_eq!(words.next().unwrap().len(), 100);
        seen[thread] += 1;
    }
}

#[test]
fn streams_that_are_files() {
    let name = named("streams_that_are_files");
    if is_child(&name) {
        return enter(|| {
            let mut all = String::new();
            stdin().read_to_string(&mut all).unwrap();
            writeln!(stdout(), "> {all}").unwrap();
            writeln!(stdout(), "> end").unwrap();
        });
    }
    let dir = std::env::temp_dir();
    let path = dir.join(format!("rustlet-test-io-{NAME}-{}", std::process::id()));
    std::fs::write(&path, "from a file").unwrap();
    let file = || std::fs::File::open(&path).unwrap();
    let output = command(&name).stdin(file()).output().unwrap();
    assert!(output.status.success());
    assert_eq!(lines(&output.stdout), ["from a file", "end"]);
    let out = dir.join(format!("rustlet-test-io-{NAME}-out-{}", std::process::id()));
    let written = std::fs::File::create(&out).unwrap();
    assert!(command(&name).stdin(file()).stdout(written).status().unwrap().success());
    assert_eq!(lines(&std::fs::read(&out).unwrap()), ["from a file", "end"]);
    // And without any input.
    assert!(command(&name).stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap().success());
    std::fs::remove_file(path).unwrap();
    std::fs::remove_file(out).unwrap();
}

#[test]
fn streams_that_are_closed() {
    let name = named("streams_that_are_closed");
    if is_child(&name) {
        return enter(|| {
            // Closed by the child itself, because std's start-up puts `/dev/null` where a stream is
            // missing.
            // SAFETY: from here on only the tested code uses them in this process.
            unsafe { close_both() };
            assert_eq!(stdin().read(&mut [0]).unwrap(), 0);
            stdout().write_all(b"not read by any process\n").unwrap();
            stdout().flush().unwrap();
            assert_eq!(stdout().as_raw_fd(), 1);
            std::process::exit(0);
        });
    }
    finish(start(&name));
}

/// Closes standard input and output.
///
/// # Safety
///
/// No other code relies on them.
unsafe fn close_both() {
    for number in [0, 1] {
        // SAFETY: the caller's promise.
        drop(unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(number) });
    }
}

/// A reader that disappears is an error, not a signal.
#[test]
fn a_reader_that_goes_away() {
    let name = named("a_reader_that_goes_away");
    if is_child(&name) {
        return enter(|| {
            writeln!(stdout(), "> ready").unwrap();
            // The parent has closed the other end when this ends.
            stdin().read_line(&mut String::new()).unwrap();
            let error = loop {
                if let Err(error) = writeln!(stdout(), "> hello") {
                    break error;
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            std::process::exit(0);
        });
    }
    let mut child = start(&name);
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert!(lines.map(Result::unwrap).any(|line| line.contains("> ready")));
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What the runtime opens does not take the number of a stream that the program has closed.
#[test]
fn streams_that_the_program_has_closed_stay_closed() {
    let name = named("streams_that_the_program_has_closed_stay_closed");
    if is_child(&name) {
        // SAFETY: from here on only the tested code uses them in this process.
        unsafe { close_both() };
        return enter(|| {
            let mut text = String::new();
            assert_eq!(stdin().read_to_string(&mut text).unwrap(), 0);
            stdout().write_all(b"to nobody\n").unwrap();
            stdout().flush().unwrap();
            thread::sleep(std::time::Duration::from_millis(1));
        });
    }
    finish(start(&name));
}
