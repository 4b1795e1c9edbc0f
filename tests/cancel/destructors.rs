//! Limits that a destructor opens while its thread unwinds: they end its waits, and nothing else.

use super::{OnDrop, on_workers};
use rustlet::channel::unbounded;
use rustlet::sync::{Event, Mutex};
use rustlet::{
    CancelToken, Cancelled, Elapsed, park, scope, shield, sleep, spawn, thread, timeout,
};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

fn quiet_panic() -> ! {
    resume_unwind(Box::new("on purpose"))
}

/// Calls `f` in a destructor that runs while its thread unwinds: with a panic, with an elapsed
/// limit, and with a panic of an OS thread.
fn while_unwinding(f: fn()) {
    let count = AtomicUsize::new(0);
    let in_drop = || {
        OnDrop(|| {
            f();
            count.fetch_add(1, SeqCst);
        })
    };
    let panics = || {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _in_drop = in_drop();
            quiet_panic();
        }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"on purpose"));
    };
    let elapses = || {
        let late = timeout(Duration::ZERO, || {
            let _in_drop = in_drop();
            park();
        });
        assert_eq!(late, Err(Elapsed));
    };
    for workers in [1, 2] {
        on_workers(workers, panics);
        on_workers(workers, elapses);
    }
    panics();
    elapses();
    assert_eq!(count.into_inner(), 6);
}

#[test]
fn a_limit_of_a_destructor_ends_every_kind_of_wait() {
    while_unwinding(|| {
        assert_eq!(timeout(SOON, park), Err(Elapsed));
        assert_eq!(timeout(SOON, || sleep(LONG)), Err(Elapsed));
        let (_sender, receiver) = unbounded::<()>();
        assert!(timeout(SOON, || receiver.recv()).is_err());
        let mutex = Mutex::new(());
        let held = mutex.lock().unwrap();
        assert!(timeout(SOON, || drop(mutex.lock())).is_err());
        drop(held);
        assert!(!mutex.is_poisoned());
        let (event, theirs) = (Arc::new(Event::new()), Arc::new(Event::new()));
        let parked = {
            let (event, theirs) = (event.clone(), theirs.clone());
            spawn(move || {
                event.wait();
                theirs.set();
            })
        };
        assert!(timeout(SOON, || drop(parked.join())).is_err());
        event.set();
        theirs.wait();
        // The first to end counts, and the others are left in order.
        let inner = timeout(LONG, || timeout(SOON, park));
        assert_eq!(inner, Ok(Err(Elapsed)));
        let outer = timeout(SOON, || timeout(LONG, park));
        assert_eq!(outer, Err(Elapsed));
        let caught = timeout(SOON, || catch_unwind(park).is_err());
        assert_eq!(caught, Ok(true));
        assert_eq!(timeout(LONG, || 5), Ok(5));
    });
}

#[test]
fn a_token_and_a_scope_of_a_destructor_end_its_waits() {
    while_unwinding(|| {
        let token = CancelToken::new();
        let theirs = token.clone();
        let thread = spawn(move || {
            sleep(SOON);
            theirs.cancel();
        });
        assert_eq!(token.run_until_cancelled(park), None);
        thread.join().unwrap();
        let (started, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let late = timeout(SOON, || {
            scope(|s| {
                s.spawn(|| {
                    started.fetch_add(1, SeqCst);
                    let _ends = OnDrop(|| {
                        ended.fetch_add(1, SeqCst);
                    });
                    park();
                });
            });
        });
        assert_eq!(late, Err(Elapsed));
        // Neither, if the time was over before the thread could start.
        assert_eq!(ended.into_inner(), started.into_inner());
        let failed = catch_unwind(|| {
            thread::scope_cancelling(|s| {
                s.spawn(|| quiet_panic());
                park();
            });
        });
        assert!(failed.is_err());
    });
}

#[test]
fn a_shield_in_a_destructor_holds_its_limit_off() {
    while_unwinding(|| {
        let mut steps = 0;
        let late = timeout(SOON, || {
            shield(|| {
                sleep(2 * SOON);
                steps += 1;
            });
            park();
            steps += 1;
        });
        assert_eq!((late, steps), (Err(Elapsed), 1));
    });
}

/// Between the wait and the limit another destructor unwinds, which the cancellation must not
/// leave.
#[test]
fn a_limit_of_a_destructor_waits_for_the_destructors_within() {
    while_unwinding(|| {
        let mut steps = 0;
        let caught = catch_unwind(AssertUnwindSafe(|| {
            timeout(SOON, || {
                let _waits = OnDrop(|| {
                    sleep(3 * SOON);
                    assert_eq!(timeout(SOON, park), Err(Elapsed));
                    steps += 1;
                });
                quiet_panic();
            })
        }));
        assert!(caught.is_err());
        assert_eq!(steps, 1);
    });
}

/// What the thread unwinds with is the same afterwards: a cancellation poisons no lock, a panic
/// does.
#[test]
fn a_limit_of_a_destructor_does_not_hide_what_the_thread_unwinds_with() {
    for workers in [1, 2] {
        on_workers(workers, || {
            for cancels in [true, false] {
                let mutex = Arc::new(Mutex::new(()));
                let theirs = mutex.clone();
                let thread = spawn(move || {
                    let _held = theirs.lock().unwrap();
                    let _in_drop = OnDrop(|| assert_eq!(timeout(SOON, park), Err(Elapsed)));
                    if !cancels {
                        quiet_panic();
                    }
                    park();
                });
                while mutex.try_lock().is_ok() {}
                thread.cancel();
                let payload = thread.join().unwrap_err();
                assert_eq!(Cancelled::is(&payload), cancels);
                assert_eq!(mutex.is_poisoned(), !cancels);
            }
        });
    }
}
