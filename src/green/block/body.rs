#![allow(
    unsafe_code,
    reason = "stores closures and results of any type in one block"
)]
//! The closure of a green thread and, after it has run, its result, in the same few words.
//!
//! B1. `stage` says what the slot holds. `Closure`: an `F` (or a box of it); `Result`: a
//!     `thread::Result<T>` (or a box of it), for the `F` and `T` that `set` was called with;
//!     `Empty`: nothing.
//! B2. The body belongs to one party at a time: the spawner until it publishes the block, the
//!     worker until the completion word says `DONE`, then the party that the completion word names
//!     (C2 in `completion.rs`).
//! B3. The types of a scoped thread may borrow: its scope does not end before the closure has run
//!     and, if the handle is gone, its result was dropped (`scope/mod.rs`).

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::mem::{MaybeUninit, align_of, needs_drop, size_of};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use crate::green::cancel::payload::Cancelled;

const WORDS: usize = 8;

type Slot = UnsafeCell<MaybeUninit<[u64; WORDS]>>;

/// The result that `join` returns, as in `std::thread`.
pub(crate) type Outcome<T> = Result<T, Box<dyn Any + Send + 'static>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Empty,
    Closure,
    Result,
}

struct Vtable {
    /// `run` and `cancel` return whether the result is a panic; a cancellation is none.
    run: unsafe fn(&Slot) -> bool,
    cancel: unsafe fn(&Slot) -> bool,
    has_panicked: unsafe fn(&Slot) -> bool,
    /// Returns whether dropping the result does nothing.
    is_plain: unsafe fn(&Slot) -> bool,
    drop_result: unsafe fn(&Slot),
    take_panic: unsafe fn(&Slot) -> Option<Box<dyn Any + Send>>,
}

/// The slot for the closure or the result of a green thread.
pub(crate) struct Body {
    vtable: Cell<&'static Vtable>,
    stage: Cell<Stage>,
    slot: Slot,
}

const fn fits<V>() -> bool {
    size_of::<V>() <= WORDS * 8 && align_of::<V>() <= align_of::<u64>()
}

/// # Safety
///
/// The slot is empty.
unsafe fn put<V>(slot: &Slot, value: V) {
    if fits::<V>() {
        // SAFETY: it fits, and by B2 no other thread reads it.
        unsafe { slot.get().cast::<V>().write(value) };
    } else {
        let boxed = Box::new(value);
        // SAFETY: a box fits.
        unsafe { slot.get().cast::<Box<V>>().write(boxed) };
    }
}

/// # Safety
///
/// The slot holds a `V` that was `put` there, and is empty afterwards.
unsafe fn take<V>(slot: &Slot) -> V {
    if fits::<V>() {
        // SAFETY: by the contract.
        unsafe { slot.get().cast::<V>().read() }
    } else {
        // SAFETY: by the contract.
        *unsafe { slot.get().cast::<Box<V>>().read() }
    }
}

/// # Safety
///
/// The slot holds a `V` that was `put` there.
unsafe fn peek<V>(slot: &Slot) -> &V {
    if fits::<V>() {
        // SAFETY: by the contract.
        unsafe { &*slot.get().cast::<V>() }
    } else {
        // SAFETY: by the contract.
        unsafe { &*slot.get().cast::<Box<V>>() }
    }
}

#[inline]
fn is_panic<T>(outcome: &Outcome<T>) -> bool {
    let panic = outcome.as_ref().err();
    panic.is_some_and(|payload| !payload.is::<Cancelled>())
}

/// Calls the closure. std ends a short backtrace at a function with this name, even if it is
/// inlined.
#[inline(always)]
fn __rust_begin_short_backtrace<F: FnOnce() -> T, T>(closure: F) -> T {
    closure()
}

struct Typed<F, T>(std::marker::PhantomData<(F, T)>);

impl<F: FnOnce() -> T, T> Typed<F, T> {
    const VTABLE: &'static Vtable = &Vtable {
        run: Self::__rust_begin_short_backtrace,
        cancel: Self::cancel,
        has_panicked: Self::has_panicked,
        is_plain: Self::is_plain,
        drop_result: Self::drop_result,
        take_panic: Self::take_panic,
    };

    /// Runs the closure. The name is for release builds without debug information, in which the
    /// function above is not visible any more.
    unsafe fn __rust_begin_short_backtrace(slot: &Slot) -> bool {
        // SAFETY: B1, the stage was `Closure`.
        let closure = unsafe { take::<F>(slot) };
        let outcome: Outcome<T> =
            catch_unwind(AssertUnwindSafe(|| __rust_begin_short_backtrace(closure)));
        let panicked = is_panic(&outcome);
        // SAFETY: B1, the slot was emptied.
        unsafe { put(slot, outcome) };
        panicked
    }

    unsafe fn cancel(slot: &Slot) -> bool {
        // SAFETY: B1, the stage was `Closure`.
        let closure = unsafe { take::<F>(slot) };
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(closure)));
        let outcome: Outcome<T> = Err(dropped.err().unwrap_or_else(|| Box::new(Cancelled::new())));
        let panicked = is_panic(&outcome);
        // SAFETY: B1, the slot was emptied.
        unsafe { put(slot, outcome) };
        panicked
    }

    unsafe fn has_panicked(slot: &Slot) -> bool {
        // SAFETY: B1, the stage is `Result`.
        is_panic(unsafe { peek::<Outcome<T>>(slot) })
    }

    unsafe fn is_plain(slot: &Slot) -> bool {
        let is_inline = fits::<Outcome<T>>() && !needs_drop::<T>();
        // SAFETY: B1, the stage is `Result`.
        is_inline && unsafe { peek::<Outcome<T>>(slot) }.is_ok()
    }

    unsafe fn drop_result(slot: &Slot) {
        // SAFETY: B1, the stage was `Result`.
        drop(unsafe { take::<Outcome<T>>(slot) });
    }

    unsafe fn take_panic(slot: &Slot) -> Option<Box<dyn Any + Send>> {
        // SAFETY: B1, the stage was `Result`.
        unsafe { take::<Outcome<T>>(slot) }.err()
    }
}

