//! Rules that need green threads: `cancel`, shields, workers, and threads left at the end.

use super::support::{child, succeeded};
use super::{OnDrop, on_workers, stress, turns};
use rustlet::runtime::ThreadState;
use rustlet::{
    Cancelled, Elapsed, is_cancelled, park, run, shield, sleep, spawn, spawn_local, thread,
    timeout, yield_now,
};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn cancel_unwinds_through_every_scope() {
    run(|| {
        let passed = Arc::new(AtomicBool::new(false));
        let theirs = passed.clone();
        let thread = spawn_local(move || {
            let _in_time = timeout(LONG, || {
                let _in_time = timeout(Duration::MAX, park);
                theirs.store(true, Ordering::SeqCst);
            });
            theirs.store(true, Ordering::SeqCst);
        });
        turns();
        thread.cancel();
        assert!(Cancelled::is(&thread.join().unwrap_err()));
        assert!(!passed.load(Ordering::SeqCst));
    });
}

/// The cancellation of the thread outranks a limit that has elapsed within it.
#[test]
fn cancel_outranks_an_elapsed_scope() {
    run(|| {
        let thread = spawn_local(|| {
            // A wait that does not raise: the thread is cancelled meanwhile.
            shield(park);
            let _never = timeout(Duration::ZERO, park);
            unreachable!("the cancellation of the thread passes");
        });
        turns();
        thread.cancel();
        thread.thread().unpark();
        let payload = thread.join().unwrap_err();
        assert!(Cancelled::is(&payload), "{payload:?}");
    });
}

#[test]
fn a_shield_holds_cancel_off() {
    run(|| {
        let log: Arc<Mutex<Vec<&str>>> = Arc::default();
        let theirs = log.clone();
        let thread = spawn_local(move || {
            let note = |text| theirs.lock().unwrap().push(text);
            shield(|| {
                park();
                assert!(!is_cancelled());
                sleep(SOON);
                yield_now();
                spawn(|| sleep(SOON)).join().unwrap();
                assert_eq!(timeout(SOON, park), Err(Elapsed));
                note("shielded");
            });
            assert!(is_cancelled());
            note("after");
            park();
            note("never");
        });
        turns();
        thread.cancel();
        thread.thread().unpark();
        assert!(Cancelled::is(&thread.join().unwrap_err()));
        assert_eq!(*log.lock().unwrap(), ["shielded", "after"]);
    });
}

/// The end of a run cancels; a shield still completes its operation, within the grace period.
#[test]
fn a_shield_at_the_end_of_a_run() {
    let name = "rules::a_shield_at_the_end_of_a_run";
    let output = child(name, || {
        let done = AtomicUsize::new(0);
        let count: &'static AtomicUsize = Box::leak(Box::new(done));
        let begun: &'static AtomicUsize = Box::leak(Box::new(AtomicUsize::new(0)));
        on_workers(2, || {
            for _ in 0..10 {
                drop(spawn(|| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    let _guard = OnDrop(|| {
                        // A destructor that runs because of the cancellation sends a farewell.
                        shield(|| timeout(LONG, || sleep(SOON))).unwrap();
                        count.fetch_add(1, Ordering::SeqCst);
                    });
                    shield(|| sleep(Duration::from_millis(5)));
                    count.fetch_add(1, Ordering::SeqCst);
                    park();
                }));
            }
            while begun.load(Ordering::SeqCst) < 10 {
                yield_now();
            }
        });
        assert_eq!(count.load(Ordering::SeqCst), 20);
    });
    assert_eq!(succeeded(&output), "", "no thread is left behind");
}

