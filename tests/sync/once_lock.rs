//! `OnceLock`, with the names that std has.

use super::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use super::sync::{Arc, OnceLock};
use super::{enter, thread};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};

#[test]
fn is_written_once() {
    enter(|| {
        let mut place = OnceLock::new();
        assert_eq!(place.get(), None);
        assert_eq!(place.get_mut(), None);
        assert_eq!(place.set(1), Ok(()));
        assert_eq!(place.set(2), Err(2));
        assert_eq!(*place.get_or_init(|| unreachable!()), 1);
        *place.get_mut().unwrap() = 3;
        assert_eq!((place.wait(), place.get()), (&3, Some(&3)));
        assert_eq!((place.take(), place.take()), (Some(3), None));
        assert_eq!(*place.get_or_init(|| 4), 4);
        assert_eq!(place.into_inner(), Some(4));
        assert_eq!(OnceLock::<u8>::new().into_inner(), None);
    });
}

#[test]
fn one_of_many_writes() {
    enter(|| {
        let shared = Arc::new((OnceLock::new(), AtomicUsize::new(0)));
        let threads: Vec<_> = (0..10)
            .map(|n| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let value = shared.0.get_or_init(|| {
                        thread::yield_now();
                        shared.1.fetch_add(1, SeqCst);
                        n.to_string()
                    });
                    (value.clone(), shared.0.set(String::new()).is_err())
                })
            })
            .collect();
        let value = shared.0.wait().clone();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), (value.clone(), true));
        }
        assert_eq!(shared.1.load(SeqCst), 1);
    });
}

#[test]
fn a_panic_leaves_it_empty() {
    enter(|| {
        let place = OnceLock::new();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            place.get_or_init(|| resume_unwind(Box::new("on purpose")));
        }));
        assert!(panicked.is_err() && place.get().is_none());
        assert_eq!(place.set(1), Ok(()));
    });
}

#[test]
fn drops_what_it_has() {
    enter(|| {
        let value = Arc::new(());
        let mut place = OnceLock::from(Arc::clone(&value));
        assert_eq!(Arc::strong_count(&value), 2);
        drop(place.take());
        assert_eq!(Arc::strong_count(&value), 1);
        place.set(Arc::clone(&value)).unwrap();
        assert!(place.set(Arc::clone(&value)).is_err());
        assert_eq!(Arc::strong_count(&value), 2);
        drop(place);
        assert_eq!(Arc::strong_count(&value), 1);
        drop(OnceLock::<Arc<()>>::new());
    });
}

#[test]
fn shows_copies_and_compares_itself() {
    enter(|| {
        let place = OnceLock::from(1);
        let empty = OnceLock::<i32>::default();
        assert_eq!(format!("{place:?} {empty:?}"), "OnceLock(1) OnceLock(<uninit>)");
        assert_eq!(place.clone(), place);
        assert_eq!(empty.clone(), empty);
        assert_ne!(place, empty);
    });
}

#[test]
fn has_the_traits() {
    static IN_A_STATIC: OnceLock<u8> = OnceLock::new();
    fn everything<T: Send + Sync + UnwindSafe + RefUnwindSafe + Unpin + Eq>() {}
    everything::<OnceLock<u8>>();
    assert_eq!(*IN_A_STATIC.get_or_init(|| 3), 3);
    fn sent<T: Send>() {}
    sent::<OnceLock<std::cell::Cell<u8>>>();
}

#[test]
fn may_outlive_what_it_borrows() {
    enter(|| {
        let place = OnceLock::new();
        let text = String::from("x");
        assert!(place.set(&text).is_ok());
    });
}
