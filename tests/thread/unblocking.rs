//! `unblock_scoped` and `Blocking`.

use rustlet::thread::{Blocking, unblock_scoped};
use rustlet::{Cancelled, run, spawn, timeout, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(1);

/// One worker, and at most one thread in the pool.
fn alone(case: impl FnOnce() + Send) {
    rustlet::Builder::new()
        .workers(1)
        .blocking_threads(1)
        .build()
        .unwrap()
        .run(case);
}

#[test]
fn a_scoped_call_borrows() {
    let case = || {
        let mut list = vec![3, 1, 2];
        let more = [4, 5];
        let worker = std::thread::current().id();
        let (first, thread) = unblock_scoped(|| {
            list.extend_from_slice(&more);
            list.sort_unstable();
            (&list[0], std::thread::current().id())
        });
        assert_eq!(*first, 1);
        assert_ne!(thread, worker);
        assert_eq!(list, [1, 2, 3, 4, 5]);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            unblock_scoped(|| {
                list.push(6);
                resume_unwind(Box::new(7))
            })
        }));
        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&7));
        assert_eq!(list.len(), 6);
    };
    run(case);
    alone(case);
}

/// The caller stays until the call has ended, and has its result.
#[test]
fn a_cancelled_caller_waits_for_its_scoped_call() {
    alone(|| {
        let (started, starts) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let caller = spawn(move || {
            let mut value = 0;
            let lent = &mut value;
            let result = unblock_scoped(move || {
                started.send(()).unwrap();
                wait.recv().unwrap();
                *lent += 1;
                "the result"
            });
            assert_eq!((value, result), (1, "the result"));
            rustlet::park();
        });
        // The channel of std: the worker goes on meanwhile.
        while starts.try_recv().is_err() {
            yield_now();
        }
        caller.cancel();
        for _ in 0..100 {
            yield_now();
        }
        assert!(!caller.is_finished());
        go.send(()).unwrap();
        // It has unwound from `park`.
        assert!(caller.join().unwrap_err().is::<Cancelled>());
    });
}

/// A call that is still queued never runs.
#[test]
fn a_queued_scoped_call_is_dropped() {
    alone(|| {
        let (go, wait) = mpsc::channel::<()>();
        let (started, starts) = mpsc::channel();
        let first = spawn(move || {
            rustlet::unblock(move || {
                started.send(()).unwrap();
                wait.recv().unwrap();
            });
        });
        while starts.try_recv().is_err() {
            yield_now();
        }
        let ran = AtomicUsize::new(0);
        let late = timeout(SHORT, || unblock_scoped(|| ran.fetch_add(1, SeqCst)));
        assert!(late.is_err());
        go.send(()).unwrap();
        first.join().unwrap();
        // The pool has done what was queued behind it.
        rustlet::unblock(|| {});
        assert_eq!(ran.load(SeqCst), 0);
    });
}

#[test]
fn a_value_is_used_by_one_call_at_a_time() {
    let case = || {
        let value = Arc::new(Blocking::new(0));
        let inside = Arc::new(AtomicUsize::new(0));
        let call = |value: &Blocking<u32>, inside: Arc<AtomicUsize>| {
            value.with(move |value| {
                assert_eq!(inside.fetch_add(1, SeqCst), 0);
                *value += 1;
                inside.fetch_sub(1, SeqCst);
            });
        };
        let threads: Vec<_> = (0..20)
            .map(|_| {
                let (value, inside) = (Arc::clone(&value), Arc::clone(&inside));
                spawn(move || call(&value, inside))
            })
            .collect();
        let os = std::thread::spawn({
            let (value, inside) = (Arc::clone(&value), Arc::clone(&inside));
            move || call(&value, inside)
        });
        for thread in threads {
            thread.join().unwrap();
        }
        os.join().unwrap();
        let mut borrowed = 1;
        value.with_scoped(|value| borrowed += *value);
        assert_eq!(borrowed, 22);
        let value = Arc::into_inner(value).unwrap();
        assert_eq!(value.into_inner(), 21);
    };
    run(case);
    case();
}

