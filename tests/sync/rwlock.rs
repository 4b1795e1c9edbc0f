//! `RwLock`, with the names that std has.

use super::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use super::{enter, thread};
use crate::support::stress;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};

fn poison<T>(lock: &RwLock<T>) {
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _guard = lock.write().unwrap();
        resume_unwind(Box::new("on purpose"));
    }));
    assert!(panicked.is_err());
    assert!(lock.is_poisoned());
}

#[test]
fn many_read_or_one_writes() {
    enter(|| {
        let lock = RwLock::new(1);
        let (one, other) = (lock.read().unwrap(), lock.try_read().unwrap());
        assert_eq!(*one + *other, 2);
        assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
        drop(one);
        assert!(lock.try_write().is_err());
        drop(other);
        let mut writes = lock.try_write().unwrap();
        *writes = 2;
        assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)));
        assert!(lock.try_write().is_err());
        drop(writes);
        assert_eq!(*lock.read().unwrap(), 2);
    });
}

#[test]
fn readers_see_whole_changes() {
    enter(|| {
        let lock = Arc::new(RwLock::new((0_usize, 0_usize)));
        let rounds = stress(300);
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let lock = Arc::clone(&lock);
                thread::spawn(move || {
                    for round in 0..rounds {
                        let mut pair = lock.write().unwrap();
                        pair.0 += 1;
                        if round % 8 == 0 {
                            thread::yield_now();
                        }
                        pair.1 += 1;
                    }
                })
            })
            .collect();
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let lock = Arc::clone(&lock);
                thread::spawn(move || {
                    for round in 0..rounds {
                        let pair = lock.read().unwrap();
                        let first = pair.0;
                        if round % 8 == 0 {
                            thread::yield_now();
                        }
                        assert_eq!(first, pair.1);
                    }
                })
            })
            .collect();
        for thread in writers.into_iter().chain(readers) {
            thread.join().unwrap();
        }
        assert_eq!(*lock.read().unwrap(), (4 * rounds, 4 * rounds));
    });
}

#[test]
fn only_a_writers_panic_poisons() {
    enter(|| {
        let mut lock = RwLock::new(1);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _guard = lock.read().unwrap();
            resume_unwind(Box::new("on purpose"));
        }));
        assert!(panicked.is_err() && !lock.is_poisoned());
        poison(&lock);
        assert!(lock.read().is_err() && lock.write().is_err());
        assert!(matches!(lock.try_read(), Err(TryLockError::Poisoned(_))));
        assert!(matches!(lock.try_write(), Err(TryLockError::Poisoned(_))));
        assert!(lock.get_mut().is_err());
        lock.clear_poison();
        assert_eq!(*lock.read().unwrap(), 1);
        poison(&lock);
        assert_eq!(lock.into_inner().unwrap_err().into_inner(), 1);
    });
}

#[test]
fn a_writer_becomes_a_reader() {
    enter(|| {
        let lock = Arc::new(RwLock::new(0));
        let threads: Vec<_> = (0..6)
            .map(|_| {
                let lock = Arc::clone(&lock);
                thread::spawn(move || {
                    for _ in 0..stress(100) {
                        let mut writes = lock.write().unwrap();
                        *writes += 1;
                        let mine = *writes;
                        let reads = RwLockWriteGuard::downgrade(writes);
                        thread::yield_now();
                        assert_eq!(*reads, mine);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let lock = Arc::into_inner(lock).unwrap();
        let reads = RwLockWriteGuard::downgrade(lock.write().unwrap());
        assert!(lock.try_read().is_ok() && lock.try_write().is_err());
        assert_eq!(*reads, 6 * stress(100));
    });
}

#[test]
fn shows_itself() {
    enter(|| {
        let lock = RwLock::new(5);
        assert_eq!(
            format!("{lock:?}"),
            "RwLock { data: 5, poisoned: false, .. }"
        );
        let reads = lock.read().unwrap();
        assert_eq!(format!("{reads:?} {reads}"), "5 5");
        assert_eq!(
            format!("{lock:?}"),
            "RwLock { data: 5, poisoned: false, .. }"
        );
        drop(reads);
        let writes = lock.write().unwrap();
        assert_eq!(
            format!("{lock:?}"),
            "RwLock { data: <locked>, poisoned: false, .. }"
        );
        assert_eq!(format!("{writes:?} {writes}"), "5 5");
        drop(writes);
        poison(&lock);
        assert_eq!(
            format!("{lock:?}"),
            "RwLock { data: 5, poisoned: true, .. }"
        );
    });
}

#[test]
fn guards_any_type() {
    static IN_A_STATIC: RwLock<Vec<u8>> = RwLock::new(Vec::new());
    enter(|| {
        IN_A_STATIC.write().unwrap().push(1);
        let slice: &RwLock<[i32]> = &RwLock::new([1, 2, 3]);
        slice.write().unwrap()[0] = 5;
        assert_eq!(*slice.read().unwrap(), [5, 2, 3]);
        assert_eq!(*RwLock::<u8>::default().read().unwrap(), 0);
        assert_eq!(RwLock::from(3).into_inner().unwrap(), 3);
        let mut lock = RwLock::new(1);
        *lock.get_mut().unwrap() = 2;
        assert_eq!(*lock.read().unwrap(), 2);
    });
}

#[test]
fn a_read_guard_is_covariant() {
    fn shorter<'a>(_: RwLockReadGuard<'_, &'a i32>, _: &'a i32) {}
    let long = 5;
    let lock = RwLock::new(&long);
    {
        let short = 6;
        shorter(lock.read().unwrap(), &short);
    }
    assert!(lock.try_write().is_ok());
}

#[test]
fn has_the_traits() {
    fn everything<T: Send + Sync + UnwindSafe + RefUnwindSafe + Unpin>() {}
    fn shared<T: Sync + UnwindSafe + RefUnwindSafe + Unpin>() {}
    everything::<RwLock<u8>>();
    shared::<RwLockReadGuard<'static, u8>>();
    shared::<RwLockWriteGuard<'static, u8>>();
}
