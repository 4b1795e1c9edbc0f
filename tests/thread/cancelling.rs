//! Cancelling: a thread unwinds from the wait it is in, with its destructors, silently.

use super::stress;
use rustlet::{Cancelled, JoinHandle, park, run, sleep, spawn, spawn_local, thread, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn is_cancelled<T: std::fmt::Debug>(handle: JoinHandle<T>) -> bool {
    handle.join().unwrap_err().is::<Cancelled>()
}

fn turns() {
    for _ in 0..10 {
        yield_now();
    }
}

/// Enough for the worker to poll its timers and I/O.
fn many_turns() {
    for _ in 0..1_000 {
        yield_now();
    }
}

#[test]
fn every_wait_can_be_cancelled() {
    run(|| {
        let waits: [fn(); 6] = [
            park,
            || sleep(Duration::from_secs(1 << 40)),
            || thread::park_timeout(Duration::MAX),
            || spawn(park).join().unwrap(),
            || {
                loop {
                    yield_now();
                }
            },
            || loop {
                sleep(Duration::from_millis(1));
            },
        ];
        for (number, wait) in waits.into_iter().enumerate() {
            let drops = Arc::new(AtomicUsize::new(0));
            let theirs = drops.clone();
            let thread = spawn_local(move || {
                let _guard = OnDrop(|| {
                    theirs.fetch_add(1, Ordering::SeqCst);
                });
                wait();
            });
            turns();
            assert!(!thread.is_finished());
            thread.cancel();
            assert!(is_cancelled(thread), "wait {number}");
            assert_eq!(drops.load(Ordering::SeqCst), 1);
        }
    });
}

#[test]
fn one_that_has_not_started_never_runs() {
    run(|| {
        let dropped = Arc::new(AtomicBool::new(false));
        let theirs = dropped.clone();
        let guard = OnDrop(move || theirs.store(true, Ordering::SeqCst));
        let thread = spawn_local(move || {
            let _guard = &guard;
            unreachable!("it was cancelled before its start");
        });
        thread.cancel();
        assert!(!dropped.load(Ordering::SeqCst));
        assert!(is_cancelled(thread));
        assert!(dropped.load(Ordering::SeqCst));
    });
}

#[test]
fn one_that_never_waits_ends_by_itself() {
    run(|| {
        let thread = spawn_local(|| 5);
        turns();
        thread.cancel();
        assert_eq!(thread.join().unwrap(), 5);

        let go = Arc::new(AtomicBool::new(false));
        let theirs = go.clone();
        let thread = spawn_local(move || {
            yield_now();
            // Raised when it enters a wait, not when it returns from one.
            yield_now();
            theirs.store(true, Ordering::SeqCst);
            6
        });
        yield_now();
        assert!(!go.load(Ordering::SeqCst));
        thread.cancel();
        assert!(is_cancelled(thread));
        assert!(!go.load(Ordering::SeqCst), "yield_now raises");
    });
}

#[test]
fn it_is_raised_again_until_the_thread_ends() {
    run(|| {
        let caught = Arc::new(AtomicUsize::new(0));
        let theirs = caught.clone();
        // Well past the number from which on each raise is preceded by a yield to the others.
        let thread = spawn_local(move || {
            for _ in 0..300 {
                let payload = catch_unwind(park).unwrap_err();
                assert!(payload.is::<Cancelled>());
                theirs.fetch_add(1, Ordering::SeqCst);
            }
            7
        });
        turns();
        thread.cancel();
        turns();
        let early = caught.load(Ordering::SeqCst);
        assert!((1..300).contains(&early), "others get their turns: {early}");
        assert_eq!(thread.join().unwrap(), 7);
        assert_eq!(caught.load(Ordering::SeqCst), 300);
    });
}

#[test]
fn a_destructor_that_waits_during_unwinding_waits() {
    run(|| {
        let log: Arc<Mutex<Vec<&str>>> = Arc::default();
        let theirs = log.clone();
        let thread = spawn_local(move || {
            let _guard = OnDrop(|| {
                let note = |text| theirs.lock().unwrap().push(text);
                note("begins");
                sleep(Duration::from_millis(1));
                yield_now();
                note("slept");
                let helper = spawn(|| {
                    yield_now();
                    5
                });
                assert_eq!(helper.join().unwrap(), 5);
                note("joined");
                rustlet::scope(|s| {
                    s.spawn(yield_now);
                });
                note("ends");
            });
            park();
        });
        turns();
        thread.cancel();
        assert!(is_cancelled(thread));
        assert_eq!(*log.lock().unwrap(), ["begins", "slept", "joined", "ends"]);
    });
}

#[test]
fn a_destructor_that_runs_normally_is_unwound_too() {
    run(|| {
        let ended = Arc::new(AtomicBool::new(false));
        let theirs = ended.clone();
        let thread = spawn_local(move || {
            let guard = OnDrop(|| {
                park();
                theirs.store(true, Ordering::SeqCst);
            });
            drop(guard);
        });
        turns();
        thread.cancel();
        assert!(is_cancelled(thread));
        assert!(!ended.load(Ordering::SeqCst));
    });
}

#[test]
fn a_panic_is_not_replaced() {
    run(|| {
        let thread = spawn(|| {
            let _guard = OnDrop(|| sleep(Duration::from_millis(1)));
            yield_now();
            resume_unwind(Box::new("mine"));
        });
        while !thread.is_finished() {
            yield_now();
        }
        thread.cancel();
        let payload = thread.join().unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"mine"));
    });
}

