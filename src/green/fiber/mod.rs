#![allow(unsafe_code, reason = "switches stacks")]
//! A stack with a suspended call on it: the only file that names corosensei.
//!
//! A call that has ended leaves its coroutine behind, suspended at the end of a loop: the stack is
//! *inhabited* (S7 in `stack/mod.rs`). The next call on that stack is one more iteration of the
//! loop, which costs a switch and no setup. An idle stack holds the frames of that loop, which have
//! nothing to drop, and the coroutine's handle above them; so the coroutine may be forgotten at any
//! moment, and is as soon as the stack leaves the list of its worker.
//!
//! F1. A fiber is resumed and suspended on one OS thread only, the one that resumed it first. (The
//!     tokens of `panic_count.rs` are the exception, by PC1 and PC2: no code of the user runs
//!     there.)
//! F2. `suspend` is called only by code that runs on the fiber's own stack, between a `resume` and
//!     its return; then `yielder` points to the fiber's yielder, which lives at the base of that
//!     stack.
//! F3. corosensei's `Drop` never runs on a fiber that has started and not ended: it would throw a
//!     foreign exception through the user's frames. Such a fiber is leaked, with its stack. An idle
//!     fiber may be forgotten: on its stack are the frames of the loop, which own nothing.
//! F4. A [`Stack`] has a guard at its low end and is at least a page large (its own invariants), as
//!     corosensei's `Stack` trait requires.
//! F5. The entry is a function without captures that finds its closure by itself, so that it serves
//!     for the next call as well.
//! F6. The highest [`HANDLE`] bytes below a stack's top are above the coroutine's base. In an
//!     inhabited stack they hold its [`Co`].
//! F7. The frames of an idle coroutine lie in the stack's highest page, above the mark of the pool
//!     (P2 in `stack/pool.rs`): a coroutine whose loop stands lower than [`IDLE`] bytes below the
//!     top, where a compiler makes large frames, ends instead of waiting.
//! F8. While a call is suspended, `low` is an address in the frame that suspended it, and the
//!     stack pointer that corosensei saved lies less than 64 KiB below it, the size of a large
//!     frame. No other word of the handle lies in between: the others are addresses near the
//!     stack's top or outside of it, and the tag of the slot.

pub(crate) mod own_stack;
pub(super) mod panic_count;
#[cfg(feature = "backtrace")]
pub(crate) mod suspended;

use std::cell::{Cell, UnsafeCell};
use std::mem::{ManuallyDrop, MaybeUninit, align_of, offset_of, size_of};
use std::ptr;

