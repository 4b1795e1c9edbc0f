//! A value that is borrowed by a coroutine of another crate, which may outlive the thread that owns
//! the value: the value is leaked.

use corosensei::{Coroutine, CoroutineResult, Yielder};
use rustlet::{spawn_local, yield_now};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

type Co = Coroutine<(), (), u64>;
type Pause = Yielder<(), ()>;

thread_local! {
    /// A coroutine is not `Send`, but its OS thread stays the same: so it moves from one green
    /// thread to the next.
    static KEPT: RefCell<Option<Co>> = const { RefCell::new(None) };
}

/// Overwritten when it is dropped, so that a later use shows without a sanitizer, too.
struct Data {
    numbers: Vec<u64>,
    drops: &'static AtomicUsize,
}

impl Data {
    fn new(drops: &'static AtomicUsize) -> Data {
        let numbers = vec![7; 64];
        Data { numbers, drops }
    }

    fn sum(&self) -> u64 {
        self.numbers.iter().sum()
    }
}

const SUM: u64 = 7 * 64;

impl Drop for Data {
    fn drop(&mut self) {
        self.numbers.fill(0xDEAD);
        self.drops.fetch_add(1, Ordering::SeqCst);
    }
}

/// Runs the coroutine up to its pause, and stores it.
fn begin(f: impl FnOnce(&Pause) -> u64 + 'static) {
    let mut co = Co::new(|pause, ()| f(pause));
    assert!(matches!(co.resume(()), CoroutineResult::Yield(())));
    KEPT.set(Some(co));
}

/// Runs the stored coroutine to its end.
fn end() -> u64 {
    let mut co = KEPT.take().unwrap();
    match co.resume(()) {
        CoroutineResult::Return(sum) => sum,
        CoroutineResult::Yield(()) => unreachable!("it pauses once"),
    }
}

fn in_a_green_thread<T: 'static>(f: impl FnOnce() -> T + 'static) -> T {
    spawn_local(f).join().unwrap()
}

#[test]
fn the_borrower_ends_in_another_green_thread() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    rustlet::thread_local! {
        static DATA: Data = Data::new(&DROPS);
    }
    super::on_one_worker(|| {
        in_a_green_thread(|| {
            begin(|pause| {
                DATA.with(|data| {
                    pause.suspend(());
                    data.sum()
                })
            });
        });
        // The thread has ended, and its value is leaked.
        assert_eq!(DROPS.load(Ordering::SeqCst), 0);
        assert_eq!(in_a_green_thread(end), SUM);
        assert_eq!(DROPS.load(Ordering::SeqCst), 0);
        // A value that is no longer borrowed is dropped.
        in_a_green_thread(|| {
            begin(|pause| {
                DATA.with(Data::sum);
                pause.suspend(());
                0
            });
        });
        assert_eq!(DROPS.load(Ordering::SeqCst), 1);
        assert_eq!(end(), 0);
    });
}

/// Borrows that end by an unwinding, or one within the other, are counted as well.
#[test]
fn borrows_are_counted() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    rustlet::thread_local! {
        static DATA: Data = Data::new(&DROPS);
    }
    super::on_one_worker(|| {
        in_a_green_thread(|| {
            let unwinds = || DATA.with(|_| std::panic::resume_unwind(Box::new(())));
            assert!(std::panic::catch_unwind(unwinds).is_err());
            DATA.with(|outer| DATA.with(|inner| assert!(std::ptr::eq(outer, inner))));
        });
        assert_eq!(DROPS.load(Ordering::SeqCst), 1);
        in_a_green_thread(|| {
            begin(|pause| {
                DATA.with(|data| {
                    DATA.with(|_| pause.suspend(()));
                    data.sum()
                })
            });
            DATA.with(|_| ());
        });
        assert_eq!(DROPS.load(Ordering::SeqCst), 1);
        assert_eq!(end(), SUM);
        // Unwound by the drop of its coroutine.
        in_a_green_thread(|| {
            begin(|pause| {
                DATA.with(|data| {
                    pause.suspend(());
                    data.sum()
                })
            });
        });
        in_a_green_thread(|| drop(KEPT.take()));
        assert_eq!(DROPS.load(Ordering::SeqCst), 1);
    });
}

/// The coroutine begins to make the value in one green thread, and has made it in another, where it
/// is kept.
#[test]
fn the_initialiser_pauses() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PAUSE: Cell<Option<fn()>> = const { Cell::new(None) };
        static STATE: RefCell<Option<Rc<Co>>> = const { RefCell::new(None) };
    }
    rustlet::thread_local! {
        static DATA: Data = {
            pause();
            Data::new(&DROPS)
        };
    }
    thread_local! {
        static YIELDER: Cell<*const Pause> = const { Cell::new(std::ptr::null()) };
    }
    #[allow(unsafe_code, reason = "the initialiser of a static takes no arguments")]
    fn pause() {
        let yielder = YIELDER.take();
        if !yielder.is_null() {
            // SAFETY: the coroutine below is in `with` meanwhile.
            unsafe { &*yielder }.suspend(());
        }
    }
    super::on_one_worker(|| {
        in_a_green_thread(|| {
            begin(|pause| {
                YIELDER.set(pause);
                DATA.with(Data::sum)
            });
        });
        in_a_green_thread(|| {
            DATA.with(|before| {
                // Replaces a value that is borrowed.
                assert_eq!(end(), SUM);
                assert_eq!(DATA.with(Data::sum), SUM);
                yield_now();
                assert_eq!(before.sum(), SUM);
            });
        });
        assert_eq!(DROPS.load(Ordering::SeqCst), 2);
    });
}

/// The same on an OS thread, whose `std::thread_local!` destructors end the coroutine.
#[test]
fn the_borrower_outlives_its_os_thread_s_value() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    static SUMS: AtomicUsize = AtomicUsize::new(0);
    rustlet::thread_local! {
        static DATA: Data = Data::new(&DROPS);
    }
    struct Ends(RefCell<Option<Co>>);
    impl Drop for Ends {
        fn drop(&mut self) {
            if let Some(mut co) = self.0.take() {
                assert!(DATA.try_with(|_| ()).is_err());
                let CoroutineResult::Return(sum) = co.resume(()) else {
                    return;
                };
                SUMS.store(sum as usize, Ordering::SeqCst);
            }
        }
    }
    thread_local! {
        // Registered first, so destroyed last.
        static ENDS: Ends = const { Ends(RefCell::new(None)) };
    }
    std::thread::spawn(|| {
        ENDS.with(|_| ());
        begin(|pause| {
            DATA.with(|data| {
                pause.suspend(());
                data.sum()
            })
        });
        ENDS.with(|ends| ends.0.replace(KEPT.take()));
    })
    .join()
    .unwrap();
    assert_eq!(DROPS.load(Ordering::SeqCst), 0);
    assert_eq!(SUMS.load(Ordering::SeqCst), SUM as usize);
    // Without a borrower it is dropped.
    std::thread::spawn(|| DATA.with(|_| ())).join().unwrap();
    assert_eq!(DROPS.load(Ordering::SeqCst), 1);
}