#[test]
fn a_condition_that_came_true_is_not_lost() {
    run(|| {
        for _ in 0..stress(100) {
            // The thread has ended before the cancellation is checked: its result is taken.
            let inner = spawn_local(|| 5);
            let outer = spawn_local(move || inner.join().unwrap());
            turns();
            outer.cancel();
            assert_eq!(outer.join().unwrap(), 5);
        }
        let thread = spawn_local(|| {
            park();
            park();
        });
        turns();
        thread.thread().unpark();
        thread.cancel();
        // The first park returns, the second raises; only the end shows which of the two it is.
        assert!(is_cancelled(thread));
    });
}

#[test]
fn the_joiner_unwinds_and_the_joined_goes_on() {
    run(|| {
        let go = Arc::new(AtomicBool::new(false));
        let ended = Arc::new(AtomicBool::new(false));
        let (going, ending) = (go.clone(), ended.clone());
        let inner = spawn(move || {
            while !going.load(Ordering::SeqCst) {
                park();
            }
            ending.store(true, Ordering::SeqCst);
        });
        let waker = inner.thread().clone();
        let outer = spawn_local(move || inner.join().unwrap());
        turns();
        outer.cancel();
        assert!(is_cancelled(outer));
        assert!(!ended.load(Ordering::SeqCst));
        go.store(true, Ordering::SeqCst);
        waker.unpark();
        while !ended.load(Ordering::SeqCst) {
            yield_now();
        }
    });
}

#[test]
fn from_an_os_thread() {
    run(|| {
        for _ in 0..stress(50) {
            let thread = spawn(park);
            let os = std::thread::spawn(move || {
                thread.cancel();
                is_cancelled(thread)
            });
            while !os.is_finished() {
                yield_now();
            }
            assert!(os.join().unwrap());
        }
    });
}

#[test]
fn cancelling_again_or_too_late_does_nothing() {
    run(|| {
        let thread = spawn(|| 5);
        while !thread.is_finished() {
            yield_now();
        }
        thread.cancel();
        thread.cancel();
        assert_eq!(thread.join().unwrap(), 5);
        let thread = spawn(park);
        for _ in 0..5 {
            thread.cancel();
            yield_now();
        }
        assert!(is_cancelled(thread));
    });
}

#[test]
fn many_threads_are_cancelled_while_they_run() {
    run(|| {
        for round in 0..stress(10) {
            let threads: Vec<_> = (0..200_usize)
                .map(|number| {
                    spawn(move || {
                        let local = std::rc::Rc::new(number);
                        for turn in 0..50 {
                            match (number + turn) % 4 {
                                0 => yield_now(),
                                1 => sleep(Duration::from_micros(10)),
                                2 => thread::park_timeout(Duration::from_micros(20)),
                                _ => drop(spawn(move || turn).join()),
                            }
                        }
                        *local
                    })
                })
                .collect();
            for _ in 0..round {
                yield_now();
            }
            threads.iter().for_each(JoinHandle::cancel);
            for (number, thread) in threads.into_iter().enumerate() {
                match thread.join() {
                    Ok(value) => assert_eq!(value, number),
                    Err(payload) => assert!(payload.is::<Cancelled>()),
                }
            }
        }
    });
}