use corosensei::stack::{Stack as CoroStack, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::stack::Stack;
use crate::sys::cpu::prefetch;

struct Slot(Stack);

// SAFETY: F4.
unsafe impl CoroStack for Slot {
    #[inline(always)]
    fn base(&self) -> StackPointer {
        // SAFETY: `Fiber::new` has checked it.
        unsafe { StackPointer::new_unchecked(self.0.top() - HANDLE_BYTES) }
    }
    #[inline]
    fn limit(&self) -> StackPointer {
        // SAFETY: `Fiber::new` has checked it.
        unsafe { StackPointer::new_unchecked(self.0.limit()) }
    }
}

/// The coroutine of a fiber. It yields whether the call has ended.
type Co = Coroutine<(), bool, (), Slot>;

/// Size of the space for the handle: a cache line.
const HANDLE_BYTES: usize = 64;
const _: () = assert!(size_of::<Co>() <= HANDLE_BYTES && align_of::<Co>() <= 16);

/// How far below the top of the stack the loop of an idle coroutine may stand, in bytes. The lowest
/// top leaves 2 KiB and a cache line of its page, less the mark of the pool. Below its loop an idle
/// coroutine has the frames of a suspension: some hundred bytes, in a debug build half a KiB.
const MAX_IDLE_DEPTH_BYTES: usize = 1024;

/// Returns where an inhabited stack holds the handle of its coroutine.
#[inline(always)]
fn handle_slot(stack: &Stack) -> *mut Co {
    ptr::with_exposed_provenance_mut(stack.top() - HANDLE_BYTES)
}

/// A call that can be suspended and resumed.
pub(crate) struct Fiber {
    co: UnsafeCell<ManuallyDrop<Co>>,
    yielder: Cell<*const Yielder<(), bool>>,
    /// The approximate stack pointer at the last suspension.
    low: Cell<usize>,
}

/// What a debugger has to know of an `Option<Fiber>`: where its parts are, in bytes from its start.
///
/// corosensei keeps the stack pointer of a suspended coroutine in its handle. It is the highest
/// word of the handle that is lower than the word at [`LOW`](FiberOffsets::LOW) (F8).
pub(super) struct FiberOffsets;

impl FiberOffsets {
    pub(super) const HANDLE: usize = Self::VALUE + offset_of!(Fiber, co);
    pub(super) const HANDLE_WORDS: usize = size_of::<Co>() / size_of::<usize>();
    pub(super) const YIELDER: usize = Self::VALUE + offset_of!(Fiber, yielder);
    pub(super) const LOW: usize = Self::VALUE + offset_of!(Fiber, low);
    /// Where the fiber is, if there is one.
    const VALUE: usize = {
        let none = None::<Fiber>;
        // SAFETY: std points to where the value would be, within `none`.
        unsafe { none.as_slice().as_ptr().byte_offset_from(&raw const none) as usize }
    };
}

const _: () = assert!(size_of::<Co>().is_multiple_of(size_of::<usize>()));

impl Fiber {
    /// Creates a fiber on `stack`, which is inhabited. The fiber will call the entry that was
    /// called there before.
    ///
    /// # Safety
    ///
    /// The stack is inhabited, and the caller is on the OS thread where the stack was inhabited
    /// (F1).
    #[inline(always)]
    pub(crate) unsafe fn reuse(stack: Stack) -> Fiber {
        let slot = handle_slot(&stack);
        // The handle contains a `Stack`, too: it is this one.
        let _moved = ManuallyDrop::new(stack);
        // SAFETY: F6, S7: the handle was not changed, and it is read once for each time that it was
        // left there.
        Fiber::of(unsafe { slot.read() })
    }

    /// Creates a fiber on `stack`, which is not inhabited, that will call `entry`. Returns `None`
    /// if the stack's bounds are not addresses.
    #[cold]
    pub(crate) fn new<E>(stack: Stack, entry: E) -> Option<Fiber>
    where
        E: Fn(&Started<'_>) + 'static,
    {
        const { assert!(size_of::<E>() == 0, "F5") };
        if stack.top() == 0 || stack.limit() == 0 {
            return None;
        }
        let top = stack.top();
        stack.mark();
        let co = Co::with_stack(Slot(stack), move |yielder, ()| {
            loop {
                entry(&Started(yielder));
                // Only its address is used.
                let here = MaybeUninit::<u8>::uninit();
                // AddressSanitizer may keep `here` on a fake stack, at an address above `top`.
                if top.wrapping_sub((&raw const here).addr()) > MAX_IDLE_DEPTH_BYTES {
                    // F7.
                    return;
                }
                yielder.suspend(true);
            }
        });
        Some(Fiber::of(co))
    }

    #[inline(always)]
    fn of(co: Co) -> Fiber {
        Fiber {
            co: UnsafeCell::new(ManuallyDrop::new(co)),
            yielder: Cell::new(ptr::null()),
            low: Cell::new(0),
        }
    }

    /// Runs the call until it suspends (false) or ends (true).
    ///
    /// # Safety
    ///
    /// F1; the fiber is not running and has not ended.
    #[inline(always)]
    pub(crate) unsafe fn resume(&self) -> bool {
        // SAFETY: not running, so no other reference to the coroutine is in use; the code that runs
        // on it only uses `yielder`.
        let co = unsafe { &mut *self.co.get() };
        match co.resume(()) {
            CoroutineResult::Yield(ended) => ended,
            CoroutineResult::Return(()) => true,
        }
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
        // Only its address is used.
        let here = MaybeUninit::<u8>::uninit();
        self.low.set((&raw const here).addr());
        yielder.suspend(false);
    }

    /// Prefetches the cache lines that `resume` will touch: the parent link at the base, and the
    /// data pushed last.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        prefetch(self.yielder.get().addr());
        let low = self.low.get();
        prefetch(low);
        prefetch(low.wrapping_sub(64));
    }

    /// Takes the stack of a fiber whose call has ended; the stack is inhabited.
    ///
    /// # Safety
    ///
    /// `resume` has returned true.
    #[inline(always)]
    pub(crate) unsafe fn into_stack(self) -> Stack {
        let mut co = ManuallyDrop::into_inner(self.co.into_inner());
        if co.done() {
            // F7, or a panic out of the entry, which is a bug that the worker reports.
            return co.into_stack().0;
        }
        // SAFETY: a bitwise copy; of the two, this one goes to where it is read once, by `again`,
        // or forgotten.
        let idle = ManuallyDrop::new(unsafe { ptr::read(&raw const co) });
        // SAFETY: F3, it is idle.
        unsafe { co.force_reset() };
        let mut stack = co.into_stack().0;
        // SAFETY: F6, and the stack belongs to this function.
        unsafe { handle_slot(&stack).cast::<ManuallyDrop<Co>>().write(idle) };
        stack.mark_has_coroutine();
        stack
    }
}

/// Lets a starting call attach its fiber.
pub(crate) struct Started<'a>(&'a Yielder<(), bool>);

