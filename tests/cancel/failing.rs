//! `scope_cancelling`: a failing thread cancels the others.

use super::support::is_emulated;
use super::{OnDrop, on_workers, stress, turns};
use rustlet::net::TcpListener;
use rustlet::thread::{scope_cancelling, yield_now};
use rustlet::{Cancelled, Elapsed, park, run, shield, sleep, spawn, spawn_local, timeout};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

fn fail(with: &'static str) {
    resume_unwind(Box::new(with));
}

/// The payload of its panic.
#[track_caller]
fn panics<T>(f: impl FnOnce() -> T) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else {
        panic!("it did not panic");
    };
    let text = payload.downcast_ref::<&str>().copied().map(String::from);
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| {
            assert!(Cancelled::is(&payload));
            "cancelled".into()
        })
}

/// On two workers, on one, and on an OS thread.
fn everywhere(case: fn()) {
    on_workers(2, case);
    on_workers(1, case);
    case();
}

#[test]
fn without_a_failure_it_is_a_scope() {
    everywhere(|| {
        let mut numbers = vec![1, 2, 3];
        let sum = scope_cancelling(|s| {
            let sum = s.spawn(|| numbers.iter().sum::<i32>());
            for _ in 0..100 {
                s.spawn(yield_now);
            }
            s.spawn(|| sleep(SOON));
            sum.join().unwrap()
        });
        numbers.push(sum);
        assert_eq!(numbers, [1, 2, 3, 6]);
    });
}

#[test]
fn the_others_are_cancelled() {
    everywhere(|| {
        let drops = AtomicUsize::new(0);
        let text = panics(|| {
            scope_cancelling(|s| {
                for _ in 0..20 {
                    s.spawn(|| {
                        let _guard = OnDrop(|| {
                            drops.fetch_add(1, Ordering::SeqCst);
                        });
                        park();
                    });
                }
                s.spawn(|| {
                    sleep(SOON);
                    fail("first");
                });
                5
            })
        });
        assert_eq!(text, "first");
        let drops = drops.into_inner();
        assert!(drops <= 20, "{drops}");
        // The cancellation is over: nothing of it is left to be raised.
        yield_now();
    });
}

#[test]
fn the_closure_is_ended_too() {
    everywhere(|| {
        let waits: [fn(); 4] = [
            park,
            || sleep(LONG),
            || {
                loop {
                    yield_now();
                }
            },
            || {
                // On an OS thread this blocks in the system.
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                drop(listener.accept());
            },
        ];
        for wait in waits {
            let text = panics(|| {
                scope_cancelling(|s| {
                    s.spawn(|| {
                        sleep(SOON);
                        fail("child");
                    });
                    wait();
                    unreachable!("it is ended");
                })
            });
            assert_eq!(text, "child");
        }
    });
}

#[test]
fn a_panic_of_the_closure_ends_the_threads() {
    everywhere(|| {
        let text = panics(|| {
            scope_cancelling(|s| {
                s.spawn(park);
                s.spawn(|| sleep(LONG));
                fail("own");
            })
        });
        assert_eq!(text, "own");
    });
}

#[test]
fn a_closure_that_joins_the_failed_thread_may_handle_the_panic() {
    everywhere(|| {
        let mut value = 0;
        // The closure has the result before it can be cancelled; its own result counts.
        let five = catch_unwind(AssertUnwindSafe(|| {
            scope_cancelling(|s| {
                let failing = s.spawn(|| fail("joined"));
                let other = s.spawn(park);
                while !failing.is_finished() {
                    std::hint::spin_loop();
                    shield(yield_now);
                }
                let payload = failing.join().unwrap_err();
                assert_eq!(payload.downcast_ref::<&str>(), Some(&"joined"));
                value = 5;
                drop(other);
                value
            })
        }));
        assert_eq!(five.ok(), Some(5));
    });
}

#[test]
fn the_first_failure_is_given_and_no_other() {
    everywhere(|| {
        let text = panics(|| {
            scope_cancelling(|s| {
                s.spawn(|| {
                    let _guard = OnDrop(|| sleep(SOON));
                    park();
                });
                s.spawn(|| {
                    // Fails because it is cancelled.
                    let payload = catch_unwind(park).unwrap_err();
                    assert!(Cancelled::is(&payload));
                    fail("second");
                });
                sleep(SOON);
                s.spawn(|| fail("first"));
            })
        });
        assert_eq!(text, "first");
    });
}

#[test]
fn a_thread_spawned_after_the_failure_never_runs() {
    everywhere(|| {
        let ran = AtomicUsize::new(0);
        let text = panics(|| {
            scope_cancelling(|s| {
                let failing = s.spawn(|| fail("early"));
                drop(catch_unwind(AssertUnwindSafe(|| failing.join())));
                // The flag is set a moment after the result.
                while catch_unwind(AssertUnwindSafe(yield_now)).is_ok() {}
                let late = s.spawn(|| ran.fetch_add(1, Ordering::SeqCst));
                let result = shield(|| late.join());
                assert!(Cancelled::is(&result.unwrap_err()));
                fail("enough");
            })
        });
        assert_eq!(text, "enough");
        assert_eq!(ran.into_inner(), 0);
    });
}