#[test]
fn one_that_never_leaves_its_shield_is_reported() {
    let name = "rules::one_that_never_leaves_its_shield_is_reported";
    let output = child(name, || {
        let runtime = rustlet::Builder::new().workers(1).build().unwrap();
        runtime.run(|| {
            let builder = thread::Builder::new().name("shielded".into());
            drop(
                builder
                    .spawn(|| {
                        shield(|| {
                            park();
                        })
                    })
                    .unwrap(),
            );
            drop(spawn(park));
            turns();
        });
        let error = runtime.shutdown(Duration::from_secs(3)).unwrap_err();
        let [info] = error.threads() else {
            panic!("{error}");
        };
        assert_eq!(info.name.as_deref(), Some("shielded"));
        assert_eq!((info.state, info.waits_in), (ThreadState::Waiting, "park"));
        assert!(info.waits_at.unwrap().file().ends_with("rules.rs"));
        let text = error.to_string();
        assert!(
            text.contains("1 green threads") && text.contains("'shielded'"),
            "{text}"
        );
        let _is_error: &dyn std::error::Error = &error;
    });
    assert_eq!(succeeded(&output), "");
}

/// Each thread has its own scopes, whatever other threads of its worker do in between.
#[test]
fn threads_do_not_share_scopes() {
    on_workers(1, || {
        let order = Rc::new(Cell::new(0));
        let spawn_one = |limit, expected: Result<(), Elapsed>| {
            let order = order.clone();
            spawn_local(move || {
                for _ in 0..50 {
                    let result = timeout(limit, || match expected {
                        Ok(()) => sleep(Duration::from_micros(100)),
                        Err(Elapsed) => park(),
                    });
                    assert_eq!(result, expected);
                    order.set(order.get() + 1);
                }
            })
        };
        let threads = [
            spawn_one(LONG, Ok(())),
            spawn_one(Duration::from_micros(10), Err(Elapsed)),
            spawn_one(Duration::MAX, Ok(())),
            spawn_one(Duration::ZERO, Err(Elapsed)),
        ];
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(order.get(), 200);
    });
}

/// A thread that uses no scopes reuses the control block of one that did.
#[test]
fn a_recycled_thread_has_no_scopes() {
    on_workers(1, || {
        for round in 0..stress(100) {
            let first = spawn(move || {
                let _in_time = timeout(
                    if round % 2 == 0 { LONG } else { Duration::ZERO },
                    yield_now,
                );
                catch_unwind(|| timeout(LONG, || resume_unwind(Box::new(1_u8)))).is_err()
            });
            assert!(first.join().unwrap());
            let second = spawn(|| {
                assert!(!is_cancelled());
                yield_now();
                park();
            });
            yield_now();
            second.thread().unpark();
            second.join().unwrap();
        }
    });
}

/// A scope without threads to join, in a cancelled thread: it yields occasionally, and that yield
/// must not raise.
#[test]
fn a_scope_in_a_cancelled_thread_waits_for_its_threads_each_time() {
    on_workers(2, || {
        let thread = spawn_local(|| {
            assert!(Cancelled::is(&catch_unwind(park).unwrap_err()));
            for _ in 0..stress(1_000) {
                let mut done = false;
                let mut borrowed = false;
                // Its threads borrow both. The one in the shield must run, even if the scope is
                // cancelled.
                let whole = catch_unwind(AssertUnwindSafe(|| {
                    shield(|| {
                        rustlet::scope(|s| {
                            s.spawn(|| done = true);
                        });
                    });
                    rustlet::scope(|s| {
                        s.spawn(|| borrowed = true);
                    });
                }));
                assert!(done);
                // Either it ended before its first wait, or it was waited for, and that wait
                // unwinds.
                assert!(whole.is_err() || borrowed);
            }
        });
        turns();
        thread.cancel();
        thread.join().unwrap();
    });
}

#[test]
fn a_computing_thread_notices_the_limit_by_the_clock() {
    on_workers(1, || {
        // One worker that is never idle: it checks its timers every few switches, and each
        // `yield_now` is a switch.
        let rounds = Cell::new(0);
        let result = timeout(SOON, || {
            loop {
                rounds.set(rounds.get() + 1);
                let until = Instant::now() + SOON;
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
                yield_now();
            }
        });
        assert_eq!(result, Err::<(), _>(Elapsed));
        assert_eq!(rounds.get(), 1);
    });
}

