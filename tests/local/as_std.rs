//! std's API: the same source against std's keys and rustlet's.

use super::{enter, thread};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};

/// Runs a case in a thread of its own, so that the destructors have run when it returns.
fn in_a_thread<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    thread::spawn(f).join().unwrap()
}

#[test]
fn each_thread_has_its_own() {
    thread::thread_local! {
        static LAZY: Cell<u32> = Cell::new(7);
        static CONST: Cell<u32> = const { Cell::new(8) };
    }
    enter(|| {
        LAZY.set(1);
        CONST.set(2);
        let threads: Vec<_> = (10..20)
            .map(|number| {
                thread::spawn(move || {
                    assert_eq!((LAZY.get(), CONST.get()), (7, 8));
                    LAZY.set(number);
                    CONST.set(number + 1);
                    for _ in 0..5 {
                        thread::yield_now();
                        assert_eq!((LAZY.get(), CONST.get()), (number, number + 1));
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!((LAZY.get(), CONST.get()), (1, 2));
    });
}

#[test]
fn an_initialiser_runs_at_the_first_use_and_once_a_thread() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    thread::thread_local! {
        static KEY: usize = RUNS.fetch_add(1, Ordering::SeqCst);
    }
    enter(|| {
        let before = RUNS.load(Ordering::SeqCst);
        in_a_thread(|| ());
        assert_eq!(RUNS.load(Ordering::SeqCst), before);
        in_a_thread(|| {
            let value = KEY.with(|value| *value);
            KEY.with(|again| assert_eq!(*again, value));
        });
        assert_eq!(RUNS.load(Ordering::SeqCst), before + 1);
    });
}

#[test]
fn destructors_run_at_the_end_of_the_thread() {
    struct Tell(RefCell<Option<Sender<&'static str>>>);
    impl Drop for Tell {
        fn drop(&mut self) {
            if let Some(sender) = self.0.take() {
                sender.send("dropped").unwrap();
            }
        }
    }
    thread::thread_local! {
        static LAZY: Tell = Tell(RefCell::new(None));
        static CONST: Tell = const { Tell(RefCell::new(None)) };
        static UNUSED: Tell = unreachable!("no thread uses it");
    }
    enter(|| {
        let (sender, told) = mpsc::channel();
        let own = sender.clone();
        in_a_thread(move || {
            LAZY.with(|tell| tell.0.replace(Some(own.clone())));
            CONST.with(|tell| tell.0.replace(Some(own.clone())));
            thread::yield_now();
            own.send("ends").unwrap();
            if std::hint::black_box(false) {
                UNUSED.with(|_| ());
            }
        });
        drop(sender);
        assert_eq!(
            told.iter().collect::<Vec<_>>(),
            ["ends", "dropped", "dropped"]
        );
    });
}

#[test]
fn destructors_run_after_a_panic_too() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::SeqCst);
        }
    }
    thread::thread_local! {
        static KEY: Counted = const { Counted };
    }
    enter(|| {
        let before = DROPS.load(Ordering::SeqCst);
        let thread = thread::spawn(|| {
            KEY.with(|_| ());
            std::panic::resume_unwind(Box::new("panic"));
        });
        thread.join().unwrap_err();
        assert_eq!(DROPS.load(Ordering::SeqCst), before + 1);
    });
}

#[test]
fn a_destructor_may_use_other_keys() {
    struct Other(RefCell<Vec<u8>>);
    struct User(RefCell<Option<Sender<Vec<u8>>>>);
    thread::thread_local! {
        static OLDER: Other = Other(RefCell::new(vec![1]));
        static USER: User = User(RefCell::new(None));
        // First used by the destructor of another key.
        static YOUNGER: Other = Other(RefCell::new(vec![2]));
    }
    impl Drop for User {
        fn drop(&mut self) {
            // An existing one may have been destroyed before this; a new one is made.
            let older = OLDER.try_with(|other| other.0.take()).unwrap_or_default();
            let younger = YOUNGER.with(|other| other.0.take());
            if let Some(sender) = self.0.take() {
                assert!(older.is_empty() || older == [1]);
                sender.send(younger).unwrap();
            }
        }
    }
    enter(|| {
        let (sender, told) = mpsc::channel();
        in_a_thread(move || {
            OLDER.with(|_| ());
            USER.with(|user| user.0.replace(Some(sender)));
        });
        assert_eq!(told.iter().collect::<Vec<_>>(), [vec![2]]);
    });
}

#[test]
fn locals_made_by_a_destructor_are_destroyed() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Last;
    impl Drop for Last {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::SeqCst);
        }
    }
    struct First;
    impl Drop for First {
        fn drop(&mut self) {
            LAST.with(|_| ());
        }
    }
    thread::thread_local! {
        static FIRST: First = const { First };
        static LAST: Last = const { Last };
    }
    enter(|| {
        let before = DROPS.load(Ordering::SeqCst);
        in_a_thread(|| FIRST.with(|_| ()));
        assert_eq!(DROPS.load(Ordering::SeqCst), before + 1);
    });
}

