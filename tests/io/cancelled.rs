//! The state of the standard streams after cancelled threads, and waits when no descriptor is left.

use crate::child::{MARK, command, finish, is_child, start};
use crate::support::{on_one_worker, until_one_waits_in};
use rustlet::io::{self, BufRead, Read, Write, pipe, stdin, stdout};
use rustlet::{Builder, Cancelled, JoinHandle, spawn_local, yield_now};
use std::collections::HashSet;
use std::os::fd::AsFd;
use std::time::Duration;

fn assert_cancelled<T>(thread: JoinHandle<T>) {
    thread.cancel();
    assert!(
        thread
            .join()
            .is_err_and(|payload| payload.is::<Cancelled>())
    );
}

/// Threads print into a file when `run` ends, or a limit around them elapses: each line is there at
/// most once, and whole.
#[test]
fn lines_of_a_file_come_once() {
    let name = "cancelled::lines_of_a_file_come_once";
    if is_child(name) {
        for round in 0..5 {
            Builder::new()
                .workers(1 + round % 2)
                .build()
                .unwrap()
                .run(move || {
                    let lines = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
                    for thread in 0..8 {
                        let lines = lines.clone();
                        rustlet::spawn(move || {
                            for number in 0.. {
                                let print = || {
                                    writeln!(stdout(), "{MARK}{round} {thread} {number} end")
                                        .unwrap();
                                };
                                match number % 2 {
                                    0 => print(),
                                    _ => drop(rustlet::timeout(
                                        Duration::from_micros(number % 50),
                                        print,
                                    )),
                                }
                                lines.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                            }
                        });
                    }
                    while lines.load(std::sync::atomic::Ordering::Relaxed) < 1000 {
                        yield_now();
                    }
                });
        }
        return;
    }
    let path = std::env::temp_dir().join(format!("rustlet-lines-{}", std::process::id()));
    let file = std::fs::File::create(&path).unwrap();
    let output = command(name).stdout(file).output().unwrap();
    assert!(output.status.success());
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    let mut seen = HashSet::new();
    for (_, line) in text.lines().filter_map(|line| line.split_once(MARK)) {
        assert!(
            line.split(' ').count() == 4 && line.ends_with(" end"),
            "cut off: {line}"
        );
        assert!(seen.insert(line), "twice: {line}");
    }
    assert!(seen.len() > 1000);
}

/// A thread is cancelled in the middle of a line that is longer than the pipe.
#[test]
fn a_long_line_comes_whole() {
    let name = "cancelled::a_long_line_comes_whole";
    if is_child(name) {
        let way = std::env::var("WAY").unwrap();
        return on_one_worker(|| {
            let writer = spawn_local(move || {
                let line = format!("{MARK}{}", "x".repeat(200_000));
                match &*way {
                    "writeln" => writeln!(stdout(), "{line}").unwrap(),
                    "write_all" => stdout().write_all(format!("{line}\n").as_bytes()).unwrap(),
                    other => panic!("{other}"),
                }
            });
            until_one_waits_in("write");
            assert_cancelled(writer);
            writeln!(rustlet::io::stderr(), "cancelled").unwrap();
            writeln!(stdout(), "{MARK}next").unwrap();
        });
    }
    for way in ["writeln", "write_all"] {
        let mut child = command(name).env("WAY", way).spawn().unwrap();
        let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
        stderr.read_line(&mut String::new()).unwrap();
        let lines = finish(child);
        let lengths: Vec<_> = lines.iter().map(String::len).collect();
        assert_eq!(lengths, [200_000, 4], "{way}");
    }
}

/// The process ends although the remaining output of a cancelled thread is never read.
#[test]
fn the_end_of_the_process_does_not_wait_for_what_is_left() {
    let name = "cancelled::the_end_of_the_process_does_not_wait_for_what_is_left";
    if is_child(name) {
        on_one_worker(|| {
            let writer = spawn_local(|| {
                loop {
                    writeln!(stdout(), "{MARK}line").unwrap();
                }
            });
            until_one_waits_in("write");
            drop(writer);
        });
        // The harness would write, and wait.
        std::process::exit(0);
    }
    let mut child = start(name);
    // It ends with its pipe full.
    assert!(child.wait().unwrap().success());
}

