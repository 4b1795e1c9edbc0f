//! Locks with a time limit.

use crate::{let_others_block, on_workers};
use rustlet::sync::{Arc, Mutex, RwLock, TryLockError};
use rustlet::{Elapsed, spawn, timeout};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(1);

fn is_late<G>(result: Result<G, TryLockError<G>>) -> bool {
    matches!(result, Err(TryLockError::WouldBlock))
}

/// On green threads of one and of two workers, and on an OS thread.
fn everywhere(case: fn()) {
    on_workers(1, case);
    on_workers(2, case);
    case();
}

#[test]
fn a_free_lock_is_taken_at_once() {
    everywhere(|| {
        let mutex = Mutex::new(1);
        assert_eq!(*mutex.try_lock_for(Duration::ZERO).unwrap(), 1);
        assert_eq!(*mutex.try_lock_for(Duration::MAX).unwrap(), 1);
        assert_eq!(*mutex.try_lock_until(Instant::now()).unwrap(), 1);
        let lock = RwLock::new(1);
        assert_eq!(*lock.try_read_for(Duration::ZERO).unwrap(), 1);
        assert_eq!(*lock.try_read_until(Instant::now()).unwrap(), 1);
        *lock.try_write_for(Duration::ZERO).unwrap() += 1;
        *lock.try_write_until(Instant::now()).unwrap() += 1;
        assert_eq!(lock.into_inner().unwrap(), 3);
    });
}

#[test]
fn a_held_lock_is_not_taken_in_time() {
    everywhere(|| {
        let mutex = Mutex::new(());
        let guard = mutex.lock().unwrap();
        assert!(is_late(mutex.try_lock_for(Duration::ZERO)));
        assert!(is_late(mutex.try_lock_for(SHORT)));
        assert!(is_late(mutex.try_lock_until(Instant::now() + SHORT)));
        drop(guard);
        assert!(mutex.try_lock().is_ok());

        let lock = RwLock::new(());
        let reads = lock.read().unwrap();
        assert!(is_late(lock.try_write_for(SHORT)));
        assert!(is_late(lock.try_write_until(Instant::now())));
        // The writer has left the queue: readers are let in again.
        assert!(lock.try_read_for(Duration::ZERO).is_ok());
        drop(reads);
        let writes = lock.write().unwrap();
        assert!(is_late(lock.try_read_for(SHORT)));
        assert!(is_late(lock.try_read_until(Instant::now())));
        drop(writes);
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn a_lock_that_is_released_in_time_is_taken() {
    for workers in [1, 2] {
        on_workers(workers, || {
            let mutex = Arc::new(Mutex::new(0));
            let lock = Arc::new(RwLock::new(0));
            let (guard, writes) = (mutex.lock().unwrap(), lock.write().unwrap());
            let threads = [(); 4].map(|()| {
                let (mutex, lock) = (Arc::clone(&mutex), Arc::clone(&lock));
                spawn(move || {
                    *mutex.try_lock_for(Duration::MAX).unwrap() += 1;
                    let _read = *lock.try_read_for(Duration::from_secs(600)).unwrap();
                    *lock.try_write_for(Duration::from_secs(600)).unwrap() += 1;
                })
            });
            let (also, os) = (Arc::clone(&mutex), Arc::clone(&lock));
            let os_thread = std::thread::spawn(move || {
                *also.try_lock_for(Duration::from_secs(600)).unwrap() += 1;
                *os.try_write_for(Duration::MAX).unwrap() += 1;
            });
            let_others_block();
            drop(guard);
            drop(writes);
            for thread in threads {
                thread.join().unwrap();
            }
            os_thread.join().unwrap();
            assert_eq!((*mutex.lock().unwrap(), *lock.read().unwrap()), (5, 5));
        });
    }
}

#[test]
fn a_poisoned_lock_gives_its_guard() {
    let mutex = Arc::new(Mutex::new(1));
    let other = Arc::clone(&mutex);
    let failed = std::thread::spawn(move || {
        let _guard = other.lock().unwrap();
        std::panic::resume_unwind(Box::new("no"));
    });
    assert!(failed.join().is_err());
    match mutex.try_lock_for(SHORT) {
        Err(TryLockError::Poisoned(error)) => assert_eq!(**error.get_ref(), 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cancelled_waiter_leaves_the_lock_alone() {
    on_workers(1, || {
        let mutex = Arc::new(Mutex::new(0));
        let lock = Arc::new(RwLock::new(0));
        let (guard, writes) = (mutex.lock().unwrap(), lock.write().unwrap());
        let limited = |wait: &dyn Fn()| timeout(SHORT, wait) == Err(Elapsed);
        assert!(limited(&|| drop(mutex.try_lock_for(Duration::MAX))));
        assert!(limited(&|| drop(lock.try_read_for(Duration::MAX))));
        assert!(limited(&|| drop(lock.try_write_for(Duration::MAX))));
        let other = Arc::clone(&mutex);
        let cancelled = spawn(move || drop(other.try_lock_for(Duration::MAX)));
        let other = Arc::clone(&mutex);
        let next = spawn(move || *other.try_lock_for(Duration::MAX).unwrap() += 1);
        let_others_block();
        cancelled.cancel();
        let_others_block();
        drop(guard);
        drop(writes);
        assert!(cancelled.join().unwrap_err().is::<rustlet::Cancelled>());
        next.join().unwrap();
        assert_eq!(*mutex.lock().unwrap(), 1);
        assert!(!mutex.is_poisoned() && lock.try_write().is_ok());
    });
}