/// As std documents: `try_with` returns an error while the key's own destructor runs, and
/// afterwards.
#[test]
fn a_key_in_its_own_destructor_is_an_error() {
    struct Own(RefCell<Option<Sender<Result<(), thread::AccessError>>>>);
    impl Drop for Own {
        fn drop(&mut self) {
            if let Some(sender) = self.0.take() {
                sender.send(KEY.try_with(|_| ())).unwrap();
            }
        }
    }
    thread::thread_local! {
        static KEY: Own = const { Own(RefCell::new(None)) };
    }
    enter(|| {
        let (sender, told) = mpsc::channel();
        in_a_thread(move || KEY.with(|own| own.0.replace(Some(sender))));
        let results: Vec<_> = told.iter().collect();
        assert_eq!(results.len(), 1);
        let error = results[0].unwrap_err();
        assert_eq!(error.to_string(), "already destroyed");
        assert_eq!(format!("{error:?}"), "AccessError");
        let _copy: Box<dyn std::error::Error> = Box::new(error);
    });
}

/// Two keys whose destructors use each other: the one that is destroyed first is an error for the
/// other.
#[test]
fn a_key_that_was_destroyed_stays_destroyed() {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct One;
    struct Two;
    impl Drop for One {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::SeqCst);
            SEEN.fetch_add(usize::from(TWO.try_with(|_| ()).is_err()), Ordering::SeqCst);
        }
    }
    impl Drop for Two {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::SeqCst);
            SEEN.fetch_add(usize::from(ONE.try_with(|_| ()).is_err()), Ordering::SeqCst);
        }
    }
    thread::thread_local! {
        static ONE: One = const { One };
        static TWO: Two = const { Two };
    }
    enter(|| {
        let (seen, drops) = (SEEN.load(Ordering::SeqCst), DROPS.load(Ordering::SeqCst));
        in_a_thread(|| {
            ONE.with(|_| ());
            TWO.with(|_| ());
        });
        assert_eq!(DROPS.load(Ordering::SeqCst) - drops, 2, "each is made once");
        assert_eq!(SEEN.load(Ordering::SeqCst) - seen, 1);
    });
}

#[test]
fn set_and_replace_do_not_need_the_initialiser() {
    thread::thread_local! {
        static CELL: Cell<i32> = panic!("std says that `set` does not run it");
        static REF_CELL: RefCell<i32> = panic!("std says that `set` does not run it");
    }
    enter(|| {
        in_a_thread(|| {
            CELL.set(5);
            assert_eq!(CELL.get(), 5);
            REF_CELL.set(6);
            assert_eq!(REF_CELL.take(), 6);
        });
    });
}