/// The bytes that a cancelled reader of standard input had received are there for the next reader.
#[test]
fn a_piece_of_a_line_is_kept() {
    let name = "cancelled::a_piece_of_a_line_is_kept";
    if is_child(name) {
        type Read = fn() -> String;
        fn text(bytes: Vec<u8>) -> String {
            String::from_utf8(bytes).unwrap()
        }
        let reads: [Read; 6] = [
            || {
                let mut line = String::new();
                stdin().read_line(&mut line).unwrap();
                line
            },
            || stdin().lines().next().unwrap().unwrap() + "\n",
            || {
                let mut bytes = Vec::new();
                stdin().lock().read_until(b'\n', &mut bytes).unwrap();
                text(bytes)
            },
            || text(stdin().lock().split(b'\n').next().unwrap().unwrap()) + "\n",
            || {
                let mut bytes = vec![0; 6];
                stdin().read_exact(&mut bytes).unwrap();
                text(bytes)
            },
            || {
                let mut text = String::new();
                stdin().read_to_string(&mut text).unwrap();
                text
            },
        ];
        return on_one_worker(|| {
            for read in reads {
                writeln!(stdout(), "{MARK}begin").unwrap();
                io::wait_readable(stdin()).unwrap();
                let reader = spawn_local(read);
                until_one_waits_in("read");
                assert_cancelled(reader);
                writeln!(stdout(), "{MARK}go on").unwrap();
                assert_eq!(read(), "hello\n");
            }
        });
    }
    let mut child = start(name);
    let mut stdin = Some(child.stdin.take().unwrap());
    let mut begun = 0;
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(Ok(line)) = lines.next() {
        let mut send = |text: &str| stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
        if line.ends_with("begin") {
            begun += 1;
            send("hel");
        } else if line.ends_with("go on") {
            send("lo\n");
            if begun == 6 {
                stdin = None;
            }
        }
    }
    finish(child);
    assert_eq!(begun, 6);
}

/// At the limit of open files every wait for a descriptor works as before.
#[test]
fn no_descriptor_is_needed_to_wait() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let name = "cancelled::no_descriptor_is_needed_to_wait";
    if is_child(name) {
        return on_one_worker(|| {
            let (mut reader, mut writer) = pipe().unwrap();
            let (watched, mut signal) = std::io::pipe().unwrap();
            let mut cat = rustlet::process::Command::new("cat");
            cat.stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped());
            let mut child = cat.spawn().unwrap();
            let (mut to_child, mut from_child) =
                (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            let limit = Some(64);
            setrlimit(
                Resource::Nofile,
                Rlimit {
                    current: limit,
                    maximum: limit,
                },
            )
            .unwrap();
            let held: Vec<_> =
                std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
            assert!(!held.is_empty());

            let thread = spawn_local(move || (reader.read(&mut [0; 5]).unwrap(), reader));
            let watching = spawn_local(move || {
                io::wait_readable(&watched).unwrap();
                let soon = Duration::from_millis(3);
                assert!(io::wait_readable_timeout(&watched, Duration::ZERO).unwrap());
                (&watched).read_exact(&mut [0]).unwrap();
                assert!(!io::wait_readable_timeout(&watched, soon).unwrap());
                watched
            });
            let child_reader = spawn_local(move || {
                let mut bytes = [0; 3];
                from_child.read_exact(&mut bytes).unwrap();
                bytes
            });
            let input = spawn_local(|| {
                let mut line = String::new();
                stdin().read_line(&mut line).unwrap();
                line
            });
            until_one_waits_in("readiness of a descriptor");
            // More than fits into the pipe; the parent reads it when it is notified.
            let printer = spawn_local(|| {
                for _ in 0..300 {
                    writeln!(stdout(), "{MARK}{}", "x".repeat(1000)).unwrap();
                }
            });
            until_one_waits_in("write");
            assert!(held[0].as_fd().try_clone_to_owned().is_err());
            writeln!(rustlet::io::stderr(), "full").unwrap();
            printer.join().unwrap();
            assert_eq!(input.join().unwrap(), "line\n");
            writer.write_all(b"hello").unwrap();
            assert_eq!(thread.join().unwrap().0, 5);
            signal.write_all(b"x").unwrap();
            drop(watching.join().unwrap());
            to_child.write_all(b"cat").unwrap();
            assert_eq!(&child_reader.join().unwrap(), b"cat");
            drop(to_child);
            assert!(child.wait().unwrap().success());
            drop(held);
        });
    }
    let mut child = start(name);
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "full\n");
    child.stdin.take().unwrap().write_all(b"line\n").unwrap();
    assert_eq!(finish(child).len(), 300);
}