impl Body {
    /// Returns a number for the types of the body, different for each closure.
    #[inline(always)]
    pub(super) fn kind<F: FnOnce() -> T, T>() -> usize {
        ptr::from_ref(Typed::<F, T>::VTABLE).addr()
    }

    pub(crate) fn empty() -> Body {
        Body {
            vtable: Cell::new(Typed::<fn(), ()>::VTABLE),
            stage: Cell::new(Stage::Empty),
            slot: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Stores a closure.
    ///
    /// # Safety
    ///
    /// B2: the caller is the spawner. B3: `F` and `T` outlive the green thread.
    pub(crate) unsafe fn set<F: FnOnce() -> T, T>(&self, closure: F) {
        debug_assert_eq!(self.stage.get(), Stage::Empty);
        self.vtable.set(Typed::<F, T>::VTABLE);
        // SAFETY: B1, the stage is `Empty`.
        unsafe { put(&self.slot, closure) };
        self.stage.set(Stage::Closure);
    }

    /// Runs the closure and stores its result or its panic. Returns true if it is a panic.
    ///
    /// # Safety
    ///
    /// B2: the caller runs on the green thread.
    #[inline]
    pub(crate) unsafe fn run(&self) -> bool {
        debug_assert_eq!(self.stage.get(), Stage::Closure);
        self.stage.set(Stage::Empty);
        // SAFETY: B1, the stage was `Closure`.
        let panicked = unsafe { (self.vtable.get().run)(&self.slot) };
        self.stage.set(Stage::Result);
        panicked
    }

    /// Drops the closure without running it. The result is [`Cancelled`], or the panic of a
    /// destructor; returns true for a panic. The caller ensures that nothing cancels the waits of
    /// the closure's captures.
    ///
    /// # Safety
    ///
    /// B2: the caller is the worker that would have started it, or the spawner.
    pub(crate) unsafe fn cancel(&self) -> bool {
        debug_assert_eq!(self.stage.get(), Stage::Closure);
        self.stage.set(Stage::Empty);
        // SAFETY: B1, the stage was `Closure`.
        let panicked = unsafe { (self.vtable.get().cancel)(&self.slot) };
        self.stage.set(Stage::Result);
        panicked
    }

    /// Takes the result.
    ///
    /// # Safety
    ///
    /// B2 by C2; `T` is that of `set`.
    pub(crate) unsafe fn take_result<T>(&self) -> Outcome<T> {
        assert_eq!(
            self.stage.replace(Stage::Empty),
            Stage::Result,
            "the result is there once"
        );
        // SAFETY: B1, the stage was `Result`.
        unsafe { take::<Outcome<T>>(&self.slot) }
    }

    /// Drops the result if it is there and that does nothing, so that no destructor of the user
    /// runs. Returns false if the result is still there.
    ///
    /// # Safety
    ///
    /// B2 by C2.
    pub(crate) unsafe fn drop_plain_result(&self) -> bool {
        if self.stage.get() == Stage::Result {
            // SAFETY: B1, the stage is `Result`.
            if !unsafe { (self.vtable.get().is_plain)(&self.slot) } {
                return false;
            }
            self.stage.set(Stage::Empty);
        }
        true
    }

    /// Drops the result, if there is one.
    ///
    /// # Safety
    ///
    /// B2 by C2.
    pub(crate) unsafe fn drop_result(&self) {
        if self.stage.replace(Stage::Empty) == Stage::Result {
            // SAFETY: B1, the stage was `Result`.
            unsafe { (self.vtable.get().drop_result)(&self.slot) };
        }
    }

    /// Takes the payload of a result that is a panic.
    ///
    /// # Safety
    ///
    /// B2 by C2.
    pub(crate) unsafe fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        if self.stage.replace(Stage::Empty) != Stage::Result {
            return None;
        }
        // SAFETY: B1, the stage was `Result`.
        unsafe { (self.vtable.get().take_panic)(&self.slot) }
    }

    /// Returns whether the result is a panic; a cancellation is none.
    ///
    /// # Safety
    ///
    /// B2 by C2.
    pub(crate) unsafe fn failed(&self) -> bool {
        // SAFETY: B1.
        self.stage.get() == Stage::Result && unsafe { (self.vtable.get().has_panicked)(&self.slot) }
    }
}