#[test]
fn the_text_of_the_payload() {
    run(|| {
        let thread = spawn(park);
        thread.cancel();
        let payload = thread.join().unwrap_err();
        let cancelled: Box<Cancelled> = payload.downcast().unwrap();
        let error: Box<dyn std::error::Error + Send + Sync> = cancelled;
        assert_eq!(error.to_string(), "the green thread was cancelled");
    });
}

/// Only the unwinding of the thread itself defers a raise, not that of another thread on its
/// worker.
#[test]
fn another_threads_unwinding_does_not_hold_it_off() {
    let runtime = rustlet::Builder::new().workers(1).build().unwrap();
    runtime.run(|| {
        let go = Arc::new(AtomicBool::new(false));
        let theirs = go.clone();
        let unwinding = spawn(move || {
            let _guard = OnDrop(|| {
                while !theirs.load(Ordering::SeqCst) {
                    park();
                }
            });
            resume_unwind(Box::new("unwinding"));
        });
        let parked = spawn(park);
        turns();
        parked.cancel();
        turns();
        go.store(true, Ordering::SeqCst);
        unwinding.thread().unpark();
        unwinding.join().unwrap_err();
        // Now no thread unwinds any more, if the raise was deferred until now.
        many_turns();
        assert!(parked.is_finished(), "the cancellation was lost");
        assert!(is_cancelled(parked));
    });
}

#[test]
fn a_poisoned_looking_state_is_not_left_behind() {
    run(|| {
        let lock = Arc::new(Mutex::new(0));
        let theirs = lock.clone();
        let thread = spawn_local(move || {
            let caught = catch_unwind(AssertUnwindSafe(park));
            // Caught: the thread is in a normal state, and its locks are not poisoned by the former
            // unwinding.
            *theirs.lock().unwrap() += 1;
            drop(caught);
        });
        turns();
        thread.cancel();
        thread.join().unwrap();
        assert_eq!(*lock.lock().unwrap(), 1);
    });
}

/// Two threads of the worker wait in destructors while they unwind; a third is still cancelled at
/// once.
#[test]
fn it_comes_while_several_others_unwind() {
    let runtime = rustlet::Builder::new().workers(1).build().unwrap();
    runtime.run(|| {
        let unwind = || {
            let thread = spawn_local(|| {
                let _guard = OnDrop(park);
                resume_unwind(Box::new("unwinding"));
            });
            yield_now();
            thread
        };
        let first = unwind();
        let second = unwind();
        // Its wait begins while the others unwind.
        let parked = spawn_local(park);
        yield_now();
        parked.cancel();
        turns();
        assert!(parked.is_finished());
        assert!(is_cancelled(parked));
        for unwinding in [first, second] {
            assert!(!unwinding.is_finished());
            unwinding.thread().unpark();
            unwinding.join().unwrap_err();
        }
    });
}

/// The same, but the unwinding threads catch their panics and continue.
#[test]
fn it_comes_when_a_panic_was_caught() {
    let runtime = rustlet::Builder::new().workers(1).build().unwrap();
    runtime.run(|| {
        let unwind = || {
            let thread = spawn_local(|| {
                catch_unwind(|| {
                    let _guard = OnDrop(park);
                    resume_unwind(Box::new("unwinding"));
                })
                .unwrap_err();
                park();
            });
            yield_now();
            thread
        };
        let unwinding = [unwind(), unwind()];
        let parked = spawn_local(park);
        yield_now();
        parked.cancel();
        turns();
        for thread in &unwinding {
            thread.thread().unpark();
        }
        many_turns();
        assert!(parked.is_finished(), "the cancellation was lost");
        assert!(is_cancelled(parked));
        for thread in unwinding {
            thread.thread().unpark();
            thread.join().unwrap();
        }
    });
}
