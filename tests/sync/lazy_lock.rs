//! `LazyLock`, with the names that std has.

use super::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use super::sync::{Arc, LazyLock, Mutex};
use super::{enter, thread};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};

#[test]
fn is_made_at_its_first_use() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    enter(|| {
        let before = MADE.load(SeqCst);
        let lazy = Arc::new(LazyLock::new(|| {
            thread::yield_now();
            MADE.fetch_add(1, SeqCst);
            92
        }));
        assert_eq!(format!("{lazy:?}"), "LazyLock(<uninit>)");
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let lazy = Arc::clone(&lazy);
                thread::spawn(move || **lazy)
            })
            .collect();
        assert_eq!(**lazy, 92);
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 92);
        }
        assert!(MADE.load(SeqCst) > before);
        assert_eq!(*LazyLock::force(&lazy), 92);
        assert_eq!(format!("{lazy:?}"), "LazyLock(92)");
    });
}

#[test]
fn in_a_static() {
    static ALL: LazyLock<Vec<u8>> = LazyLock::new(|| vec![1, 2, 3]);
    enter(|| {
        thread::spawn(|| assert_eq!(*ALL, [1, 2, 3])).join().unwrap();
        assert_eq!(ALL.len(), 3);
    });
}

#[test]
fn a_panic_poisons() {
    enter(|| {
        let lazy: LazyLock<u8> = LazyLock::new(|| resume_unwind(Box::new("on purpose")));
        for expected in ["on purpose", "LazyLock instance has previously been poisoned"] {
            let panicked = catch_unwind(AssertUnwindSafe(|| *lazy));
            let payload = panicked.unwrap_err();
            assert_eq!(payload.downcast_ref::<&str>(), Some(&expected));
        }
    });
}

#[test]
fn drops_what_it_has() {
    enter(|| {
        let value = Arc::new(());
        let kept = Arc::clone(&value);
        drop(LazyLock::new(move || kept));
        assert_eq!(Arc::strong_count(&value), 1);
        let kept = Arc::clone(&value);
        let lazy = LazyLock::new(move || kept);
        LazyLock::force(&lazy);
        assert_eq!(Arc::strong_count(&value), 2);
        drop(lazy);
        assert_eq!(Arc::strong_count(&value), 1);
        let kept = Arc::clone(&value);
        let lazy = LazyLock::<(), _>::new(move || {
            let _kept = kept;
            resume_unwind(Box::new("on purpose"))
        });
        assert!(catch_unwind(AssertUnwindSafe(|| *lazy)).is_err());
        drop(lazy);
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

#[test]
fn by_default() {
    enter(|| {
        let lazy: LazyLock<Mutex<u8>> = LazyLock::default();
        *lazy.lock().unwrap() += 1;
        assert_eq!(*lazy.lock().unwrap(), 1);
    });
}

#[test]
fn has_the_traits() {
    fn everything<T: Send + Sync + UnwindSafe + RefUnwindSafe + Unpin>() {}
    everything::<LazyLock<String>>();
    everything::<LazyLock<String, fn() -> String>>();
}
