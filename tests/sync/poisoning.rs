//! Which threads poison a lock, and which do not, when several green threads of a worker unwind.

use crate::{let_others_block, on_workers};
use rustlet::sync::atomic::{AtomicBool, Ordering::SeqCst};
use rustlet::sync::{Arc, Event, Mutex, Once, RwLock};
use rustlet::{spawn, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

fn quiet_panic() -> ! {
    resume_unwind(Box::new("on purpose"))
}

/// Waits in its destructor.
struct WaitsInDrop(Arc<Event>);

impl Drop for WaitsInDrop {
    fn drop(&mut self) {
        self.0.wait();
    }
}

#[test]
fn a_cancellation_does_not() {
    on_workers(1, || {
        let locks = Arc::new((Mutex::new(0), RwLock::new(0)));
        let other = Arc::clone(&locks);
        let thread = spawn(move || {
            let _one = other.0.lock().unwrap();
            let _two = other.1.write().unwrap();
            rustlet::park();
        });
        let_others_block();
        thread.cancel();
        assert!(thread.join().is_err());
        assert!(!locks.0.is_poisoned() && !locks.1.is_poisoned());
    });
}

#[test]
fn a_panic_after_a_caught_cancellation_does() {
    on_workers(1, || {
        let mutex = Arc::new(Mutex::new(0));
        let other = Arc::clone(&mutex);
        let thread = spawn(move || {
            // Caught, and dropped.
            assert!(catch_unwind(rustlet::park).is_err());
            let _guard = other.lock().unwrap();
            quiet_panic();
        });
        let_others_block();
        thread.cancel();
        assert!(thread.join().is_err());
        assert!(mutex.is_poisoned());
    });
}

#[test]
fn a_cancellation_that_is_passed_on_does_not() {
    on_workers(1, || {
        let mutex = Arc::new(Mutex::new(0));
        let other = Arc::clone(&mutex);
        let thread = spawn(move || {
            let _guard = other.lock().unwrap();
            let payload = catch_unwind(rustlet::park).unwrap_err();
            resume_unwind(payload);
        });
        let_others_block();
        thread.cancel();
        assert!(thread.join().is_err());
        assert!(!mutex.is_poisoned());
    });
}

#[test]
fn the_payload_of_another_thread_changes_nothing() {
    on_workers(1, || {
        let mutex = Arc::new(Mutex::new(0));
        let other = Arc::clone(&mutex);
        struct DropsAPayload(Option<rustlet::JoinHandle<()>>);
        impl Drop for DropsAPayload {
            fn drop(&mut self) {
                let handle = self.0.take().unwrap();
                assert!(handle.join().is_err());
            }
        }
        let cancelled = spawn(rustlet::park);
        cancelled.cancel();
        let_others_block();
        let thread = spawn(move || {
            let _guard = other.lock().unwrap();
            let _drops = DropsAPayload(Some(cancelled));
            rustlet::park();
        });
        let_others_block();
        thread.cancel();
        assert!(thread.join().is_err());
        assert!(!mutex.is_poisoned());
    });
}

/// One thread is suspended in a destructor because it panics. Others, which do not panic, lock and
/// unlock meanwhile, and release locks that they acquired before.
#[test]
fn threads_beside_an_unwinding_one_do_not() {
    on_workers(1, || {
        let done = Arc::new(Event::new());
        let go_on = Arc::new(Event::new());
        let before = Arc::new((Mutex::new(0), RwLock::new(0)));
        let holder = spawn({
            let (locks, go_on) = (Arc::clone(&before), Arc::clone(&go_on));
            move || {
                let _one = locks.0.lock().unwrap();
                let _two = locks.1.write().unwrap();
                go_on.wait();
            }
        });
        let_others_block();
        let waits = WaitsInDrop(Arc::clone(&done));
        let panics = spawn(move || {
            let _waits = waits;
            quiet_panic();
        });
        let_others_block();
        assert!(!std::thread::panicking());
        let meanwhile = Mutex::new(0);
        *meanwhile.lock().unwrap() += 1;
        assert!(!meanwhile.is_poisoned());
        let once = Once::new();
        once.call_once(yield_now);
        assert!(once.is_completed());
        go_on.set();
        holder.join().unwrap();
        assert!(!before.0.is_poisoned() && !before.1.is_poisoned());
        done.set();
        assert!(panics.join().is_err());
        assert!(!std::thread::panicking());
    });
}

/// A thread that panics holding a lock poisons it, even if it waits in a destructor before it drops
/// the guard.
#[test]
fn a_panic_does_though_it_waits_on_the_way() {
    on_workers(1, || {
        let done = Arc::new(Event::new());
        let mutex = Arc::new(Mutex::new(0));
        let panics = spawn({
            let (mutex, waits) = (Arc::clone(&mutex), WaitsInDrop(Arc::clone(&done)));
            move || {
                let _guard = mutex.lock().unwrap();
                let _waits = waits;
                quiet_panic();
            }
        });
        let_others_block();
        assert!(mutex.try_lock().is_err());
        done.set();
        assert!(panics.join().is_err());
        assert!(mutex.is_poisoned());
    });
}

#[test]
fn on_another_worker_it_is_told_exactly() {
    on_workers(2, || {
        // The first thread is suspended while it unwinds; wherever the others run, those that panic
        // poison unless they share its worker at that moment, and those that do not panic never do.
        let done = Arc::new(Event::new());
        let waits = WaitsInDrop(Arc::clone(&done));
        let first = spawn(move || {
            let _waits = waits;
            quiet_panic();
        });
        let innocent = Arc::new(Mutex::new(0));
        let threads: Vec<_> = (0..20)
            .map(|_| {
                let innocent = Arc::clone(&innocent);
                spawn(move || {
                    let mut guard = innocent.lock().unwrap();
                    yield_now();
                    *guard += 1;
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(!innocent.is_poisoned());
        done.set();
        assert!(first.join().is_err());
        let guilty = Mutex::new(0);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _guard = guilty.lock();
            quiet_panic();
        }));
        assert!(panicked.is_err() && guilty.is_poisoned());
    });
}

#[test]
fn the_end_of_a_run_does_not() {
    let mutex = Arc::new(Mutex::new(0));
    let other = Arc::clone(&mutex);
    let held = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&held);
    rustlet::run(move || {
        spawn(move || {
            let _guard = other.lock().unwrap();
            seen.store(true, SeqCst);
            rustlet::park();
        });
        while !held.load(SeqCst) {
            let_others_block();
        }
    });
    assert!(!mutex.is_poisoned() && mutex.try_lock().is_ok());
}

/// One of two threads that unwind and wait has ended: other threads that release their locks still
/// have not panicked.
#[test]
fn threads_beside_two_unwinding_ones_do_not() {
    on_workers(1, || {
        let unwinder = |done: &Arc<Event>| {
            let waits = WaitsInDrop(Arc::clone(done));
            spawn(move || {
                let _waits = waits;
                quiet_panic();
            })
        };
        let [first_done, second_done, go_on] = [const { Event::new() }; 3].map(Arc::new);
        let mutex = Arc::new(Mutex::new(0));
        let holder = spawn({
            let (mutex, go_on) = (Arc::clone(&mutex), Arc::clone(&go_on));
            move || {
                let _guard = mutex.lock().unwrap();
                go_on.wait();
            }
        });
        let_others_block();
        let first = unwinder(&first_done);
        let_others_block();
        let second = unwinder(&second_done);
        let_others_block();
        first_done.set();
        assert!(first.join().is_err());
        assert!(!std::thread::panicking() && !second.is_finished());
        go_on.set();
        holder.join().unwrap();
        assert!(!mutex.is_poisoned());
        second_done.set();
        assert!(second.join().is_err());
    });
}

/// A thread that began to wait while another one unwound panics.
#[test]
fn a_panic_does_when_the_others_have_done_with_theirs() {
    on_workers(1, || {
        let done = Arc::new(Event::new());
        let waits = WaitsInDrop(Arc::clone(&done));
        let first = spawn(move || {
            let _waits = waits;
            quiet_panic();
        });
        let_others_block();
        let long = spawn(rustlet::park);
        let_others_block();
        done.set();
        assert!(first.join().is_err());
        let mutex = Arc::new(Mutex::new(0));
        let panics = spawn({
            let (mutex, waits) = (Arc::clone(&mutex), WaitsInDrop(Arc::clone(&done)));
            move || {
                let _guard = mutex.lock().unwrap();
                let _waits = waits;
                quiet_panic();
            }
        });
        assert!(panics.join().is_err());
        assert!(mutex.is_poisoned());
        long.thread().unpark();
        long.join().unwrap();
    });
}