#[test]
fn cancelling_one_thread_does_not_cancel_the_others() {
    everywhere(|| {
        let result = scope_cancelling(|s| {
            let one = s.spawn(park);
            let other = s.spawn(|| {
                sleep(SOON);
                6
            });
            one.cancel();
            assert!(Cancelled::is(&one.join().unwrap_err()));
            other.join().unwrap()
        });
        assert_eq!(result, 6);
    });
}

#[test]
fn a_limit_around_it_ends_the_threads() {
    everywhere(|| {
        // In the closure.
        let result = timeout(SOON, || {
            scope_cancelling(|s| {
                s.spawn(park);
                park();
            });
        });
        assert_eq!(result, Err(Elapsed));
        // While it waits for its threads.
        let result = timeout(SOON, || {
            scope_cancelling(|s| {
                s.spawn(park);
                s.spawn(|| sleep(LONG));
            });
        });
        assert_eq!(result, Err(Elapsed));
        // A scope within it does not affect it.
        let result = scope_cancelling(|s| {
            s.spawn(|| assert_eq!(timeout(SOON, park), Err(Elapsed)));
            timeout(SOON, park)
        });
        assert_eq!(result, Err(Elapsed));
    });
}

#[test]
fn a_shielded_thread_takes_its_time() {
    everywhere(|| {
        let log = Mutex::new(Vec::new());
        let text = panics(|| {
            scope_cancelling(|s| {
                s.spawn(|| {
                    shield(|| {
                        sleep(SOON * 5);
                        log.lock().unwrap().push("done");
                    });
                });
                s.spawn(|| {
                    sleep(SOON);
                    fail("failed");
                });
            });
        });
        assert_eq!(text, "failed");
        assert!(log.lock().unwrap().len() <= 1);
    });
}

#[test]
fn one_in_the_other() {
    everywhere(|| {
        // The inner one fails and is caught: the outer one continues.
        let result = scope_cancelling(|outer| {
            let outside = outer.spawn(|| {
                sleep(SOON * 3);
                7
            });
            let text = panics(|| {
                scope_cancelling(|inner| {
                    inner.spawn(park);
                    inner.spawn(|| fail("inner"));
                });
            });
            assert_eq!(text, "inner");
            outside.join().unwrap()
        });
        assert_eq!(result, 7);
        // The outer one fails: the inner one is unwound, and its threads with it.
        let text = panics(|| {
            scope_cancelling(|outer| {
                outer.spawn(|| {
                    sleep(SOON);
                    fail("outer");
                });
                outer.spawn(|| {
                    scope_cancelling(|inner| {
                        inner.spawn(park);
                    });
                });
                scope_cancelling(|inner| {
                    inner.spawn(park);
                    park();
                });
            });
        });
        assert_eq!(text, "outer");
    });
}

#[test]
fn a_cancelled_owner_ends_its_threads() {
    run(|| {
        for waits_inside in [true, false] {
            let owner = spawn_local(move || {
                scope_cancelling(|s| {
                    s.spawn(park);
                    if waits_inside {
                        park();
                    }
                });
                unreachable!("the threads never end by themselves");
            });
            turns();
            owner.cancel();
            assert!(Cancelled::is(&owner.join().unwrap_err()));
        }
    });
}

#[test]
fn many_threads_come_and_go() {
    on_workers(2, || {
        let count = AtomicUsize::new(0);
        scope_cancelling(|s| {
            for number in 0..stress(2_000) {
                s.spawn(|| {
                    count.fetch_add(1, Ordering::Relaxed);
                });
                if number % 64 == 0 {
                    yield_now();
                }
            }
        });
        assert_eq!(count.into_inner(), stress(2_000));
    });
}

#[test]
fn a_failure_races_with_spawning_and_ending() {
    // At least one for each position of the failing one: an emulator is slow.
    let rounds = stress(if is_emulated() { 20 } else { 100 });
    for workers in [1, 2, 3] {
        on_workers(workers, || {
            for round in 0..rounds {
                let alive = AtomicUsize::new(0);
                let text = panics(|| {
                    scope_cancelling(|s| {
                        for number in 0..20 {
                            let alive = &alive;
                            s.spawn(move || {
                                alive.fetch_add(1, Ordering::SeqCst);
                                let _guard = OnDrop(|| {
                                    alive.fetch_sub(1, Ordering::SeqCst);
                                });
                                match number {
                                    7 => {
                                        for _ in 0..round % 5 {
                                            yield_now();
                                        }
                                        fail("seven");
                                    }
                                    _ if number % 3 == 0 => yield_now(),
                                    _ if number % 3 == 1 => sleep(Duration::from_micros(20)),
                                    _ => park(),
                                }
                            });
                            if number == round % 20 {
                                yield_now();
                            }
                        }
                        drop(spawn(|| ()).join());
                    });
                });
                assert_eq!(text, "seven");
                assert_eq!(alive.into_inner(), 0);
            }
        });
    }
}
