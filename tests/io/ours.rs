//! Features beyond std's streams: workers that continue, cancellation, flags that stay unchanged.

use crate::child::{command, finish, is_child, start};
use crate::support::competing::is_nonblocking;
use crate::support::{on_one_worker, until_one_waits_in};
use rustlet::io::{BufRead, Read, Write, pipe, stdin, stdout};
use rustlet::{Cancelled, spawn_local};
use std::time::Duration;

#[test]
fn a_pipe_stays_in_blocking_mode() {
    on_one_worker(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let thread = spawn_local(move || {
            reader.read_exact(&mut [0]).unwrap();
            reader
        });
        until_one_waits_in("read");
        writer.write_all(&[0]).unwrap();
        assert!(!is_nonblocking(thread.join().unwrap()));
        assert!(!is_nonblocking(writer));
    });
}

#[test]
fn waiting_for_a_pipe_does_not_block_the_worker() {
    on_one_worker(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let thread = spawn_local(move || {
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            (reader, byte[0])
        });
        until_one_waits_in("read");
        writer.write_all(&[7]).unwrap();
        let (mut reader, byte) = thread.join().unwrap();
        assert_eq!(byte, 7);
        let thread = spawn_local(move || writer.write_all(&[1; 1 << 20]));
        until_one_waits_in("write");
        reader.read_exact(&mut vec![0; 1 << 20]).unwrap();
        thread.join().unwrap().unwrap();
    });
}

#[test]
fn a_cancelled_end_unwinds() {
    on_one_worker(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let thread = spawn_local(move || reader.read(&mut [0]).map(drop));
        until_one_waits_in("read");
        thread.cancel();
        assert!(thread.join().unwrap_err().is::<Cancelled>());
        // A child that another test has just forked may have the other end, for a moment.
        while writer.write(b"x").is_ok() {}
    });
}

#[test]
fn data_that_arrives_after_the_limit_is_not_lost() {
    on_one_worker(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let mut buf = [0; 9];
        let late = rustlet::timeout(Duration::from_millis(1), || reader.read(&mut buf));
        assert!(late.is_err());
        writer.write_all(b"late").unwrap();
        assert_eq!(reader.read(&mut buf).unwrap(), 4);
    });
}

#[test]
fn waiting_for_standard_input_does_not_block_the_worker() {
    let name = "ours::waiting_for_standard_input_does_not_block_the_worker";
    if is_child(name) {
        return on_one_worker(|| {
            let reader = spawn_local(|| {
                let mut line = String::new();
                stdin().read_line(&mut line).unwrap();
                line
            });
            until_one_waits_in("read");
            // A second one waits for the lock, and is released.
            let second = spawn_local(|| drop(stdin().lock()));
            until_one_waits_in("Mutex::lock");
            second.cancel();
            assert!(second.join().unwrap_err().is::<Cancelled>());
            writeln!(stdout(), "> ask").unwrap();
            assert_eq!(reader.join().unwrap(), "answer\n");
            assert!(!is_nonblocking(stdin()));
            assert!(!is_nonblocking(stdout()));
        });
    }
    let mut child = start(name);
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("> ask")));
    stdin.write_all(b"answer\n").unwrap();
    assert_eq!(
        lines
            .filter(|line| line.as_ref().unwrap().contains("> "))
            .count(),
        0
    );
    finish(child);
}

#[test]
fn a_cancelled_reader_of_standard_input_gives_the_lock_back() {
    let name = "ours::a_cancelled_reader_of_standard_input_gives_the_lock_back";
    if is_child(name) {
        return on_one_worker(|| {
            let reader = spawn_local(|| stdin().read_line(&mut String::new()).map(drop));
            until_one_waits_in("read");
            reader.cancel();
            assert!(reader.join().unwrap_err().is::<Cancelled>());
            writeln!(stdout(), "> gone").unwrap();
            let mut line = String::new();
            stdin().read_line(&mut line).unwrap();
            assert_eq!(line, "whole\n");
        });
    }
    let mut child = start(name);
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("> gone")));
    stdin.write_all(b"whole\n").unwrap();
    lines.for_each(|line| drop(line.unwrap()));
    finish(child);
}