/// Threads that wait in a destructor while they unwind delay no other thread.
#[test]
fn it_comes_while_others_unwind() {
    on_workers(1, || {
        let unwind = || {
            let thread = spawn_local(|| {
                let _guard = OnDrop(park);
                resume_unwind(Box::new("unwinding"));
            });
            yield_now();
            thread
        };
        let unwinding = [unwind(), unwind()];
        // Their waits begin while the others unwind: one before its limit has elapsed, one after.
        let early = spawn_local(|| timeout(Duration::from_millis(3), park));
        let late = spawn_local(|| timeout(Duration::ZERO, park));
        assert_eq!(early.join().unwrap(), Err(Elapsed));
        assert_eq!(late.join().unwrap(), Err(Elapsed));
        for thread in unwinding {
            assert!(!thread.is_finished());
            thread.thread().unpark();
            thread.join().unwrap_err();
        }
    });
}

/// A worker that suspends a scope in the middle of an unwinding, beside other scopes.
#[test]
fn destructors_that_wait_in_scopes_beside_others() {
    on_workers(1, || {
        let threads: Vec<_> = (0..50)
            .map(|number| {
                spawn_local(move || {
                    for _ in 0..5 {
                        let result = timeout(Duration::from_micros(100), || {
                            let _guard = OnDrop(|| sleep(Duration::from_micros(50 * number)));
                            park();
                        });
                        assert_eq!(result, Err(Elapsed));
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn the_end_of_a_limit_is_silent() {
    let output = child("rules::the_end_of_a_limit_is_silent", || {
        run(|| {
            for _ in 0..10 {
                assert_eq!(timeout(SOON, park), Err(Elapsed));
            }
        });
        assert_eq!(timeout(SOON, park), Err(Elapsed));
    });
    assert_eq!(succeeded(&output), "");
}

/// Many threads, each with a limit that never elapses: no timer is left behind to keep a worker
/// awake.
#[test]
fn thousands_of_limits_at_once() {
    on_workers(2, || {
        let threads: Vec<_> = (0..2_000_u64)
            .map(|number| {
                spawn(move || {
                    let limit = match number % 3 {
                        0 => LONG,
                        1 => Duration::MAX,
                        _ => Duration::from_micros(number),
                    };
                    timeout(limit, || {
                        sleep(Duration::from_micros(number / 2));
                        yield_now();
                        number
                    })
                })
            })
            .collect();
        for (number, thread) in (0..).zip(threads) {
            match thread.join().unwrap() {
                Ok(value) => assert_eq!(value, number),
                Err(Elapsed) => assert_eq!(number % 3, 2),
            }
        }
    });
}

/// `run` inside a scope of an OS thread.
#[test]
fn a_limit_around_a_run() {
    // A thread that has not started when the limit elapses never runs.
    let (starts, drops) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let result = timeout(SOON * 10, || {
        run(|| {
            starts.fetch_add(1, Ordering::SeqCst);
            let _guard = OnDrop(|| {
                sleep(SOON);
                drops.fetch_add(1, Ordering::SeqCst);
            });
            drop(spawn(park));
            park();
        });
    });
    assert_eq!(result, Err(Elapsed));
    assert_eq!(drops.into_inner(), starts.into_inner());
    assert_eq!(timeout(LONG, || run(|| 5)), Ok(5));
    // Shielded from it, on either side.
    assert_eq!(timeout(SOON, || shield(|| run(|| sleep(SOON * 3)))), Ok(()));
    let mut started = false;
    let result = timeout(SOON * 10, || {
        run(|| {
            started = true;
            shield(|| sleep(SOON * 20));
        });
    });
    assert_eq!(result.is_ok(), started);
    let result = timeout(SOON, || rustlet::run_all(park));
    assert_eq!(result, Err(Elapsed));
    let runtime = rustlet::Builder::new().workers(1).build().unwrap();
    assert_eq!(timeout(SOON, || runtime.run(park)), Err(Elapsed));
    assert_eq!(runtime.run(|| 5), 5);
}