impl Started<'_> {
    /// Makes it possible to suspend `fiber`, on which the caller runs.
    pub(crate) fn attach(&self, fiber: &Fiber) {
        fiber.yielder.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::{StackPool, StackSize};

    thread_local! {
        static FIBER: Cell<*const Fiber> = const { Cell::new(ptr::null()) };
        static STEPS: Cell<u32> = const { Cell::new(0) };
    }

    /// Makes two steps on `stack` and returns it.
    fn call(stack: Stack) -> Stack {
        let entry = |started: &Started<'_>| {
            // SAFETY: set below, and the fiber is there until it has ended.
            let fiber = unsafe { &*FIBER.get() };
            started.attach(fiber);
            STEPS.set(STEPS.get() + 1);
            // SAFETY: F2.
            unsafe { fiber.suspend() };
            STEPS.set(STEPS.get() + 1);
        };
        let fiber = if stack.has_coroutine() {
            // SAFETY: just checked; the pool's stacks are of a size that no other code uses.
            unsafe { Fiber::reuse(stack) }
        } else {
            Fiber::new(stack, entry).unwrap()
        };
        FIBER.set(&raw const fiber);
        // SAFETY: F1, here and below.
        assert!(!unsafe { fiber.resume() });
        // SAFETY: as above.
        assert!(unsafe { fiber.resume() });
        // SAFETY: it has ended.
        unsafe { fiber.into_stack() }
    }

    #[test]
    fn calls_follow_each_other_on_a_stack_through_trims_and_the_reserve() {
        const STACKS: usize = 300;
        let mut pool = StackPool::new(StackSize::from_usable(320 << 10));
        let mut base = 0;
        for round in 0..6 {
            let mut stacks = Vec::new();
            for _ in 0..STACKS {
                pool.reserve().unwrap();
                let stack = call(pool.take().unwrap());
                assert!(stack.has_coroutine());
                stacks.push(call(stack));
            }
            base += 4 * STACKS as u32;
            assert_eq!(STEPS.get(), base);
            let inhabited = stacks.len();
            for stack in stacks {
                pool.give(stack);
                pool.unreserve();
            }
            if round % 2 == 1 {
                // Released below their highest page, or passed on: then they are no longer
                // inhabited.
                while pool.trim() {}
            }
            let mut again = Vec::new();
            for _ in 0..STACKS {
                pool.reserve().unwrap();
                again.push(pool.take().unwrap());
            }
            let left = again.iter().filter(|stack| stack.has_coroutine()).count();
            assert!(left < inhabited, "the list is shorter: {left}");
            for stack in again {
                pool.give(call(stack));
                pool.unreserve();
            }
            base += 2 * STACKS as u32;
            assert_eq!(STEPS.get(), base);
        }
    }
}
