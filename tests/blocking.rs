//! `unblock`: calls that block or compute for long, on OS threads of the runtime's pool.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    clippy::disallowed_methods,
    reason = "closures given to `unblock` run on OS threads"
)]

use rustlet::{Builder, Cancelled, Runtime, park, run, spawn, spawn_local, unblock, yield_now};
use std::panic::{catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use support::{child, child_with, stress, succeeded};

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
        let (told, tell) = mpsc::channel();
        let ended = Arc::new(AtomicBool::new(false));
        let theirs = ended.clone();
        let caller = spawn_local(move || {
            unblock(move || {
                told.send(()).unwrap();
                gate.recv().unwrap();
                theirs.store(true, Ordering::SeqCst);
            });
        });
        until_told(&tell);
        caller.cancel();
        assert!(caller.join().unwrap_err().is::<Cancelled>());
        assert!(!ended.load(Ordering::SeqCst));
        sender.send(()).unwrap();
        while !ended.load(Ordering::SeqCst) {
            yield_now();
        }
    });
}

/// Waits until a call has started.
fn until_told(tell: &mpsc::Receiver<()>) {
    while tell.try_recv().is_err() {
        yield_now();
    }
}

/// A result without a waiter is dropped on the pool, and may panic there: the pool must not shrink
/// because of it.
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
            let (told, tell) = mpsc::channel();
            let caller = spawn_local(move || {
                let _bomb = unblock(move || {
                    told.send(()).unwrap();
                    gate.recv().unwrap();
                    Bomb
                });
            });
            until_told(&tell);
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
        let (started, start) = mpsc::channel();
        drop(spawn_local(move || {
            unblock(move || {
                started.send(()).unwrap();
                gate.recv().unwrap();
                told.send(5).unwrap();
            });
        }));
        until_told(&start);
    });
    sender.send(()).unwrap();
    assert_eq!(tell.recv().unwrap(), 5);
}

#[test]
fn a_blocking_call_may_wake_green_threads() {
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

fn runtime_with_pool(threads: usize) -> Runtime {
    Builder::new()
        .workers(1)
        .blocking_threads(threads)
        .name("test")
        .build()
        .unwrap()
}

/// Fills the only thread of the pool, and returns a way to free it.
fn occupy(runtime: &Runtime) -> (rustlet::JoinHandle<()>, mpsc::Sender<()>) {
    let (sender, gate) = mpsc::channel::<()>();
    let (told, tell) = mpsc::channel();
    let occupant = spawn_local(move || {
        unblock(move || {
            told.send(()).unwrap();
            // Also returns when the sender is gone.
            gate.recv().ok();
        });
    });
    until_told(&tell);
    assert_eq!(runtime.metrics().blocking_threads, 1);
    (occupant, sender)
}

#[test]
fn a_call_whose_caller_is_cancelled_while_it_queues_is_not_made() {
    let runtime = runtime_with_pool(1);
    let held = Arc::new(());
    let made = Arc::new(AtomicUsize::new(0));
    runtime.run(|| {
        let (occupant, free) = occupy(&runtime);
        let queued = |number| {
            let (held, made) = (held.clone(), made.clone());
            spawn_local(move || {
                unblock(move || {
                    drop(held);
                    made.fetch_add(number, Ordering::SeqCst);
                })
            })
        };
        let callers = [queued(1), queued(10), queued(100)];
        while runtime.metrics().blocking_queued < 3 {
            yield_now();
        }
        callers[1].cancel();
        let [first, second, third] = callers;
        assert!(second.join().unwrap_err().is::<Cancelled>());
        // It has given back its captures and its slot.
        assert_eq!(Arc::strong_count(&held), 3);
        assert_eq!(runtime.metrics().blocking_queued, 2);
        free.send(()).unwrap();
        for caller in [occupant, first, third] {
            caller.join().unwrap();
        }
    });
    assert_eq!(made.load(Ordering::SeqCst), 101);
    assert_eq!(Arc::strong_count(&held), 1);
}

/// A blocked pool, and callers that keep arriving and giving up: their calls must not pile up.
#[test]
fn calls_that_were_given_up_leave_nothing_behind() {
    let runtime = runtime_with_pool(1);
    runtime.run(|| {
        let (occupant, free) = occupy(&runtime);
        for _ in 0..stress(20) {
            let callers: Vec<_> = (0..100).map(|_| spawn_local(|| unblock(|| ()))).collect();
            while runtime.metrics().blocking_queued < 100 {
                yield_now();
            }
            // From the middle outwards.
            for index in 0..50 {
                callers[50 + index].cancel();
                callers[49 - index].cancel();
            }
            callers
                .into_iter()
                .for_each(|caller| drop(caller.join().unwrap_err()));
            assert_eq!(runtime.metrics().blocking_queued, 0);
        }
        free.send(()).unwrap();
        occupant.join().unwrap();
        assert_eq!(unblock(|| 5), 5);
    });
}

#[test]
fn queued_calls_are_made_in_order() {
    let runtime = runtime_with_pool(1);
    let order = runtime.run(|| {
        let (occupant, free) = occupy(&runtime);
        let order = Arc::new(Mutex::new(Vec::new()));
        let callers: Vec<_> = (0..50)
            .map(|number| {
                let order = order.clone();
                spawn_local(move || unblock(move || order.lock().unwrap().push(number)))
            })
            .collect();
        free.send(()).unwrap();
        occupant.join().unwrap();
        callers
            .into_iter()
            .for_each(|caller| caller.join().unwrap());
        order.lock().unwrap().clone()
    });
    assert_eq!(order, (0..50).collect::<Vec<_>>());
}

#[test]
fn a_closure_that_panics_when_dropped_unmade_does_not_abort() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new("bomb"));
        }
    }
    let runtime = runtime_with_pool(1);
    runtime.run(|| {
        let (occupant, free) = occupy(&runtime);
        let caller = spawn_local(|| {
            let bomb = Bomb;
            unblock(move || drop(bomb));
        });
        while runtime.metrics().blocking_queued < 1 {
            yield_now();
        }
        caller.cancel();
        assert!(caller.join().unwrap_err().is::<Cancelled>());
        drop(free);
        occupant.join().unwrap();
    });
}

