//! Every wait can be cancelled: the thread unwinds from it, and no item or wake-up is lost.

use crate::{let_others_block, on_workers};
use rustlet::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use rustlet::sync::{
    Arc, Barrier, Callback, Condvar, Event, LazyLock, Mutex, Once, OnceLock, Parker, RwLock,
    Semaphore, WaitGroup, oneshot,
};
use rustlet::{Cancelled, JoinHandle, spawn, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Spawns a thread that waits, cancels it there, and asserts that it unwound from the wait.
#[track_caller]
fn cancels(wait: impl FnOnce() + Send + 'static) {
    let thread = spawn(wait);
    end(thread);
}

#[track_caller]
fn end<T>(thread: JoinHandle<T>) {
    let_others_block();
    thread.cancel();
    let payload = thread.join().err().expect("it was to be cancelled");
    assert!(payload.is::<Cancelled>());
}

#[test]
fn a_lock() {
    on_workers(1, || {
        let mutex = Arc::new(Mutex::new(0));
        let guard = mutex.lock().unwrap();
        let other = Arc::clone(&mutex);
        cancels(move || *other.lock().unwrap() += 1);
        let third = Arc::clone(&mutex);
        let third = spawn(move || *third.lock().unwrap() += 10);
        let fourth = Arc::clone(&mutex);
        let fourth = spawn(move || *fourth.lock().unwrap() += 100);
        let_others_block();
        // Cancelled when it was woken already, or is about to be: the next waiter is not forgotten.
        drop(guard);
        third.cancel();
        fourth.join().unwrap();
        let third = third.join().is_ok();
        assert_eq!(*mutex.lock().unwrap(), 100 + 10 * u32::from(third));
        assert!(!mutex.is_poisoned());
    });
}

#[test]
fn a_lock_for_reading_or_writing() {
    on_workers(1, || {
        let lock = Arc::new(RwLock::new(0));
        let writes = lock.write().unwrap();
        let other = Arc::clone(&lock);
        cancels(move || *other.write().unwrap() += 1);
        let other = Arc::clone(&lock);
        cancels(move || assert_eq!(*other.read().unwrap(), 0));
        drop(writes);
        // A waiting writer holds up readers; when it is cancelled, they get in.
        let reads = lock.read().unwrap();
        let writer = Arc::clone(&lock);
        let writer = spawn(move || *writer.write().unwrap() += 1);
        let_others_block();
        assert!(lock.try_read().is_err());
        let reader = Arc::clone(&lock);
        let reader = spawn(move || *reader.read().unwrap());
        let_others_block();
        assert!(!reader.is_finished());
        end(writer);
        assert_eq!(reader.join().unwrap(), 0);
        drop(reads);
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn a_condvar() {
    on_workers(1, || {
        let pair = Arc::new((Mutex::new(0), Condvar::new()));
        let wait = |pair: &(Mutex<u32>, Condvar)| {
            let mut guard = pair.0.lock().unwrap();
            while *guard == 0 {
                guard = pair.1.wait(guard).unwrap();
            }
            *guard -= 1;
        };
        let other = Arc::clone(&pair);
        cancels(move || wait(&other));
        // It held the mutex as it unwound, and has released it.
        assert!(!pair.0.is_poisoned() && pair.0.try_lock().is_ok());

        // Notified and then cancelled: the notification came first, and it continues.
        let other = Arc::clone(&pair);
        let notified = spawn(move || wait(&other));
        let_others_block();
        *pair.0.lock().unwrap() = 1;
        pair.1.notify_one();
        notified.cancel();
        notified.join().unwrap();
        assert_eq!(*pair.0.lock().unwrap(), 0);

        // Cancelled and then notified: the notification goes to the other one.
        let threads = [(); 2].map(|()| {
            let other = Arc::clone(&pair);
            spawn(move || wait(&other))
        });
        let_others_block();
        let [first, second] = threads;
        end(first);
        *pair.0.lock().unwrap() = 1;
        pair.1.notify_one();
        second.join().unwrap();
    });
}

#[test]
fn a_condvar_takes_the_mutex_before_it_unwinds() {
    on_workers(1, || {
        let pair = Arc::new((Mutex::new(()), Condvar::new()));
        let held = Arc::new(AtomicBool::new(false));
        struct SeesTheGuard(Arc<AtomicBool>, Arc<(Mutex<()>, Condvar)>);
        impl Drop for SeesTheGuard {
            fn drop(&mut self) {
                self.0.store(self.1.0.try_lock().is_err(), SeqCst);
            }
        }
        let (other, seen) = (Arc::clone(&pair), Arc::clone(&held));
        let waits = spawn(move || {
            // Dropped before the guard that `wait` has taken, because it is inside the condition.
            let guard = other.0.lock().unwrap();
            let pair = Arc::clone(&other);
            drop(other.1.wait_while(guard, move |()| {
                let _sees = &seen;
                let _pair = &pair;
                true
            }));
        });
        let_others_block();
        let guard = pair.0.lock().unwrap();
        waits.cancel();
        let_others_block();
        // It waits for the mutex, shielded.
        assert!(!waits.is_finished());
        drop(guard);
        assert!(waits.join().unwrap_err().is::<Cancelled>());
        assert!(pair.0.try_lock().is_ok());
        drop(SeesTheGuard(held, pair));
    });
}

#[test]
fn a_barrier() {
    on_workers(1, || {
        let barrier = Arc::new(Barrier::new(2));
        let other = Arc::clone(&barrier);
        cancels(move || {
            barrier_wait(&other);
        });
        // The cancelled thread does not count.
        let other = Arc::clone(&barrier);
        let second = spawn(move || barrier_wait(&other));
        let_others_block();
        assert!(!second.is_finished());
        assert!(barrier_wait(&barrier));
        second.join().unwrap();
        // Complete and then cancelled: it continues.
        let other = Arc::clone(&barrier);
        let third = spawn(move || barrier_wait(&other));
        let_others_block();
        assert!(barrier_wait(&barrier));
        third.cancel();
        assert!(!third.join().unwrap());
    });
}

fn barrier_wait(barrier: &Barrier) -> bool {
    barrier.wait().is_leader()
}

#[test]
fn an_initialiser() {
    on_workers(1, || {
        let once = Arc::new(Once::new());
        let (running, waiting) = (Arc::clone(&once), Arc::clone(&once));
        let ran = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&ran);
        let running = spawn(move || running.call_once(rustlet::park));
        let_others_block();
        let waits = Arc::clone(&once);
        cancels(move || waits.call_once(|| ()));
        let waits = Arc::clone(&once);
        cancels(move || waits.wait());
        let next = spawn(move || {
            waiting.call_once(|| {
                counts.fetch_add(1, SeqCst);
            });
        });
        let_others_block();
        assert!(!next.is_finished());
        // The `Once` is as if it had not been called, and the waiter runs its own closure.
        end(running);
        next.join().unwrap();
        assert!(once.is_completed());
        assert_eq!(ran.load(SeqCst), 1);
    });
}

#[test]
fn the_initialiser_of_a_value() {
    on_workers(1, || {
        let place = Arc::new(OnceLock::new());
        let other = Arc::clone(&place);
        cancels(move || {
            other.get_or_init(|| {
                rustlet::park();
                1
            });
        });
        assert_eq!(place.set(2), Ok(()));

        // The closure of a `LazyLock` is consumed.
        let lazy = Arc::new(LazyLock::new(|| {
            rustlet::park();
            1
        }));
        let other = Arc::clone(&lazy);
        cancels(move || {
            LazyLock::force(&other);
        });
        let used = catch_unwind(AssertUnwindSafe(|| **lazy));
        let said = used.unwrap_err();
        assert_eq!(
            said.downcast_ref::<&str>(),
            Some(&"LazyLock instance has previously been poisoned")
        );
    });
}

#[test]
fn a_semaphore() {
    on_workers(1, || {
        let places = Arc::new(Semaphore::new(1));
        let large = Arc::clone(&places);
        let large = spawn(move || drop(large.acquire_many(2).unwrap()));
        let_others_block();
        let small = Arc::clone(&places);
        let small = spawn(move || small.acquire().unwrap().forget());
        let_others_block();
        assert!(!small.is_finished());
        end(large);
        // It has not taken its permits, and the next waiter is served.
        small.join().unwrap();
        assert_eq!(places.available_permits(), 0);
        // Granted and then cancelled: it has it.
        let other = Arc::clone(&places);
        let given = spawn(move || other.acquire().unwrap().num_permits());
        let_others_block();
        places.add_permits(1);
        given.cancel();
        assert_eq!(given.join().unwrap(), 1);
        assert_eq!(places.available_permits(), 1);
    });
}

#[test]
fn the_rest() {
    on_workers(1, || {
        let event = Arc::new(Event::new());
        let other = Arc::clone(&event);
        cancels(move || other.wait());

        let group = WaitGroup::new();
        let part = group.clone();
        cancels(move || part.wait());
        // Its handle is dropped.
        group.wait();

        let (sender, receiver) = oneshot::channel::<u8>();
        cancels(move || _ = receiver.recv());
        assert!(sender.is_closed());
        assert_eq!(sender.send(1), Err(1));

        let callback = Callback::new();
        let other: Callback<u8> = callback.clone();
        cancels(move || _ = other.wait());
        callback.call(5);
        assert_eq!(callback.wait(), 5);

        let parker = Parker::new();
        let unparker = parker.unparker().clone();
        cancels(move || parker.park());
        unparker.unpark();
    });
}

#[test]
fn with_a_timeout_it_is_the_same() {
    on_workers(1, || {
        let long = Duration::MAX;
        let event = Arc::new(Event::new());
        let other = Arc::clone(&event);
        cancels(move || _ = other.wait_timeout(long));
        let callback = Callback::<u8>::new();
        cancels(move || _ = callback.wait_timeout(long));
        let places = Arc::new(Semaphore::new(0));
        cancels(move || drop(places.acquire_timeout(long)));
        let (_sender, receiver) = oneshot::channel::<u8>();
        cancels(move || _ = receiver.recv_timeout(long));
        let parker = Parker::new();
        cancels(move || parker.park_timeout(long));
        let pair = Arc::new((Mutex::new(()), Condvar::new()));
        cancels(move || {
            drop(pair.1.wait_timeout(pair.0.lock().unwrap(), long));
        });
    });
}

/// A cancelled thread that is already unwinding waits for locks as any other does.
#[test]
fn destructors_may_lock() {
    on_workers(1, || {
        struct Counts(Arc<(Mutex<u32>, Condvar)>);
        impl Drop for Counts {
            fn drop(&mut self) {
                let mut guard = self.0.0.lock().unwrap();
                *guard += 1;
                // Waits until the other one has answered; otherwise the test hangs.
                while *guard < 2 {
                    guard = self.0.1.wait(guard).unwrap();
                }
            }
        }
        let pair = Arc::new((Mutex::new(0), Condvar::new()));
        let guard = pair.0.lock().unwrap();
        let counts = Counts(Arc::clone(&pair));
        let thread = spawn(move || {
            let _counts = counts;
            rustlet::park();
        });
        let_others_block();
        thread.cancel();
        let_others_block();
        assert!(!thread.is_finished());
        drop(guard);
        let guard = pair.0.lock().unwrap();
        let mut guard = if *guard == 0 {
            // It was overtaken once.
            drop(guard);
            let_others_block();
            pair.0.lock().unwrap()
        } else {
            guard
        };
        assert_eq!(*guard, 1);
        *guard = 2;
        pair.1.notify_one();
        drop(guard);
        assert!(thread.join().unwrap_err().is::<Cancelled>());
        assert!(!pair.0.is_poisoned());
    });
}

/// Threads are cancelled at random among others that continue: the count is right, and no thread
/// hangs.
#[test]
fn at_random() {
    for workers in [1, 2] {
        on_workers(workers, || {
            let shared = Arc::new((
                Mutex::new(0_usize),
                RwLock::new(0_usize),
                Semaphore::new(2),
                AtomicUsize::new(0),
            ));
            let threads: Vec<_> = (0..crate::support::stress(200))
                .map(|n| {
                    let shared = Arc::clone(&shared);
                    spawn(move || {
                        let (mutex, lock, places, done) = &*shared;
                        for round in 0..5 {
                            let place = places.acquire_many(1 + (n as u32 + round) % 2).unwrap();
                            let mut count = mutex.lock().unwrap();
                            yield_now();
                            let mut other = lock.write().unwrap();
                            // No wait from here to the end of the change.
                            *count += 1;
                            *other += 1;
                            done.fetch_add(1, SeqCst);
                            drop((other, count, place));
                            assert!(*lock.read().unwrap() > 0);
                        }
                    })
                })
                .collect();
            for (n, thread) in threads.iter().enumerate() {
                if n % 3 == 0 {
                    yield_now();
                    thread.cancel();
                }
            }
            for (n, thread) in threads.into_iter().enumerate() {
                let ended = thread.join();
                assert!(n % 3 == 0 || ended.is_ok());
            }
            let (mutex, lock, places, done) = &*shared;
            let done = done.load(SeqCst);
            assert_eq!(*mutex.lock().unwrap(), done);
            assert_eq!(*lock.read().unwrap(), done);
            assert_eq!(places.available_permits(), 2);
        });
    }
}
