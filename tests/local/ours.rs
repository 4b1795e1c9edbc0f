//! Keys with operations of green threads: waits in initialisers and destructors, many threads on
//! one OS thread.

use rustlet::thread::ThreadId;
use rustlet::{Cancelled, park, run, run_all, sleep, spawn, spawn_local, yield_now};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn turns() {
    for _ in 0..10 {
        yield_now();
    }
}

#[test]
fn threads_of_one_worker_do_not_share() {
    rustlet::thread_local! {
        static KEY: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }
    super::on_one_worker(|| {
        let threads: Vec<_> = (0..50)
            .map(|number| {
                spawn(move || {
                    for _ in 0..10 {
                        // Borrowed across a wait.
                        KEY.with_borrow_mut(|list| {
                            list.push(number);
                            yield_now();
                        });
                    }
                    KEY.take()
                })
            })
            .collect();
        for (number, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap(), vec![number; 10]);
        }
    });
}

#[test]
fn an_initialiser_that_waits_keeps_to_its_thread() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    rustlet::thread_local! {
        static KEY: Box<usize> = {
            let number = RUNS.fetch_add(1, SeqCst);
            yield_now();
            sleep(Duration::from_micros(50));
            Box::new(number)
        };
    }
    super::on_one_worker(|| {
        let threads: Vec<_> = (0..20)
            .map(|_| {
                spawn(|| {
                    KEY.with(|value| {
                        let number = **value;
                        // The others initialise theirs meanwhile; std would drop this value while
                        // it is referenced.
                        turns();
                        sleep(Duration::from_micros(100));
                        assert_eq!(**value, number);
                        number
                    })
                })
            })
            .collect();
        let mut numbers: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..20));
    });
}

#[test]
fn an_initialiser_that_uses_its_own_key() {
    thread_local! {
        static DEPTH: Cell<u32> = const { Cell::new(0) };
    }
    rustlet::thread_local! {
        static KEY: Box<u32> = {
            let depth = DEPTH.replace(DEPTH.get() + 1);
            if depth < 3 {
                KEY.with(|inner| Box::new(**inner + 10))
            } else {
                Box::new(depth)
            }
        };
    }
    super::on_one_worker(|| {
        // One value wins and stays; a reference to it may exist while the others arrive.
        let first = KEY.with(|value| **value);
        assert_eq!(KEY.with(|value| **value), first);
    });
}

#[test]
fn a_reference_stays_good_while_other_keys_come() {
    macro_rules! keys {
        ($($name:ident)*) => {
            rustlet::thread_local! { $(static $name: String = stringify!($name).into();)* }
            fn use_all() {
                $($name.with(|name| assert_eq!(name, stringify!($name)));)*
            }
        };
    }
    keys!(A B C D E F G H I J K L M N O P Q R S T U V W X Y Z);
    run(|| {
        spawn(|| {
            A.with(|a| {
                use_all();
                yield_now();
                assert_eq!(a, "A");
            });
        })
        .join()
        .unwrap();
    });
}

#[test]
fn a_destructor_may_wait() {
    struct Slow(Arc<Mutex<Vec<&'static str>>>);
    impl Drop for Slow {
        fn drop(&mut self) {
            self.0.lock().unwrap().push("begins");
            sleep(Duration::from_millis(1));
            assert_eq!(spawn(|| 5).join().unwrap(), 5);
            self.0.lock().unwrap().push("ends");
        }
    }
    rustlet::thread_local! {
        static KEY: RefCell<Option<Slow>> = const { RefCell::new(None) };
    }
    let log: Arc<Mutex<Vec<_>>> = Arc::default();
    run(|| {
        let theirs = log.clone();
        let thread = spawn(move || KEY.set(Some(Slow(theirs))));
        thread.join().unwrap();
        // `join` waits for the destructors, as std's does.
        assert_eq!(*log.lock().unwrap(), ["begins", "ends"]);
    });
}

#[test]
fn the_value_that_was_made_last_is_destroyed_first() {
    struct Note(&'static str, Arc<Mutex<Vec<&'static str>>>);
    impl Drop for Note {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(self.0);
        }
    }
    rustlet::thread_local! {
        static ONE: RefCell<Option<Note>> = const { RefCell::new(None) };
        static TWO: RefCell<Option<Note>> = const { RefCell::new(None) };
        static THREE: RefCell<Option<Note>> = const { RefCell::new(None) };
    }
    let log: Arc<Mutex<Vec<_>>> = Arc::default();
    let theirs = log.clone();
    run(move || {
        let note = move |name| Some(Note(name, theirs.clone()));
        spawn(move || {
            TWO.set(note("two"));
            ONE.set(note("one"));
            THREE.set(note("three"));
        })
        .join()
        .unwrap();
    });
    let order = log.lock().unwrap().clone();
    assert_eq!(order, ["three", "one", "two"]);
}