/// The child's output is not read until it reports, on stderr, that its other threads continue.
#[test]
fn output_that_is_not_read_does_not_block_the_worker() {
    let name = "ours::output_that_is_not_read_does_not_block_the_worker";
    if is_child(name) {
        return on_one_worker(|| {
            let writer = spawn_local(|| {
                for _ in 0..5000 {
                    writeln!(stdout(), "> {}", "x".repeat(100)).unwrap();
                }
            });
            until_one_waits_in("write");
            assert!(!writer.is_finished());
            writeln!(rustlet::io::stderr(), "goes on").unwrap();
            writer.join().unwrap();
        });
    }
    let mut child = start(name);
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "goes on\n");
    assert_eq!(finish(child).len(), 5000);
}

/// A green thread is cancelled in the middle of a line that the pipe does not take; the buffered
/// bytes stay in order.
#[test]
fn a_cancelled_writer_leaves_the_buffer_whole() {
    let name = "ours::a_cancelled_writer_leaves_the_buffer_whole";
    if is_child(name) {
        return on_one_worker(|| {
            let writer = spawn_local(|| {
                loop {
                    writeln!(stdout(), "> {}", "x".repeat(10)).unwrap();
                }
            });
            until_one_waits_in("write");
            writer.cancel();
            assert!(writer.join().unwrap_err().is::<Cancelled>());
            writeln!(rustlet::io::stderr(), "cancelled").unwrap();
            writeln!(stdout(), "> last").unwrap();
        });
    }
    let mut child = start(name);
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut String::new()).unwrap();
    let lines = finish(child);
    let (last, others) = lines.split_last().unwrap();
    assert_eq!(last, "last");
    assert!(
        others.iter().all(|line| line == "xxxxxxxxxx"),
        "{:?}",
        others.last()
    );
}

/// Another program that shares the child's input makes it `O_NONBLOCK`, as some do.
#[test]
fn a_shared_descriptor_that_others_change() {
    let name = "ours::a_shared_descriptor_that_others_change";
    if is_child(name) {
        return on_one_worker(|| {
            let reader = spawn_local(|| {
                let mut line = String::new();
                stdin().read_line(&mut line).unwrap();
                line
            });
            until_one_waits_in("read");
            writeln!(stdout(), "> ask").unwrap();
            assert_eq!(reader.join().unwrap(), "answer\n");
        });
    }
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = rustix::fs::fcntl_getfl(&reader).unwrap() | rustix::fs::OFlags::NONBLOCK;
    rustix::fs::fcntl_setfl(&reader, flags).unwrap();
    let mut child = command(name).stdin(reader).spawn().unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("> ask")));
    writer.write_all(b"answer\n").unwrap();
    lines.for_each(|line| drop(line.unwrap()));
    finish(child);
}

/// The output of std's `print!` and of rustlet's comes out line by line, in order.
#[test]
fn lines_of_both_crates_keep_their_order() {
    let name = "ours::lines_of_both_crates_keep_their_order";
    if is_child(name) {
        return on_one_worker(|| {
            for number in 0..50 {
                println!("> std {number}");
                writeln!(stdout(), "> ours {number}").unwrap();
            }
        });
    }
    let expected: Vec<_> = (0..50)
        .flat_map(|n| [format!("std {n}"), format!("ours {n}")])
        .collect();
    assert_eq!(finish(start(name)), expected);
}

#[test]
fn time_has_its_names() {
    use rustlet::time::{Instant, SystemTime, UNIX_EPOCH, sleep, sleep_until};
    assert_eq!(SystemTime::UNIX_EPOCH, UNIX_EPOCH);
    on_one_worker(|| {
        #[allow(clippy::disallowed_methods, reason = "a test of time")]
        let start = Instant::now();
        sleep(Duration::from_millis(1));
        sleep_until(start + Duration::from_millis(2));
        assert!(start.elapsed() >= Duration::from_millis(2));
    });
}
