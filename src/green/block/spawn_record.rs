#![allow(unsafe_code, reason = "a block that no other thread has yet")]
//! The creation of a green thread: allocates its control block, records the spawner's options, and
//! stores its closure.
//!
//! The invariants are those of the control block, in `green/mod.rs`, and of `body.rs`.

use std::io;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::ids::next_id;
use super::super::reason::Reason;
use super::super::scope::member_list::Link;
use super::body::Body;
use super::reference::ThreadRef;
use super::slab;
use super::{NO_TIMER, OwningScope, Rare, State, ThreadInner};
use crate::green::context::worker_context::WorkerContext;
use crate::green::fiber::own_stack::OwnStack;
use crate::sys::clock::NEVER;
use crate::timeline;

/// The spawner's options for a thread, used when they are not the defaults.
#[derive(Debug)]
pub(crate) struct SpawnInfo {
    pub(crate) name: Option<Box<str>>,
    pub(crate) at: &'static Location<'static>,
    pub(crate) group: usize,
    pub(crate) scope: Option<Arc<dyn OwningScope>>,
    pub(crate) own_stack: Option<OwnStack>,
}

#[cold]
#[inline(never)]
fn record_spawn(id: u64, cx: Option<&WorkerContext>, at: &'static Location<'static>) {
    timeline::spawn(id, cx.map_or(0, WorkerContext::current_id), at);
}

impl ThreadInner {
    /// Allocates a block for a new green thread with default options, complete except for its
    /// closure. `cx` is that of the calling OS thread.
    ///
    /// # Errors
    ///
    /// There is no memory for the block.
    #[inline]
    pub(crate) fn allocate(
        cx: Option<&WorkerContext>,
        at: &'static Location<'static>,
        group: usize,
    ) -> io::Result<NonNull<ThreadInner>> {
        let block = slab::take(cx.map(|cx| &cx.spare))?;
        // SAFETY: blocks are never null, and this one belongs to the caller alone (G1, G2).
        let green = unsafe { block.as_ref() };
        green.set_state(State::New);
        green.pending.set(false);
        green.elapsed.set(false);
        green.timer.set(NO_TIMER);
        green.set_deadline(NEVER);
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
        if timeline::is_on() {
            record_spawn(id.get(), cx, at);
        }
        Ok(block)
    }

    /// Stores the closure of the thread. Returns two references: the first is the scheduler's, the
    /// second the handle's.
    ///
    /// # Safety
    ///
    /// `block` is from [`ThreadInner::allocate`] or [`ThreadInner::allocate_with`], and has no
    /// closure yet. `F` and `T` outlive the thread (B3).
    #[inline]
    pub(crate) unsafe fn init_body<F: FnOnce() -> T, T>(
        block: NonNull<ThreadInner>,
        closure: F,
    ) -> (ThreadRef, ThreadRef) {
        // SAFETY: the block belongs to the caller alone.
        let green = unsafe { block.as_ref() };
        // SAFETY: B2, the block belongs to the caller alone; B3 by the contract.
        unsafe { green.body.set(closure) };
        // Release: pairs with the Acquire of `try_ref`; a dump that gets a reference sees all the
        // writes above and in `allocate`.
        green.refs.store(2, Ordering::Release);
        (ThreadRef::of(block), ThreadRef::of(block))
    }

    /// Like [`ThreadInner::init_body`], for a thread from [`ThreadInner::allocate_with`]: if the
    /// thread belongs to a scope, the scope lists it.
    ///
    /// # Safety
    ///
    /// The same as for [`ThreadInner::init_body`].
    #[inline]
    pub(crate) unsafe fn init_body_with<F: FnOnce() -> T, T>(
        block: NonNull<ThreadInner>,
        closure: F,
    ) -> (ThreadRef, ThreadRef) {
        // SAFETY: the block belongs to the caller alone.
        let green = unsafe { block.as_ref() };
        // SAFETY: B2, the block belongs to the caller alone; B3 by the contract.
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

    /// Returns a number for the types of a body, different for each closure.
    #[inline(always)]
    pub(crate) fn kind<F: FnOnce() -> T, T>() -> usize {
        Body::kind::<F, T>()
    }

    /// Like [`ThreadInner::allocate`], for a thread with options.
    ///
    /// # Errors
    ///
    /// There is no memory for the block.
    pub(crate) fn allocate_with(info: SpawnInfo) -> io::Result<NonNull<ThreadInner>> {
        let block = ThreadInner::allocate(WorkerContext::of_thread(), info.at, info.group)?;
        if info.name.is_some() || info.scope.is_some() || info.own_stack.is_some() {
            // SAFETY: the block belongs to the caller alone.
            let green = unsafe { block.as_ref() };
            let rare = Box::new(Rare {
                name: info.name,
                scope: info.scope,
                scope_link: Link::new(ptr::null_mut()),
                own_stack: info.own_stack,
            });
            // SAFETY: the block belongs to the caller alone.
            unsafe { *green.rare.get() = Some(rare) };
        }
        Ok(block)
    }

    /// Makes the thread of a block from [`ThreadInner::allocate`] a member of `scope`.
    #[inline(never)]
    pub(crate) fn join_scope(block: NonNull<ThreadInner>, scope: Arc<dyn OwningScope>) {
        // SAFETY: the block belongs to the caller alone.
        let green = unsafe { block.as_ref() };
        let rare = Box::new(Rare {
            name: None,
            scope: Some(scope),
            scope_link: Link::new(ptr::null_mut()),
            own_stack: None,
        });
        // SAFETY: the block belongs to the caller alone.
        unsafe { *green.rare.get() = Some(rare) };
    }
}
