#![allow(unsafe_code, reason = "the switch between stacks")]
//! A stack with a suspended call on it: the only file that names corosensei.
//!
//! F1. A fiber is resumed and suspended on one OS thread only, the one that resumed it first.
//! F2. `suspend` is called only by code that runs on the fiber's own stack, between a `resume` and its
//!     return; then `yielder` points to the fiber's yielder, which lives at the base of that stack.
//! F3. corosensei's `Drop` never runs on a fiber that has started and not ended: it would throw a foreign
//!     exception through the user's frames. Such a fiber is leaked, with its stack.
//! F4. A [`Stack`] has a guard at its low end and is at least a page large (its own invariants), which is
//!     what corosensei's `Stack` trait asks.

use std::cell::{Cell, UnsafeCell};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;

use corosensei::stack::{Stack as CoroStack, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::stack::Stack;
use crate::sys::cache::prefetch;

struct Slot(Stack);

// SAFETY: F4.
unsafe impl CoroStack for Slot {
    #[inline(always)]
    fn base(&self) -> StackPointer {
        // SAFETY: `Fiber::new` has looked.
        unsafe { StackPointer::new_unchecked(self.0.top()) }
    }
    #[inline]
    fn limit(&self) -> StackPointer {
        // SAFETY: `Fiber::new` has looked.
        unsafe { StackPointer::new_unchecked(self.0.limit()) }
    }
}

type Co = Coroutine<(), (), (), Slot>;

/// A call that can be suspended and resumed.
pub(crate) struct Fiber {
    co: UnsafeCell<ManuallyDrop<Co>>,
    yielder: Cell<*const Yielder<(), ()>>,
    /// About where the stack ended when it was suspended.
    low: Cell<usize>,
}

impl Fiber {
    /// A fiber on `stack` that will call `entry`. None if the stack's bounds are not addresses.
    pub(crate) fn new(stack: Stack, entry: impl FnOnce(&Started<'_>) + 'static) -> Option<Fiber> {
        if stack.top() == 0 || stack.limit() == 0 {
            return None;
        }
        let co = Co::with_stack(Slot(stack), move |yielder, ()| entry(&Started(yielder)));
        Some(Fiber {
            co: UnsafeCell::new(ManuallyDrop::new(co)),
            yielder: Cell::new(ptr::null()),
            low: Cell::new(0),
        })
    }

    /// Runs the call until it suspends (false) or ends (true).
    ///
    /// # Safety
    ///
    /// F1; the fiber is not running and has not ended.
    #[inline(always)]
    pub(crate) unsafe fn resume(&self) -> bool {
        // SAFETY: not running, so nobody else looks at the coroutine; what runs on it only uses `yielder`.
        let co = unsafe { &mut *self.co.get() };
        matches!(co.resume(()), CoroutineResult::Return(()))
    }

    /// Suspends the running call; returns when it is resumed.
    ///
    /// # Safety
    ///
    /// F2.
    #[inline(always)]
    pub(crate) unsafe fn suspend(&self) {
        // SAFETY: F2.
        let yielder = unsafe { &*self.yielder.get() };
        // Only its address is wanted.
        let here = MaybeUninit::<u8>::uninit();
        self.low.set((&raw const here).addr());
        yielder.suspend(());
    }

    /// Asks for the lines that `resume` will touch: the parent link at the base, and what was pushed last.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        prefetch(self.yielder.get().addr());
        let low = self.low.get();
        prefetch(low);
        prefetch(low.wrapping_sub(64));
    }

    /// The stack of a fiber that has ended.
    pub(crate) fn into_stack(self) -> Stack {
        let co = ManuallyDrop::into_inner(self.co.into_inner());
        co.into_stack().0
    }
}

/// Given to the call as it starts.
pub(crate) struct Started<'a>(&'a Yielder<(), ()>);

impl Started<'_> {
    /// Lets `fiber`, on which the caller runs, be suspended.
    pub(crate) fn attach(&self, fiber: &Fiber) {
        fiber.yielder.set(self.0);
    }
}
