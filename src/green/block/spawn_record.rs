#![allow(unsafe_code, reason = "a block that nobody else has yet")]
//! How a green thread is made: its block, what is decided about it, what it will run.
//!
//! The invariants are those of the control block, in `green/mod.rs`, and of `body.rs`.

use std::cell::Cell;
use std::io;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::ids::next_id;
use super::super::reason::Reason;
use super::body::Body;
use super::reference::ThreadRef;
use super::slab;
use super::{NO_TIMER, OwningScope, Rare, State, ThreadInner};
use crate::green::context::worker_context::WorkerContext;
use crate::green::fiber::own_stack::OwnStack;
use crate::sys::clock::NEVER;

/// What a spawner decides about a thread that has wishes.
#[derive(Debug)]
pub(crate) struct SpawnInfo {
    pub(crate) name: Option<Box<str>>,
    pub(crate) at: &'static Location<'static>,
    pub(crate) group: usize,
    pub(crate) scope: Option<Arc<dyn OwningScope>>,
    pub(crate) own_stack: Option<OwnStack>,
}

impl ThreadInner {
    /// A block for a new green thread without wishes, complete but for its closure. `cx` is that of
    /// the calling OS thread.
    ///
    /// # Errors
    ///
    /// There is no memory for its block.
    #[inline]
    pub(crate) fn allocate(
        cx: Option<&WorkerContext>,
        at: &'static Location<'static>,
        group: usize,
    ) -> io::Result<NonNull<ThreadInner>> {
        let block = slab::take(cx.map(|cx| &cx.spare))?;
        // SAFETY: blocks are never null, and this one is ours alone (G1, G2).
        let green = unsafe { block.as_ref() };
        green.set_state(State::New);
        green.pending.set(false);
        green.elapsed.set(false);
        green.timer.set(NO_TIMER);
        green.deadline.set(NEVER);
        green.cancel_count.set(0);
        green.unwind_number.set(0);
        green.ending.set(false);
        green.quiet_yields.set(0);
        green.attention.store(0, Ordering::Relaxed);
        green.token.store(false, Ordering::Relaxed);
        green.origin.0.set(0);
        green.completion.reset();
        green.group.store(group, Ordering::Relaxed);
        let id = cx.map_or_else(next_id, |cx| cx.ids.next());
        green.id.store(id.get(), Ordering::Relaxed);
        green
            .spawned_at
            .store(ptr::from_ref(at).cast_mut(), Ordering::Relaxed);
        green.note(Reason::None, at, cx.map_or(0, |cx| cx.now.get()));
        Ok(block)
    }

    /// Gives it what it will run. Two references: the first is the scheduler's, the second the
    /// handle's.
    ///
    /// # Safety
    ///
    /// `block` is from [`ThreadInner::born`] or [`ThreadInner::allocate_with`], and has nothing to
    /// run yet. `F` and `T` outlive the thread (B3).
    #[inline]
    pub(crate) unsafe fn init_body<F: FnOnce() -> T, T>(
        block: NonNull<ThreadInner>,
        closure: F,
    ) -> (ThreadRef, ThreadRef) {
        // SAFETY: ours alone.
        let green = unsafe { block.as_ref() };
        // SAFETY: B2, ours alone; B3 by the contract.
        unsafe { green.body.set(closure) };
        // Release: pairs with the Acquire of `try_ref`; a dump that gets a reference sees all that
        // is above and in `born`.
        green.refs.store(2, Ordering::Release);
        (ThreadRef::of(block), ThreadRef::of(block))
    }

    /// As [`ThreadInner::init_body`], for a thread from [`ThreadInner::allocate_with`]: if it is a
    /// scope's, the scope lists it.
    ///
    /// # Safety
    ///
    /// As [`ThreadInner::init_body`].
    #[inline]
    pub(crate) unsafe fn animate_so<F: FnOnce() -> T, T>(
        block: NonNull<ThreadInner>,
        closure: F,
    ) -> (ThreadRef, ThreadRef) {
        // SAFETY: ours alone.
        let green = unsafe { block.as_ref() };
        // SAFETY: B2, ours alone; B3 by the contract.
        unsafe { green.body.set(closure) };
        let scope = green.scope();
        // Release: as in `init_body`.
        green
            .refs
            .store(2 + u32::from(scope.is_some()), Ordering::Release);
        if let Some(scope) = scope {
            scope.list(ThreadRef::of(block));
        }
        (ThreadRef::of(block), ThreadRef::of(block))
    }

    /// A number for the types of a body: another one for each closure.
    #[inline(always)]
    pub(crate) fn kind<F: FnOnce() -> T, T>() -> usize {
        Body::kind::<F, T>()
    }

    /// As [`ThreadInner::born`], for a thread that may have wishes.
    ///
    /// # Errors
    ///
    /// There is no memory for its block.
    pub(crate) fn allocate_with(info: SpawnInfo) -> io::Result<NonNull<ThreadInner>> {
        let block = ThreadInner::allocate(WorkerContext::of_thread(), info.at, info.group)?;
        if info.name.is_some() || info.scope.is_some() || info.own_stack.is_some() {
            // SAFETY: ours alone.
            let green = unsafe { block.as_ref() };
            let rare = Box::new(Rare {
                name: info.name,
                scope: info.scope,
                scope_link: Cell::new(ptr::null_mut()),
                own_stack: info.own_stack,
            });
            // SAFETY: ours alone.
            unsafe { *green.rare.get() = Some(rare) };
        }
        Ok(block)
    }
}
