//! `Once`, with the names that std has.

use super::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use super::sync::{Arc, Once, OnceState};
use super::{enter, thread};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};

fn fails(once: &Once) -> bool {
    catch_unwind(AssertUnwindSafe(|| once.call_once(|| ()))).is_err()
}

fn poison(once: &Once) {
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        once.call_once(|| resume_unwind(Box::new("on purpose")));
    }));
    assert!(panicked.is_err());
}

#[test]
fn runs_once() {
    enter(|| {
        let (once, ran) = (Once::new(), AtomicUsize::new(0));
        assert!(!once.is_completed());
        for _ in 0..3 {
            once.call_once(|| {
                ran.fetch_add(1, SeqCst);
            });
        }
        once.call_once_force(|_| unreachable!());
        once.wait();
        once.wait_force();
        assert!(once.is_completed());
        assert_eq!(ran.load(SeqCst), 1);
        assert_eq!(format!("{once:?}"), "Once { .. }");
    });
}

#[test]
fn the_others_wait() {
    enter(|| {
        let shared = Arc::new((Once::new(), AtomicUsize::new(0)));
        let threads: Vec<_> = (0..10)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    shared.0.call_once(|| {
                        for _ in 0..5 {
                            thread::yield_now();
                        }
                        shared.1.fetch_add(1, SeqCst);
                    });
                    assert_eq!(shared.1.load(SeqCst), 1);
                })
            })
            .collect();
        shared.0.wait();
        assert_eq!(shared.1.load(SeqCst), 1);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_panic_poisons() {
    enter(|| {
        let once = Once::new();
        poison(&once);
        assert!(!once.is_completed());
        assert!(fails(&once) && fails(&once));
        assert!(catch_unwind(AssertUnwindSafe(|| once.wait())).is_err());
        once.call_once_force(|state| {
            assert!(state.is_poisoned());
            assert_eq!(format!("{state:?}"), "OnceState { poisoned: true }");
        });
        assert!(once.is_completed() && !fails(&once));
        Once::new().call_once_force(|state| assert!(!state.is_poisoned()));
    });
}

#[test]
fn waiters_see_the_poison() {
    enter(|| {
        let once = Arc::new(Once::new());
        let threads = [true, false].map(|force| {
            let once = Arc::clone(&once);
            thread::spawn(move || {
                if force {
                    once.wait_force();
                } else {
                    once.wait();
                }
            })
        });
        thread::yield_now();
        poison(&once);
        let [forced, plain] = threads;
        assert!(plain.join().is_err());
        once.call_once_force(|_| ());
        forced.join().unwrap();
    });
}

/// The waiters return to wait for the next one, each once, while the first is still waking the
/// others.
#[test]
fn waiters_that_ignore_the_poison_wait_on() {
    enter(|| {
        let once = Arc::new(Once::new());
        let waiting: Vec<_> = (0..60)
            .map(|_| {
                let once = Arc::clone(&once);
                thread::spawn(move || once.wait_force())
            })
            .collect();
        for _ in 0..20 {
            thread::yield_now();
        }
        poison(&once);
        for thread in &waiting {
            assert!(!thread.is_finished());
        }
        once.call_once_force(|state| assert!(state.is_poisoned()));
        for thread in waiting {
            thread.join().unwrap();
        }
    });
}

#[test]
fn has_the_traits() {
    static IN_A_STATIC: Once = Once::new();
    fn everything<T: Send + Sync + UnwindSafe + RefUnwindSafe + Unpin>() {}
    fn sent<T: Send>() {}
    everything::<Once>();
    sent::<OnceState>();
    IN_A_STATIC.call_once(|| ());
}