#[test]
fn a_run_ends_while_calls_run_and_queue() {
    let runtime = runtime_with_pool(1);
    let (told, tell) = mpsc::channel();
    let gate = runtime.run(|| {
        let (_occupant, free) = occupy(&runtime);
        for number in 0..10 {
            let told = told.clone();
            drop(spawn_local(move || {
                unblock(move || told.send(number).unwrap())
            }));
        }
        while runtime.metrics().blocking_queued < 10 {
            yield_now();
        }
        free
    });
    runtime
        .shutdown(std::time::Duration::from_secs(60))
        .unwrap();
    drop(told);
    // The thread of the pool continues until its call has ended, and makes none of the others.
    assert!(tell.recv().is_err());
    drop(gate);
}

#[test]
fn the_metrics_count_the_pool() {
    let runtime = runtime_with_pool(3);
    let count = || {
        let metrics = runtime.metrics();
        (
            metrics.blocking_threads,
            metrics.blocking_idle,
            metrics.blocking_queued,
        )
    };
    assert_eq!(count(), (0, 0, 0));
    runtime.run(|| {
        let (sender, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let callers: Vec<_> = (0..5)
            .map(|_| {
                let gate = gate.clone();
                spawn_local(move || unblock(move || gate.lock().unwrap().recv().unwrap()))
            })
            .collect();
        while count() != (3, 0, 2) {
            yield_now();
        }
        for _ in 0..5 {
            sender.send(()).unwrap();
        }
        callers
            .into_iter()
            .for_each(|caller| caller.join().unwrap());
        while count() != (3, 3, 0) {
            yield_now();
        }
    });
}

#[test]
fn the_threads_have_names() {
    let runtime = runtime_with_pool(1);
    let name = runtime.run(|| unblock(|| std::thread::current().name().map(String::from)));
    assert_eq!(name.as_deref(), Some("test-pool-0"));
}

#[test]
fn a_blocking_call_spawns_on_the_runtime_of_its_caller() {
    let runtime = runtime_with_pool(2);
    let worker = |name: &str| assert_eq!(name, "test-0");
    let name = || std::thread::current().name().unwrap_or_default().to_owned();
    runtime.run(|| {
        worker(&name());
        worker(&unblock(move || spawn(name).join().unwrap()));
        let scoped = unblock(move || rustlet::scope(|scope| scope.spawn(name).join().unwrap()));
        worker(&scoped);
        // And it may have a runtime of its own.
        assert_ne!(unblock(move || run(name)), "test-0");
    });
}

#[test]
fn a_blocking_call_may_call_unblock() {
    let runtime = runtime_with_pool(1);
    assert_eq!(runtime.run(|| unblock(|| unblock(|| 5))), 5);
}

#[test]
fn a_destructor_of_a_cancelled_thread_may_unblock() {
    struct Last(mpsc::Sender<u8>);
    impl Drop for Last {
        fn drop(&mut self) {
            let sender = self.0.clone();
            unblock(move || sender.send(7).unwrap());
        }
    }
    let (sender, receiver) = mpsc::channel();
    run(move || {
        let thread = spawn_local(move || {
            let _last = Last(sender);
            park();
        });
        yield_now();
        thread.cancel();
        thread.join().unwrap_err();
    });
    assert_eq!(receiver.recv().unwrap(), 7);
}

/// The child's pool is busy until its standard input ends; the parent closes that after the report.
#[test]
fn the_watchdog_reports_calls_that_queue_for_long() {
    let name = "the_watchdog_reports_calls_that_queue_for_long";
    if std::env::var_os("RUSTLET_TEST_CHILD").is_some() {
        let runtime = Builder::new()
            .workers(1)
            .blocking_threads(1)
            .watchdog(std::time::Duration::from_millis(50))
            .build()
            .unwrap();
        return runtime.run(|| {
            let read = || std::io::stdin().read_line(&mut String::new()).unwrap();
            let (begins, has_begun) = rustlet::channel::bounded(1);
            let first = spawn(move || {
                unblock(move || {
                    begins.send(()).unwrap();
                    read()
                })
            });
            has_begun.recv().unwrap();
            eprintln!("begun");
            let callers = [first, spawn(move || unblock(read))];
            callers
                .into_iter()
                .for_each(|caller| assert!(caller.join().unwrap() <= 1));
        });
    }
    let mut child = support::this_program()
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env("RUSTLET_TEST_CHILD", name)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let reader = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut lines = std::io::BufRead::lines(reader).map(Result::unwrap);
    // On a slow machine the first one is delayed, too: until its thread has started.
    assert!(lines.any(|line| line == "begun"));
    let report = lines.find(|line| line.contains("blocking calls")).unwrap();
    assert!(report.starts_with("rustlet: 1 blocking calls"), "{report}");
    drop(child.stdin.take());
    // Once is enough.
    assert!(!lines.any(|line| line.contains("blocking calls")));
    assert!(child.wait().unwrap().success());
}

/// Without a free OS thread the first call reports it, and does not wait forever.
#[test]
#[cfg(target_os = "linux")]
fn no_thread_for_the_pool_is_an_error() {
    if support::is_emulated() {
        // The limit would be the emulator's own.
        return;
    }
    let name = "no_thread_for_the_pool_is_an_error";
    // The watchdog's OS thread may still be starting when there is no memory for it.
    let output = child_with(name, &[("RUSTLET_WATCHDOG", "off")], || {
        let runtime = runtime_with_pool(2);
        runtime.run(|| {
            let limit = rustix::process::Rlimit {
                current: Some(64 << 20),
                maximum: None,
            };
            // No address space for a stack.
            rustix::process::setrlimit(rustix::process::Resource::As, limit).unwrap();
            let payload = catch_unwind(|| unblock(|| 5)).unwrap_err();
            let text = payload.downcast_ref::<String>().unwrap();
            assert!(text.contains("no OS thread for a blocking call"), "{text}");
            let limit = rustix::process::Rlimit {
                current: None,
                maximum: None,
            };
            rustix::process::setrlimit(rustix::process::Resource::As, limit).unwrap();
            assert_eq!(unblock(|| 5), 5);
        });
    });
    succeeded(&output);
}
