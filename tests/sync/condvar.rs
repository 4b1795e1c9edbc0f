//! `Condvar`, with the names that std has.

use super::sync::{Arc, Condvar, Mutex};
use super::{enter, thread};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

#[test]
fn notifying_without_waiters() {
    enter(|| {
        let changed = Condvar::new();
        changed.notify_one();
        changed.notify_all();
        assert_eq!(format!("{changed:?}"), "Condvar { .. }");
        Condvar::default().notify_one();
    });
}

#[test]
fn one_is_woken() {
    enter(|| {
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let other = Arc::clone(&pair);
        let mut guard = pair.0.lock().unwrap();
        let thread = thread::spawn(move || {
            // The lock is free only when the other one waits.
            *other.0.lock().unwrap() = true;
            other.1.notify_one();
        });
        while !*guard {
            guard = pair.1.wait(guard).unwrap();
        }
        drop(guard);
        thread.join().unwrap();
    });
}

#[test]
fn all_are_woken() {
    enter(|| {
        const N: usize = 10;
        let shared = Arc::new((Mutex::new(0), Condvar::new(), Condvar::new()));
        let threads: Vec<_> = (0..N)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let (count, all_here, go) = &*shared;
                    let mut count = count.lock().unwrap();
                    *count += 1;
                    if *count == N {
                        all_here.notify_one();
                    }
                    while *count != 0 {
                        count = go.wait(count).unwrap();
                    }
                })
            })
            .collect();
        let (count, all_here, go) = &*shared;
        let mut count = count.lock().unwrap();
        while *count != N {
            count = all_here.wait(count).unwrap();
        }
        *count = 0;
        go.notify_all();
        drop(count);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn waits_while() {
    enter(|| {
        let pair = Arc::new((Mutex::new(0), Condvar::new()));
        let other = Arc::clone(&pair);
        let thread = thread::spawn(move || {
            for _ in 0..10 {
                *other.0.lock().unwrap() += 1;
                other.1.notify_one();
                thread::yield_now();
            }
        });
        let guard = pair.1.wait_while(pair.0.lock().unwrap(), |n| *n < 10);
        assert_eq!(*guard.unwrap(), 10);
        thread.join().unwrap();
    });
}

#[test]
fn takes_turns() {
    enter(|| {
        const TURNS: u32 = 500;
        let pair = Arc::new((Mutex::new(0), Condvar::new()));
        let other = Arc::clone(&pair);
        let play = |pair: &(Mutex<u32>, Condvar), odd: u32| {
            let mut turn = pair.0.lock().unwrap();
            while *turn < TURNS {
                if *turn % 2 == odd {
                    *turn += 1;
                    pair.1.notify_one();
                } else {
                    turn = pair.1.wait(turn).unwrap();
                }
            }
            pair.1.notify_all();
        };
        let thread = thread::spawn(move || play(&other, 1));
        play(&pair, 0);
        thread.join().unwrap();
    });
}

#[test]
fn time_runs_out() {
    enter(|| {
        let (mutex, never) = (Mutex::new(()), Condvar::new());
        for wait in [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(5)] {
            loop {
                let begin = Instant::now();
                let guard = mutex.lock().unwrap();
                let (_guard, result) = never.wait_timeout(guard, wait).unwrap();
                // It may wake up spuriously.
                if result.timed_out() {
                    assert!(begin.elapsed() >= wait);
                    break;
                }
            }
        }
        let guard = mutex.lock().unwrap();
        let waited = never.wait_timeout_while(guard, Duration::from_millis(1), |()| true);
        assert!(waited.unwrap().1.timed_out());
        let guard = mutex.lock().unwrap();
        let waited = never.wait_timeout_while(guard, Duration::ZERO, |()| false);
        assert!(!waited.unwrap().1.timed_out());
        let guard = mutex.lock().unwrap();
        #[allow(deprecated, reason = "it is there")]
        let waited = never.wait_timeout_ms(guard, 0);
        assert!(!waited.unwrap().1);
    });
}

#[test]
fn a_long_timeout_does_not_matter() {
    enter(|| {
        for wait in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(1000)] {
            let pair = Arc::new((Mutex::new(false), Condvar::new()));
            let other = Arc::clone(&pair);
            let thread = thread::spawn(move || {
                *other.0.lock().unwrap() = true;
                other.1.notify_one();
            });
            let guard = pair.0.lock().unwrap();
            let waited = pair.1.wait_timeout_while(guard, wait, |ready| !*ready);
            let (guard, result) = waited.unwrap();
            assert!(*guard && !result.timed_out());
            drop(guard);
            thread.join().unwrap();
        }
    });
}

#[test]
fn sees_the_poison_of_another() {
    enter(|| {
        let pair = Arc::new((Mutex::new(0), Condvar::new()));
        let other = Arc::clone(&pair);
        let guard = pair.0.lock().unwrap();
        let thread = thread::spawn(move || {
            let _guard = other.0.lock().unwrap();
            other.1.notify_one();
            resume_unwind(Box::new("on purpose"));
        });
        let waited = pair.1.wait_while(guard, |_| !pair.0.is_poisoned());
        assert!(waited.is_err());
        assert!(thread.join().is_err());
        drop(waited);
        let guard = pair.0.lock().unwrap_err().into_inner();
        let waited = pair.1.wait_timeout(guard, Duration::ZERO);
        drop(waited.unwrap_err().into_inner().0);
    });
}

#[test]
fn a_condition_that_panics_poisons() {
    enter(|| {
        let (mutex, changed) = (Mutex::new(()), Condvar::new());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let guard = mutex.lock().unwrap();
            drop(changed.wait_while(guard, |()| resume_unwind(Box::new("on purpose"))));
        }));
        assert!(panicked.is_err() && mutex.is_poisoned());
    });
}

#[test]
fn has_the_traits() {
    fn everything<T: Send + Sync + UnwindSafe + RefUnwindSafe + Unpin + Default>() {}
    everything::<Condvar>();
}