/// The call runs on, its result is dropped, and the value is there for the next one.
#[test]
fn a_call_that_is_left_keeps_the_value() {
    alone(|| {
        let (go, wait) = mpsc::channel::<()>();
        let (started, starts) = mpsc::channel();
        let mut value = Blocking::new(vec![1]);
        let result = Arc::new(());
        let kept = Arc::clone(&result);
        let token = rustlet::CancelToken::new();
        let canceller = spawn({
            let token = token.clone();
            move || {
                while starts.try_recv().is_err() {
                    yield_now();
                }
                token.cancel();
            }
        });
        let left = token.run_until_cancelled(|| {
            value.with(move |list| {
                started.send(()).unwrap();
                wait.recv().unwrap();
                list.push(2);
                kept
            })
        });
        assert!(left.is_none());
        canceller.join().unwrap();
        // It is busy.
        assert_eq!(value.try_with_mut(|_| ()), None);
        assert_eq!(format!("{value:?}"), "Blocking { value: \"<busy>\", .. }");
        assert!(timeout(SHORT, || value.with(|_| ())).is_err());
        go.send(()).unwrap();
        assert_eq!(value.with(|list| list.clone()), [1, 2]);
        while Arc::strong_count(&result) > 1 {
            yield_now();
        }
        assert_eq!(value.try_with_mut(|list| list.len()), Some(2));
        assert_eq!(value.into_inner(), [1, 2]);
    });
}

/// A call that waits for its turn suspends, and takes no thread of the pool.
#[test]
fn calls_that_wait_for_their_turn_leave_the_pool_free() {
    let runtime = rustlet::Builder::new().workers(1).blocking_threads(2);
    runtime.build().unwrap().run(|| {
        let (go, wait) = mpsc::channel::<()>();
        let (started, starts) = mpsc::channel();
        let value = Arc::new(Blocking::new(0));
        let first = spawn({
            let value = Arc::clone(&value);
            move || {
                value.with(move |value| {
                    started.send(()).unwrap();
                    wait.recv().unwrap();
                    *value += 1;
                });
            }
        });
        while starts.try_recv().is_err() {
            yield_now();
        }
        let others = [(); 3].map(|()| {
            let value = Arc::clone(&value);
            spawn(move || value.with(|value| *value += 1))
        });
        for _ in 0..10 {
            yield_now();
        }
        // The second thread of the pool is free.
        assert_eq!(rustlet::unblock(|| 7), 7);
        go.send(()).unwrap();
        first.join().unwrap();
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(value.with(|value| *value), 4);
    });
}

/// Records on which thread it is dropped.
struct Dropped(mpsc::Sender<std::thread::ThreadId>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.send(std::thread::current().id()).unwrap();
    }
}

#[test]
fn a_value_is_dropped_on_the_pool() {
    alone(|| {
        let here = std::thread::current().id();
        let (dropped, drops) = mpsc::channel();
        let next = || loop {
            match drops.try_recv() {
                Ok(thread) => return thread,
                Err(_) => yield_now(),
            }
        };
        drop(Blocking::new(Dropped(dropped.clone())));
        assert_ne!(next(), here);

        // A call runs: it drops the value.
        let (go, wait) = mpsc::channel::<()>();
        let (started, starts) = mpsc::channel();
        let value = Blocking::new(Dropped(dropped.clone()));
        let caller = spawn(move || {
            value.with(move |_| {
                started.send(()).unwrap();
                wait.recv().unwrap();
            });
        });
        while starts.try_recv().is_err() {
            yield_now();
        }
        caller.cancel();
        assert!(caller.join().is_err());
        assert!(drops.try_recv().is_err());
        go.send(()).unwrap();
        assert_ne!(next(), here);

        // Taken out: the owner drops it.
        drop(Blocking::new(Dropped(dropped)).into_inner());
        assert_eq!(next(), here);
    });
    // Without a runtime, in place.
    let (dropped, drops) = mpsc::channel();
    drop(Blocking::new(Dropped(dropped)));
    assert_eq!(drops.recv(), Ok(std::thread::current().id()));
}

#[test]
fn a_panic_poisons_the_value() {
    alone(|| {
        let mut value = Blocking::new(1);
        let call = || value.with(|_| resume_unwind(Box::new("no")));
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
        assert!(value.is_poisoned());
        let next = catch_unwind(AssertUnwindSafe(|| value.with(|value| *value)));
        assert!(next.is_err());
        assert_eq!(value.try_with_mut(|value| *value), None);
        value.clear_poison();
        assert_eq!(value.with(|value| *value), 1);
        assert_eq!(value.into_inner(), 1);
    });
}
