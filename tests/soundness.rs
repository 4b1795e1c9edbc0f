//! The statements of `arch-notes/soundness.md`, as programs: the rules that the user has to know,
//! because green threads of one worker share an OS thread, and std's own types take that for one
//! thread. None of these programs has undefined behaviour as it is; where one step further would,
//! the comment says so.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

use rustlet::{JoinHandle, park, spawn_local, yield_now};
use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, TryLockError};

/// All tests here are about threads of one worker.
fn on_one_worker(case: impl FnOnce() + Send) {
    rustlet::Builder::new()
        .workers(1)
        .build()
        .unwrap()
        .run(case);
}

/// Spawns on the worker and runs it up to its first wait.
fn start<T: 'static>(f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    let thread = spawn_local(f);
    yield_now();
    thread
}

fn finish<T>(thread: JoinHandle<T>) -> T {
    thread.thread().unpark();
    thread.join().unwrap()
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn stds_thread_locals_belong_to_the_worker() {
    thread_local! {
        static STD: Cell<u32> = const { Cell::new(0) };
    }
    rustlet::thread_local! {
        static OURS: Cell<u32> = const { Cell::new(0) };
    }
    on_one_worker(|| {
        let other = start(|| {
            STD.set(5);
            OURS.set(5);
            park();
            (STD.get(), OURS.get())
        });
        assert_eq!((STD.get(), OURS.get()), (5, 0));
        STD.set(6);
        OURS.set(6);
        assert_eq!(finish(other), (6, 5));
    });
}

/// `scoped-tls` keeps a pointer to a stack frame in a thread-local for the length of a callback,
/// and restores the former one when the callback returns. Callbacks that wait do not nest as calls
/// do. (Here a number stands for the pointer. With the crate, `with` would follow the pointer of a
/// frame that is gone: so never wait in such a callback, or use a key of `rustlet::thread_local!`.)
#[test]
fn a_scoped_thread_local_is_left_dangling() {
    thread_local! {
        static POINTER: Cell<u32> = const { Cell::new(0) };
    }
    fn set<T>(frame: u32, callback: impl FnOnce() -> T) -> T {
        let before = POINTER.replace(frame);
        let _reset = OnDrop(|| POINTER.set(before));
        callback()
    }
    on_one_worker(|| {
        let first = start(|| set(1, park));
        // A thread that never called `set` sees the frame of another.
        assert_eq!(POINTER.get(), 1);
        let second = start(|| set(2, park));
        finish(first);
        assert_eq!(POINTER.get(), 0, "the second one's callback still runs");
        finish(second);
        // The frame of the first has long gone.
        assert_eq!(POINTER.get(), 1);
    });
}

/// The OS thread holds the OS lock: a second `lock` would block the worker, and with it the thread
/// that would unlock. `try_lock` shows it without hanging.
#[test]
fn an_os_lock_held_across_a_wait() {
    on_one_worker(|| {
        let lock = Arc::new(Mutex::new(1));
        let theirs = lock.clone();
        let holder = start(move || {
            let mut held = theirs.lock().unwrap();
            park();
            *held += 1;
        });
        assert!(matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
        finish(holder);
        assert_eq!(*lock.lock().unwrap(), 2);
    });
}

/// std's reentrant locks (those of stdout and stderr) check which OS thread calls: another green
/// thread of the worker can enter. Only the order of lines is affected.
#[test]
fn a_reentrant_os_lock_does_not_exclude() {
    on_one_worker(|| {
        let holder = start(|| {
            let _held = std::io::stderr().lock();
            park();
        });
        drop(std::io::stderr().lock());
        finish(holder);
    });
}

/// Other threads see a borrow that is held across a wait: at worst a panic, as in one thread.
#[test]
fn a_ref_cell_borrowed_across_a_wait() {
    on_one_worker(|| {
        let cell = Rc::new(RefCell::new(1));
        let theirs = cell.clone();
        let holder = start(move || {
            let mut borrowed = theirs.borrow_mut();
            park();
            *borrowed += 1;
        });
        assert!(cell.try_borrow().is_err());
        finish(holder);
        assert_eq!(*cell.borrow(), 2);
    });
}

/// While a thread waits in a destructor during its unwinding, `std::thread::panicking` reports the
/// state of the running thread …
#[test]
fn panicking_is_exact_while_one_waits_in_its_unwinding() {
    on_one_worker(|| {
        assert!(!std::thread::panicking());
        let unwinding = start(|| {
            let _guard = OnDrop(|| {
                assert!(std::thread::panicking());
                park();
                assert!(std::thread::panicking());
            });
            resume_unwind(Box::new("unwinding"));
        });
        assert!(!std::thread::panicking() && !rustlet::thread::panicking());
        unwinding.thread().unpark();
        unwinding.join().unwrap_err();
        assert!(!std::thread::panicking());
    });
}

/// … so a std `Mutex` that another thread holds is not poisoned by it, and one that the thread
/// itself holds is.
#[test]
fn a_std_lock_is_poisoned_by_its_holder_only() {
    on_one_worker(|| {
        let (early, late) = (Mutex::new(()), Mutex::new(()));
        let own = Arc::new(Mutex::new(()));
        let held = early.lock().unwrap();
        let theirs = own.clone();
        let unwinding = start(move || {
            let _own = theirs.lock().unwrap();
            let _guard = OnDrop(park);
            resume_unwind(Box::new("unwinding"));
        });
        drop(held);
        assert!(!early.is_poisoned());
        drop(late.lock().unwrap());
        assert!(!late.is_poisoned());
        unwinding.thread().unpark();
        unwinding.join().unwrap_err();
        assert!(own.is_poisoned());
    });
}

/// The panics of two threads of a worker are kept apart, in whatever order they unwind.
#[test]
fn unwindings_of_one_worker_cross() {
    on_one_worker(|| {
        let unwind = |name: &'static str| {
            start(move || {
                let caught = std::panic::catch_unwind(|| {
                    let _guard = OnDrop(park);
                    resume_unwind(Box::new(name));
                });
                *caught.unwrap_err().downcast::<&str>().unwrap()
            })
        };
        let (one, two, three) = (unwind("one"), unwind("two"), unwind("three"));
        assert_eq!(finish(two), "two");
        assert!(!std::thread::panicking());
        assert_eq!(finish(one), "one");
        assert_eq!(finish(three), "three");
        assert!(!std::thread::panicking());
        let last = start(|| resume_unwind(Box::new("last")));
        assert_eq!(
            last.join().unwrap_err().downcast_ref::<&str>(),
            Some(&"last")
        );
    });
}

/// A `std::thread_local!` initialiser that waits: another thread of the worker initialises the key
/// meanwhile, and uses it; when the first initialiser returns, std drops that value and puts the
/// new one in its place. (The other thread does not use its reference after that. Using it would be
/// a use after free, from safe code.)
#[test]
fn a_std_initialiser_that_waits_drops_a_value_in_use() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Value(Cell<u32>);
    impl Drop for Value {
        fn drop(&mut self) {
            DROPPED.store(self.0.get() as usize, Ordering::SeqCst);
        }
    }
    thread_local! {
        static NEXT: Cell<u32> = const { Cell::new(1) };
        static KEY: Value = {
            let number = NEXT.replace(NEXT.get() + 1);
            if number == 1 {
                park();
            }
            Value(Cell::new(number))
        };
    }
    on_one_worker(|| {
        let first = start(|| KEY.with(|value| value.0.get()));
        let user = start(|| {
            KEY.with(|value| {
                assert_eq!(value.0.get(), 2);
                park();
            });
        });
        assert_eq!(DROPPED.load(Ordering::SeqCst), 0);
        assert_eq!(finish(first), 1);
        assert_eq!(
            DROPPED.load(Ordering::SeqCst),
            2,
            "while its user waits in `with`"
        );
        finish(user);
    });
}

