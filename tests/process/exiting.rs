//! `exit` from green threads, each in a child process of its own.

use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustlet::process::exit;
use rustlet::{Worker, park, sleep, spawn, spawn_local, unblock, yield_now};

use crate::support;

fn name(test: &str) -> String {
    format!("{}::{test}", module_path!().split_once("::").unwrap().1)
}

fn on_workers<T: Send>(workers: usize, case: impl FnOnce() -> T + Send) -> T {
    let runtime = rustlet::Builder::new().workers(workers).build().unwrap();
    runtime.run(case)
}

/// Exits with `code` in `case`; returns the output on stdout and stderr.
#[track_caller]
fn exits(test: &str, code: i32, case: impl FnOnce()) -> (String, String) {
    let output = support::child(&name(test), case);
    let [said, errors] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert_eq!(output.status.code(), Some(code), "{said}\n{errors}");
    (said, errors)
}

/// Reports its destruction, and waits, which would let the others run.
struct Data(Vec<u64>);

impl Drop for Data {
    fn drop(&mut self) {
        self.0.fill(0xDEAD);
        eprintln!("destroyed");
        sleep(Duration::from_millis(20));
    }
}

thread_local! {
    static DATA: Data = Data(vec![7; 64]);
}

/// A neighbour that continues to use data that the exiting thread's OS thread owns.
fn borrow_beside() {
    DATA.with(|_| ());
    spawn_local(|| {
        DATA.with(|data| {
            loop {
                yield_now();
                assert_eq!(data.0.iter().sum::<u64>(), 7 * 64);
            }
        });
    });
    yield_now();
}

#[test]
fn thread_locals_of_the_only_worker_stay() {
    let (_, errors) = exits("thread_locals_of_the_only_worker_stay", 6, || {
        on_workers(1, || {
            borrow_beside();
            exit(6);
        });
    });
    assert_eq!(errors, "");
}

#[test]
fn thread_locals_of_one_of_two_workers_stay() {
    let (_, errors) = exits("thread_locals_of_one_of_two_workers_stay", 7, || {
        on_workers(2, || {
            borrow_beside();
            exit(7);
        });
    });
    assert_eq!(errors, "");
}

#[test]
fn thread_locals_of_a_stepped_worker_stay() {
    let (_, errors) = exits("thread_locals_of_a_stepped_worker_stay", 8, || {
        Worker::scope(|worker| {
            worker.assign(borrow_beside);
            worker.tick();
            worker.assign(|| exit(8));
            worker.work();
        });
    });
    assert_eq!(errors, "");
}

/// Its green threads are suspended meanwhile, and may have lent values that they have borrowed.
#[test]
fn beside_a_stepped_worker() {
    let (_, errors) = exits("beside_a_stepped_worker", 9, || {
        Worker::scope(|worker| {
            worker.assign(borrow_beside);
            worker.tick();
            exit(9);
        });
    });
    assert_eq!(errors, "");
}

#[test]
fn buffered_output_is_written_even_if_the_caller_has_locked_it() {
    let test = "buffered_output_is_written_even_if_the_caller_has_locked_it";
    let (said, _) = exits(test, 10, || {
        on_workers(1, || {
            let mut ours = rustlet::io::stdout().lock();
            let mut stds = std::io::stdout().lock();
            write!(ours, "part of our line").unwrap();
            write!(stds, "part of std's line").unwrap();
            exit(10);
        });
    });
    assert!(said.contains("part of our line"), "{said}");
    assert!(said.contains("part of std's line"), "{said}");
}

#[test]
fn nothing_is_waited_for_that_others_have_locked() {
    exits("nothing_is_waited_for_that_others_have_locked", 11, || {
        on_workers(1, || {
            spawn_local(|| {
                let _ours = rustlet::io::stdout().lock();
                park();
            });
            let (locked, has_locked) = mpsc::channel();
            let (_never, nothing) = mpsc::channel::<()>();
            std::thread::spawn(move || {
                let _stds = std::io::stdout().lock();
                locked.send(()).unwrap();
                // Until the process is gone.
                let _gone = nothing.recv();
            });
            has_locked.recv().unwrap();
            yield_now();
            exit(11);
        });
    });
}

#[test]
fn from_a_call_on_the_blocking_pool() {
    exits("from_a_call_on_the_blocking_pool", 12, || {
        on_workers(1, || unblock(|| exit(12)));
    });
}

struct Exits(i32);

impl Drop for Exits {
    fn drop(&mut self) {
        exit(self.0);
    }
}

#[test]
fn while_the_thread_unwinds() {
    exits("while_the_thread_unwinds", 13, || {
        on_workers(1, || {
            let _exits = Exits(13);
            std::panic::resume_unwind(Box::new("unwinding"));
        });
    });
}

#[test]
fn while_the_thread_ends() {
    rustlet::thread_local! {
        static EXITS: Exits = const { Exits(14) };
    }
    exits("while_the_thread_ends", 14, || {
        on_workers(1, || drop(spawn(|| EXITS.with(|_| ())).join()));
    });
}

/// The first caller's code counts, whichever that is.
#[test]
fn from_many_threads_at_once() {
    let output = support::child(&name("from_many_threads_at_once"), || {
        on_workers(4, || {
            let threads: Vec<_> = (0..100).map(|_| spawn(|| exit(15))).collect();
            std::thread::spawn(|| exit(15));
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
    });
    assert_eq!(output.status.code(), Some(15));
}

#[test]
#[allow(unsafe_code, reason = "a C signal handler")]
fn handlers_of_c_are_called() {
    unsafe extern "C" {
        safe fn atexit(handler: extern "C" fn()) -> i32;
    }
    extern "C" fn handler() {
        eprintln!("handled");
    }
    let (_, errors) = exits("handlers_of_c_are_called", 16, || {
        assert_eq!(atexit(handler), 0);
        on_workers(1, || exit(16));
    });
    assert_eq!(errors, "handled\n");
}

#[test]
#[cfg(target_os = "linux")]
fn without_another_os_thread() {
    // The limit would be the emulator's, too.
    if support::is_emulated() {
        return;
    }
    let (_, errors) = exits("without_another_os_thread", 17, || {
        on_workers(1, || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
            let size: u64 = size
                .unwrap()
                .trim()
                .trim_end_matches(" kB")
                .parse()
                .unwrap();
            let Rlimit { maximum, .. } = getrlimit(Resource::As);
            // Room for small things, not for a stack.
            let current = Some((size + 1024) << 10);
            setrlimit(Resource::As, Rlimit { current, maximum }).unwrap();
            exit(17);
        });
    });
    assert!(errors.contains("no OS thread can be started"), "{errors}");
}