#[test]
fn cells_have_short_cuts() {
    thread::thread_local! {
        static CELL: Cell<i32> = const { Cell::new(1) };
        static TEXT: RefCell<String> = RefCell::new("a".into());
    }
    enter(|| {
        in_a_thread(|| {
            assert_eq!(
                (CELL.get(), CELL.replace(2), CELL.take(), CELL.get()),
                (1, 1, 2, 0)
            );
            CELL.set(3);
            assert_eq!(CELL.get(), 3);
            TEXT.with_borrow_mut(|text| text.push('b'));
            TEXT.with_borrow(|text| assert_eq!(text, "ab"));
            assert_eq!(TEXT.replace("c".into()), "ab");
            TEXT.set("d".into());
            assert_eq!((TEXT.take().as_str(), TEXT.take().as_str()), ("d", ""));
        });
    });
}

#[test]
fn an_initialiser_that_panics_is_tried_again() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    thread::thread_local! {
        static KEY: usize = match RUNS.fetch_add(1, Ordering::SeqCst) {
            0 => std::panic::resume_unwind(Box::new("the first time")),
            runs => runs,
        };
    }
    enter(|| {
        RUNS.store(0, Ordering::SeqCst);
        in_a_thread(|| {
            std::panic::catch_unwind(|| KEY.with(|_| ())).unwrap_err();
            assert_eq!(KEY.with(|value| *value), 1);
        });
    });
}

#[test]
fn an_initialiser_may_use_other_keys() {
    thread::thread_local! {
        static OUTER: i32 = INNER.with(|inner| inner + 1);
        static INNER: i32 = 4;
    }
    enter(|| assert_eq!(in_a_thread(|| OUTER.with(|outer| *outer)), 5));
}

#[test]
fn an_initialiser_that_uses_its_own_key_has_the_last_word() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Value(usize);
    impl Drop for Value {
        fn drop(&mut self) {
            DROPPED.fetch_add(self.0, Ordering::SeqCst);
        }
    }
    thread::thread_local! {
        static FIRST: Cell<bool> = const { Cell::new(true) };
        static KEY: Value = {
            let is_outer = FIRST.replace(false);
            if is_outer {
                KEY.with(|inner| assert_eq!(inner.0, 1));
            }
            let value = if is_outer { 20 } else { 1 };
            MADE.fetch_add(value, Ordering::SeqCst);
            Value(value)
        };
    }
    enter(|| {
        in_a_thread(|| {
            assert_eq!(KEY.with(|value| value.0), 20);
            assert_eq!(KEY.with(|value| value.0), 20);
        });
        let [made, dropped] = [&MADE, &DROPPED].map(|count| count.load(Ordering::SeqCst));
        assert_eq!((made, dropped), (21, 21));
    });
}

#[test]
fn with_nests_and_gives_a_value() {
    thread::thread_local! {
        static KEY: RefCell<Vec<i32>> = const { RefCell::new(Vec::new()) };
    }
    enter(|| {
        in_a_thread(|| {
            let sum: i32 = KEY.with(|outer| {
                outer.borrow_mut().push(1);
                KEY.with(|inner| inner.borrow_mut().push(2));
                thread::yield_now();
                outer.borrow().iter().sum()
            });
            assert_eq!(sum, 3);
        });
    });
}

#[test]
fn many_keys_and_keys_of_one_type() {
    macro_rules! keys {
        ($($name:ident = $value:expr),*) => {
            thread::thread_local! { $(static $name: Cell<u32> = const { Cell::new($value) };)* }
            fn sum() -> u32 {
                0 $(+ { $name.set($name.get() + 1); $name.get() })*
            }
        };
    }
    keys!(
        A = 1,
        B = 2,
        C = 3,
        D = 4,
        E = 5,
        F = 6,
        G = 7,
        H = 8,
        I = 9,
        J = 10,
        K = 11,
        L = 12
    );
    enter(|| {
        assert_eq!(in_a_thread(sum), 78 + 12);
        assert_eq!(in_a_thread(|| sum() + sum()), 2 * 78 + 12 + 24);
    });
}

