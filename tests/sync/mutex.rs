//! `Mutex`, with the names that std has.

use super::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use super::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use super::{enter, thread};
use crate::support::stress;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};

fn quiet_panic() -> ! {
    resume_unwind(Box::new("on purpose"))
}

fn poison<T>(mutex: &Mutex<T>) {
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _guard = mutex.lock().unwrap();
        quiet_panic();
    }));
    assert!(panicked.is_err());
    assert!(mutex.is_poisoned());
}

#[test]
fn counts_every_turn() {
    enter(|| {
        let count = Arc::new(Mutex::new(0_usize));
        let each = stress(2_000);
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let count = Arc::clone(&count);
                thread::spawn(move || {
                    for turn in 0..each {
                        let mut guard = count.lock().unwrap();
                        let before = *guard;
                        if turn % 64 == 0 {
                            thread::yield_now();
                        }
                        *guard = before + 1;
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*count.lock().unwrap(), 8 * each);
    });
}

#[test]
fn tries_without_waiting() {
    enter(|| {
        let mutex = Mutex::new(1);
        let guard = mutex.lock().unwrap();
        assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
        drop(guard);
        *mutex.try_lock().unwrap() = 2;
        assert_eq!(*mutex.lock().unwrap(), 2);
    });
}

#[test]
fn shows_itself() {
    enter(|| {
        let mutex = Mutex::new(5);
        assert_eq!(
            format!("{mutex:?}"),
            "Mutex { data: 5, poisoned: false, .. }"
        );
        let guard = mutex.lock().unwrap();
        // Some versions of std have no quotes there.
        assert_eq!(
            format!("{mutex:?}").replace('"', ""),
            "Mutex { data: <locked>, poisoned: false, .. }"
        );
        assert_eq!(format!("{guard:?} {guard}"), "5 5");
        drop(guard);
        poison(&mutex);
        assert_eq!(
            format!("{mutex:?}"),
            "Mutex { data: 5, poisoned: true, .. }"
        );
        assert_eq!(
            format!("{:#?}", Mutex::new("x")),
            "Mutex {\n    data: \"x\",\n    poisoned: false,\n    ..\n}"
        );
    });
}

#[test]
fn a_panic_poisons() {
    enter(|| {
        let mut mutex = Mutex::new(3);
        assert!(!mutex.is_poisoned());
        poison(&mutex);
        assert_eq!(**mutex.lock().unwrap_err().get_ref(), 3);
        assert!(matches!(mutex.try_lock(), Err(TryLockError::Poisoned(_))));
        assert_eq!(*mutex.get_mut().unwrap_err().into_inner(), 3);
        *mutex.lock().unwrap_or_else(PoisonError::into_inner) = 4;
        mutex.clear_poison();
        assert_eq!(*mutex.lock().unwrap(), 4);
        poison(&mutex);
        assert_eq!(mutex.into_inner().unwrap_err().into_inner(), 4);
    });
}

#[test]
fn a_panic_in_a_thread_poisons() {
    enter(|| {
        let mutex = Arc::new(Mutex::new(0));
        let other = Arc::clone(&mutex);
        let panicked = thread::spawn(move || {
            let _guard = other.lock().unwrap();
            thread::yield_now();
            quiet_panic();
        });
        assert!(panicked.join().is_err());
        assert!(mutex.is_poisoned());
    });
}

#[test]
fn a_lock_taken_while_unwinding_is_not_poisoned() {
    enter(|| {
        struct Locks<'a>(&'a Mutex<u32>);
        impl Drop for Locks<'_> {
            fn drop(&mut self) {
                *self.0.lock().unwrap() += 1;
            }
        }
        let mutex = Mutex::new(0);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _locks = Locks(&mutex);
            quiet_panic();
        }));
        assert!(panicked.is_err());
        assert_eq!(*mutex.lock().unwrap(), 1);
    });
}

#[test]
fn a_panic_that_is_over_does_not_poison() {
    enter(|| {
        let mutex = Mutex::new(0);
        let guard = mutex.lock().unwrap();
        assert!(catch_unwind(|| quiet_panic()).is_err());
        drop(guard);
        assert!(!mutex.is_poisoned());
    });
}

#[test]
fn gives_the_value_back() {
    enter(|| {
        struct Counts(Arc<AtomicUsize>);
        impl Drop for Counts {
            fn drop(&mut self) {
                self.0.fetch_add(1, SeqCst);
            }
        }
        let drops = Arc::new(AtomicUsize::new(0));
        let inner = Mutex::new(Counts(Arc::clone(&drops))).into_inner().unwrap();
        assert_eq!(drops.load(SeqCst), 0);
        drop(inner);
        assert_eq!(drops.load(SeqCst), 1);
        drop(Mutex::new(Counts(Arc::clone(&drops))));
        assert_eq!(drops.load(SeqCst), 2);
    });
}

#[test]
fn guards_any_type() {
    static IN_A_STATIC: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    enter(|| {
        IN_A_STATIC.lock().unwrap().push(1);
        let slice: &Mutex<[i32]> = &Mutex::new([1, 2, 3]);
        slice.lock().unwrap()[2] = 5;
        assert_eq!(*slice.lock().unwrap(), [1, 2, 5]);
        let mut boxed: Box<Mutex<dyn Fn() -> u8 + Send>> = Box::new(Mutex::new(|| 7));
        assert_eq!((boxed.lock().unwrap())(), 7);
        assert_eq!((boxed.get_mut().unwrap())(), 7);
        assert_eq!(*Mutex::<u8>::default().lock().unwrap(), 0);
        assert_eq!(*Mutex::from(3).lock().unwrap(), 3);
    });
}

#[test]
fn has_the_traits() {
    fn everything<T: Send + Sync + UnwindSafe + RefUnwindSafe + Unpin>() {}
    fn shared<T: Sync + UnwindSafe + RefUnwindSafe + Unpin>() {}
    everything::<Mutex<std::cell::Cell<u8>>>();
    shared::<MutexGuard<'static, u8>>();
}

#[test]
fn one_inside_the_other() {
    enter(|| {
        let inner = Arc::new(Mutex::new(1));
        let outer = Mutex::new(Arc::clone(&inner));
        let outer = outer.lock().unwrap();
        assert_eq!(*outer.lock().unwrap(), 1);
    });
}
