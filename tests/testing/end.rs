//! How runs end: too many steps, threads that are left, destructors.

use std::panic::{AssertUnwindSafe, panic_any};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustlet::sync::{Arc, Condvar, Mutex};
use rustlet::testing::{self, Simulation};

use super::panic_of;

const HOUR: Duration = Duration::from_secs(3600);

/// The data that the threads of a scope borrow is there until they have ended, wherever the run
/// finds that there were too many steps.
#[test]
fn scope_outlives_its_threads_in_a_livelock() {
    struct Frame(Arc<AtomicBool>);
    impl Drop for Frame {
        fn drop(&mut self) {
            self.0.store(false, Ordering::SeqCst);
        }
    }
    struct Push<'a>(&'a mut Vec<u32>, Arc<AtomicBool>, Arc<AtomicBool>);
    impl Drop for Push<'_> {
        fn drop(&mut self) {
            if self.1.load(Ordering::SeqCst) {
                self.0.push(4);
            } else {
                self.2.store(true, Ordering::SeqCst);
            }
        }
    }
    for steps in 1..200 {
        let is_late = Arc::new(AtomicBool::new(false));
        let late = is_late.clone();
        let text = panic_of(AssertUnwindSafe(move || {
            Simulation::new().max_steps(steps).run(move || {
                let alive = Arc::new(AtomicBool::new(true));
                let _frame = Frame(alive.clone());
                let mut data = vec![1, 2, 3];
                rustlet::scope(|s| {
                    let push = Push(&mut data, alive.clone(), late);
                    s.spawn(move || {
                        let _push = push;
                        rustlet::park();
                    });
                    rustlet::yield_now();
                });
            });
        }));
        assert!(
            text.contains("livelock") || text.contains("deadlock"),
            "{steps}: {text}"
        );
        assert!(!is_late.load(Ordering::SeqCst), "{steps}");
    }
}

/// One of the counts is used up before the lock is taken, one after that, one when it is released.
#[test]
fn lock_is_released_in_a_livelock() {
    for steps in 1000..1003 {
        let text = panic_of(move || {
            Simulation::new().max_steps(steps).run(|| {
                let pair = Arc::new((Mutex::new(()), Condvar::new()));
                let other = pair.clone();
                let _waiter = rustlet::spawn(move || {
                    let guard = other.0.lock().unwrap();
                    drop(other.1.wait(guard));
                });
                rustlet::yield_now();
                loop {
                    drop(pair.0.lock().unwrap());
                }
            });
        });
        assert!(text.contains("livelock"), "{text}");
    }
}

/// The threads that a failed run has left end in virtual time.
#[test]
fn failure_is_reported_although_a_shielded_thread_sleeps() {
    let text = panic_of(|| {
        Simulation::new().seeds(1).check(|| {
            rustlet::spawn(|| rustlet::shield(|| rustlet::sleep(HOUR)));
            rustlet::sleep(Duration::from_secs(1));
            panic!("the bug");
        });
    });
    assert!(text.contains("the bug"), "{text}");
}

#[test]
fn panic_that_only_the_end_shows_fails_the_run() {
    let text = panic_of(|| {
        testing::check(|| {
            let failed = rustlet::spawn(|| panic!("boom"));
            rustlet::spawn(move || {
                rustlet::park();
                drop(failed);
            });
            rustlet::sleep(Duration::from_secs(1));
        });
    });
    assert!(text.contains("boom"), "{text}");
    assert!(text.contains("nothing has joined it"), "{text}");
}

#[test]
fn panic_that_was_caught_before_the_end_is_no_failure() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            let _caught = std::panic::catch_unwind(|| panic!("in a destructor at the end"));
        }
    }
    testing::check(|| {
        rustlet::spawn(|| {
            let _caught = std::panic::catch_unwind(|| panic!("caught"));
            rustlet::park();
        });
        rustlet::spawn(|| {
            let _panics = Panics;
            rustlet::park();
        });
        rustlet::sleep(Duration::from_secs(1));
    });
}

/// Destructors that sleep, outside of the threads of the run.
#[test]
fn value_that_is_not_returned_is_dropped_in_real_time() {
    struct Sleeps;
    impl Drop for Sleeps {
        fn drop(&mut self) {
            rustlet::sleep(Duration::from_millis(1));
        }
    }
    let text = panic_of(|| {
        Simulation::new().fail_on_threads_left().run(|| {
            rustlet::spawn(rustlet::park);
            rustlet::yield_now();
            Sleeps
        });
    });
    assert!(text.contains("threads are left"), "{text}");
    let text = panic_of(|| testing::run(|| panic_any(Sleeps)));
    assert!(text.contains("panicked at"), "{text}");
}