/// The forms that the macro takes.
mod forms {
    use super::thread;

    thread::thread_local! {
        /// Documented, and visible elsewhere.
        pub(super) static SEEN: u8 = 1;
        #[allow(dead_code, reason = "an attribute of a key")]
        static UNSEEN: u8 = const { 2 };
    }
    thread::thread_local!(pub(super) static LAST: u8 = 3);
    thread::thread_local!(pub(super) static LAST_CONST: u8 = const { 4 });
    thread::thread_local! {}
}

#[test]
fn the_macro_takes_what_stds_takes() {
    enter(|| {
        let value = |key: &'static thread::LocalKey<u8>| key.with(|value| *value);
        assert_eq!(
            (
                value(&forms::SEEN),
                value(&forms::LAST),
                value(&forms::LAST_CONST)
            ),
            (1, 3, 4)
        );
        assert!(format!("{:?}", forms::SEEN).starts_with("LocalKey"));
    });
}

#[test]
fn over_aligned_and_zero_sized_values() {
    #[repr(align(256))]
    struct Wide(u8);
    thread::thread_local! {
        static WIDE: Wide = const { Wide(7) };
        static NOTHING: () = const {};
    }
    enter(|| {
        in_a_thread(|| {
            WIDE.with(|wide| assert_eq!(((&raw const *wide).addr() % 256, wide.0), (0, 7)));
            NOTHING.with(|nothing| *nothing);
        });
    });
}

#[test]
fn traits_are_those_of_std() {
    fn is<
        T: Send + Sync + Unpin + std::panic::UnwindSafe + std::panic::RefUnwindSafe + std::fmt::Debug,
    >() {
    }
    is::<thread::LocalKey<std::rc::Rc<Cell<u8>>>>();
    is::<thread::AccessError>();
    fn is_error<T: Copy + Eq + std::error::Error>() {}
    is_error::<thread::AccessError>();
    fn is_handle(_: &thread::JoinHandle<()>) {}
    enter(|| {
        let handle = thread::spawn(|| ());
        is_handle(&handle);
        handle.join().unwrap();
    });
}

/// Values are destroyed in the order in which std destroys them: a value is registered when its
/// initialiser has returned, and is destroyed before those that were registered earlier. A value
/// that a destructor makes is destroyed next.
#[test]
fn the_order_of_destruction() {
    struct Note(&'static str, Sender<&'static str>);
    impl Drop for Note {
        fn drop(&mut self) {
            self.1.send(self.0).unwrap();
            if self.0 == "outer" {
                let late = Note("late", self.1.clone());
                assert!(LATE.try_with(|key| *key.borrow_mut() = Some(late)).is_ok());
            }
            // Destroyed ones stay destroyed.
            assert_eq!(OUTER.try_with(|_| ()).is_err(), self.0 != "first");
        }
    }
    thread::thread_local! {
        static LATE: RefCell<Option<Note>> = const { RefCell::new(None) };
        static SENDER: RefCell<Option<Sender<&'static str>>> = const { RefCell::new(None) };
        static INNER: Note = Note("inner", sender());
        static OUTER: Note = {
            // Made first, so registered first, and still there when the outer one is destroyed.
            INNER.with(|_| ());
            Note("outer", sender())
        };
        static FIRST: Note = Note("first", sender());
    }
    fn sender() -> Sender<&'static str> {
        SENDER.with_borrow(|sender| sender.clone().unwrap())
    }
    enter(|| {
        let (to, from) = mpsc::channel();
        in_a_thread(move || {
            SENDER.set(Some(to.clone()));
            OUTER.with(|_| ());
            FIRST.with(|_| ());
            drop(to);
        });
        assert_eq!(
            from.iter().collect::<Vec<_>>(),
            ["first", "outer", "late", "inner"]
        );
    });
}