#[test]
fn destructors_of_cancelled_threads_run() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPS.fetch_add(1, SeqCst);
        }
    }
    rustlet::thread_local! {
        static KEY: Counted = const { Counted };
    }
    run(|| {
        let thread = spawn_local(|| KEY.with(|_| park()));
        turns();
        thread.cancel();
        assert!(thread.join().unwrap_err().is::<Cancelled>());
        assert_eq!(DROPS.load(SeqCst), 1);
        // Left to the end of the run.
        spawn_local(|| KEY.with(|_| park()));
        turns();
    });
    assert_eq!(DROPS.load(SeqCst), 2);
}

/// A value made too late to be destroyed must not appear in another thread: it need not be `Send`.
#[test]
fn nothing_is_left_to_the_next_user_of_the_block() {
    struct Again(Rc<ThreadId>);
    impl Drop for Again {
        fn drop(&mut self) {
            // Makes a new value whenever one is destroyed, if the key permits it.
            let _new = KEY.try_with(|again| *again.0);
        }
    }
    rustlet::thread_local! {
        static KEY: Again = Again(Rc::new(rustlet::current().id()));
    }
    super::on_one_worker(|| {
        for _ in 0..10 {
            let check = || {
                let maker = KEY.with(|again| *again.0);
                assert_eq!(maker, rustlet::current().id(), "a value of another thread");
            };
            spawn(check).join().unwrap();
        }
    });
}

/// The same after a destructor that panics.
#[test]
fn nothing_is_left_by_a_destructor_that_panics() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            LATE.set(7);
            std::panic::resume_unwind(Box::new("bomb"));
        }
    }
    rustlet::thread_local! {
        static BOMB: Bomb = const { Bomb };
        static LATE: Cell<u32> = const { Cell::new(0) };
    }
    super::on_one_worker(|| {
        for _ in 0..5 {
            // Its result is there before its locals are dropped, as with std.
            let _ended = spawn(|| BOMB.with(|_| ())).join();
            assert_eq!(
                spawn(|| LATE.get()).join().unwrap(),
                0,
                "a value of another thread"
            );
        }
    });
}

#[test]
fn workers_threads_and_os_threads_do_not_mix() {
    rustlet::thread_local! {
        static KEY: Cell<u32> = const { Cell::new(0) };
    }
    KEY.set(1);
    run(|| {
        assert_eq!(KEY.get(), 0);
        KEY.set(2);
        spawn(|| assert_eq!(KEY.get(), 0)).join().unwrap();
        let os = std::thread::spawn(|| KEY.replace(3));
        while !os.is_finished() {
            yield_now();
        }
        assert_eq!(os.join().unwrap(), 0);
        assert_eq!(KEY.get(), 2);
    });
    assert_eq!(KEY.get(), 1);
}

#[test]
fn values_travel_with_a_crowd() {
    rustlet::thread_local! {
        static KEY: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let wrong = AtomicUsize::new(0);
    run_all(|| {
        let wrong = &wrong;
        rustlet::scope(|s| {
            for number in 0..super::support::stress(500) {
                s.spawn(move || {
                    KEY.set(number);
                    if number % 3 == 0 {
                        sleep(Duration::from_micros(number as u64 % 100));
                    } else {
                        yield_now();
                    }
                    wrong.fetch_add(usize::from(KEY.get() != number), Relaxed);
                });
            }
        });
    });
    assert_eq!(wrong.into_inner(), 0);
}

/// The program's own items in an initialiser keep their meaning, whatever their names.
#[test]
fn an_initialiser_calls_the_programs_own_items() {
    fn init() -> u32 {
        VALUE + END
    }
    const VALUE: u32 = 40;
    const END: u32 = 2;
    rustlet::thread_local! {
        static ANSWER: Cell<u32> = Cell::new(init() + VALUE - 40);
    }
    assert_eq!(ANSWER.get(), 42);
    assert_eq!(run(|| ANSWER.get()), 42);
}

/// The destructors of a cancelled thread's locals are not cancelled: they wait, and a panic in them
/// is a panic.
#[test]
fn destructors_of_a_cancelled_thread_wait_and_panic() {
    static WAITED: AtomicBool = AtomicBool::new(false);
    struct Waits;
    impl Drop for Waits {
        fn drop(&mut self) {
            sleep(Duration::from_millis(1));
            WAITED.store(true, SeqCst);
        }
    }
    struct Panics(Arc<rustlet::sync::Mutex<()>>);
    impl Drop for Panics {
        fn drop(&mut self) {
            let _guard = self.0.lock().unwrap();
            std::panic::resume_unwind(Box::new("on purpose"));
        }
    }
    rustlet::thread_local! {
        static PANICS: RefCell<Option<Panics>> = const { RefCell::new(None) };
        static WAITS: Cell<Option<Waits>> = const { Cell::new(None) };
    }
    super::on_one_worker(|| {
        let mutex = Arc::new(rustlet::sync::Mutex::new(()));
        let theirs = Arc::clone(&mutex);
        let thread = spawn(move || {
            PANICS.set(Some(Panics(theirs)));
            // Made last, so it is destroyed first.
            WAITS.set(Some(Waits));
            park();
        });
        turns();
        thread.cancel();
        assert!(Cancelled::is(&thread.join().unwrap_err()));
        assert!(WAITED.load(SeqCst) && mutex.is_poisoned());
    });
}
