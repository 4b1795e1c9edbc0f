//! `unblock`: calls that block or compute for long, on OS threads of the runtime's pool.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    clippy::disallowed_methods,
    reason = "what is unblocked runs on OS threads"
)]

use rustlet::{Builder, Cancelled, park, run, spawn, spawn_local, unblock, yield_now};
use std::panic::{catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use support::{child, stress, succeeded};

mod support;

fn os_thread() -> std::thread::ThreadId {
    std::thread::current().id()
}

#[test]
fn it_gives_the_value_and_runs_elsewhere() {
    run(|| {
        let here = os_thread();
        let (there, sum) = unblock(|| (os_thread(), (1..=100).sum::<u32>()));
        assert_ne!(there, here);
        assert_eq!(os_thread(), here);
        assert_eq!(sum, 5050);
    });
    // On an OS thread it is a plain call.
    assert_eq!(unblock(os_thread), os_thread());
}

#[test]
fn its_panic_comes_out() {
    run(|| {
        let caught = catch_unwind(|| unblock(|| -> u8 { resume_unwind(Box::new("there")) }));
        assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"there"));
        assert_eq!(unblock(|| 5), 5);
    });
}

#[test]
fn the_others_of_the_worker_go_on() {
    Builder::new().workers(1).build().unwrap().run(|| {
        let (sender, gate) = mpsc::channel();
        let blocked = spawn(move || unblock(move || gate.recv().unwrap()));
        let opener = spawn(move || {
            yield_now();
            sender.send(7).unwrap();
        });
        assert_eq!(blocked.join().unwrap(), 7);
        opener.join().unwrap();
    });
}

#[test]
fn calls_past_the_limit_queue() {
    let runtime = Builder::new()
        .workers(2)
        .blocking_threads(3)
        .build()
        .unwrap();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    runtime.run(|| {
        let threads: Vec<_> = (0..stress(100))
            .map(|number| {
                let (running, most) = (running.clone(), most.clone());
                spawn(move || {
                    unblock(move || {
                        let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                        number
                    })
                })
            })
            .collect();
        for (number, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap(), number);
        }
    });
    assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
}

#[test]
fn a_cancelled_caller_unwinds_at_once_and_the_call_runs_on() {
    run(|| {
        let (sender, gate) = mpsc::channel::<()>();
        let ended = Arc::new(AtomicBool::new(false));
        let theirs = ended.clone();
        let caller = spawn_local(move || {
            unblock(move || {
                gate.recv().unwrap();
                theirs.store(true, Ordering::SeqCst);
            });
        });
        yield_now();
        caller.cancel();
        assert!(caller.join().unwrap_err().is::<Cancelled>());
        assert!(!ended.load(Ordering::SeqCst));
        sender.send(()).unwrap();
        while !ended.load(Ordering::SeqCst) {
            yield_now();
        }
    });
}

/// What nobody waits for any more is dropped on the pool, and may panic there: the pool must not shrink by it.
#[test]
fn a_result_that_panics_when_dropped_does_not_cost_a_thread() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new("bomb"));
        }
    }
    let name = "a_result_that_panics_when_dropped_does_not_cost_a_thread";
    let output = child(name, || {
        let runtime = Builder::new()
            .workers(1)
            .blocking_threads(1)
            .build()
            .unwrap();
        runtime.run(|| {
            let (sender, gate) = mpsc::channel::<()>();
            let caller = spawn_local(move || {
                let _bomb = unblock(move || {
                    gate.recv().unwrap();
                    Bomb
                });
            });
            yield_now();
            caller.cancel();
            caller.join().unwrap_err();
            sender.send(()).unwrap();
            let next = spawn(|| unblock(|| 5));
            let patience = std::time::Instant::now() + std::time::Duration::from_secs(10);
            while !next.is_finished() {
                if std::time::Instant::now() > patience {
                    eprintln!("the pool's only thread is gone");
                    std::process::exit(1);
                }
                yield_now();
            }
            assert_eq!(next.join().unwrap(), 5);
        });
    });
    succeeded(&output);
}

#[test]
fn the_end_of_a_run_does_not_wait_for_a_call() {
    let (sender, gate) = mpsc::channel::<()>();
    let (told, tell) = mpsc::channel();
    run(move || {
        drop(spawn_local(move || {
            unblock(move || {
                gate.recv().unwrap();
                told.send(5).unwrap();
            });
        }));
        yield_now();
    });
    sender.send(()).unwrap();
    assert_eq!(tell.recv().unwrap(), 5);
}

#[test]
fn what_is_unblocked_may_wake_green_threads() {
    run(|| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let theirs = log.clone();
        let parked = spawn_local(move || {
            park();
            theirs.lock().unwrap().push("parked");
        });
        let waker = parked.thread().clone();
        unblock(move || waker.unpark());
        parked.join().unwrap();
        assert_eq!(*log.lock().unwrap(), ["parked"]);
    });
}