/// The same with rustlet's macro: each thread has its own value.
#[test]
fn our_initialiser_that_waits_is_harmless() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Value(Cell<u32>);
    impl Drop for Value {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::SeqCst);
        }
    }
    thread_local! {
        static NEXT: Cell<u32> = const { Cell::new(1) };
    }
    rustlet::thread_local! {
        static KEY: Value = {
            let number = NEXT.replace(NEXT.get() + 1);
            if number == 1 {
                park();
            }
            Value(Cell::new(number))
        };
    }
    on_one_worker(|| {
        let first = start(|| KEY.with(|value| value.0.get()));
        let user = start(|| {
            KEY.with(|value| {
                park();
                value.0.get()
            })
        });
        assert_eq!(finish(first), 1);
        assert_eq!(DROPS.load(Ordering::SeqCst), 1);
        assert_eq!(finish(user), 2);
        assert_eq!(DROPS.load(Ordering::SeqCst), 2);
    });
}

/// A thread that is cancelled while it holds a std lock unwinds, and std takes that for a panic.
#[test]
fn a_cancelled_thread_poisons_the_std_locks_it_holds() {
    on_one_worker(|| {
        let lock = Arc::new(Mutex::new(1));
        let theirs = lock.clone();
        let holder = start(move || {
            let _held = theirs.lock().unwrap();
            park();
        });
        holder.cancel();
        holder.join().unwrap_err();
        assert!(lock.is_poisoned());
    });
}

/// A started thread keeps its OS thread, so a value that is not `Send` may live across waits, and
/// the spawning thread may end first.
#[test]
fn a_value_that_is_not_send_outlives_its_spawner() {
    on_one_worker(|| {
        let shared = Rc::new(Cell::new(1));
        let inner = {
            let shared = shared.clone();
            start(move || {
                let inner = shared.clone();
                spawn_local(move || {
                    park();
                    inner.set(inner.get() + 1);
                })
            })
        };
        let inner = finish(inner);
        yield_now();
        finish(inner);
        assert_eq!((shared.get(), Rc::strong_count(&shared)), (2, 1));
    });
}

/// A reference into the stack of a waiting thread, shared with threads of its scope on other
/// workers, stays valid: stacks do not move, and a scope does not end before its threads.
#[test]
fn references_into_a_waiting_stack() {
    let runtime = rustlet::Builder::new().workers(4).build().unwrap();
    runtime.run(|| {
        let counter = AtomicUsize::new(0);
        let buffer = [
            AtomicBool::new(false),
            AtomicBool::new(false),
            AtomicBool::new(false),
        ];
        rustlet::scope(|s| {
            for index in 0..300 {
                let (counter, buffer) = (&counter, &buffer);
                s.spawn(move || {
                    yield_now();
                    buffer[index % 3].store(true, Ordering::Relaxed);
                    counter.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(counter.into_inner(), 300);
        assert!(buffer.iter().all(|flag| flag.load(Ordering::Relaxed)));
    });
}
