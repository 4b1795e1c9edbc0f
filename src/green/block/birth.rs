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
use super::blocks;
use super::body::Body;
use super::reference::GreenRef;
use super::{Green, NO_TIMER, OwningScope, Rare, State};
use crate::green::context::home::Home;
use crate::green::fiber::own_stack::OwnStack;
use crate::sys::clock::NEVER;

/// What a spawner decides about a thread that has wishes.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) name: Option<Box<str>>,
    pub(crate) at: &'static Location<'static>,
    pub(crate) group: usize,
    pub(crate) scope: Option<Arc<dyn OwningScope>>,
    pub(crate) own_stack: Option<OwnStack>,
}

impl Green {
    /// A block for a new green thread without wishes, complete but for its closure. `home` is that of the calling OS thread.
    ///
    /// # Errors
    ///
    /// There is no memory for its block.
    #[inline]
    pub(crate) fn born(
        home: Option<&Home>,
        at: &'static Location<'static>,
        group: usize,
    ) -> io::Result<NonNull<Green>> {
        let block = blocks::take(home.map(|home| &home.spare))?;
        // SAFETY: blocks are never null, and this one is ours alone (G1, G2).
        let green = unsafe { block.as_ref() };
        green.set_state(State::New);
        green.pending.set(false);
        green.elapsed.set(false);
        green.timer.set(NO_TIMER);
        green.deadline.set(NEVER);
        green.raises.set(0);
        green.raising.set(0);
        green.ending.set(false);
        green.quiet_turns.set(0);
        green.attention.store(0, Ordering::Relaxed);
        green.token.store(false, Ordering::Relaxed);
        green.origin.0.set(0);
        green.completion.reset();
        green.group.store(group, Ordering::Relaxed);
        let id = home.map_or_else(next_id, |home| home.ids.next());
        green.id.store(id.get(), Ordering::Relaxed);
        green
            .born_at
            .store(ptr::from_ref(at).cast_mut(), Ordering::Relaxed);
        green.note(Reason::None, at, home.map_or(0, |home| home.now.get()));
        Ok(block)
    }

    /// Gives it what it will run. Two references: the first is the scheduler's, the second the handle's.
    ///
    /// # Safety
    ///
    /// `block` is from [`Green::born`] or [`Green::born_so`], and has nothing to run yet. `F` and `T` outlive the thread (B3).
    #[inline]
    pub(crate) unsafe fn animate<F: FnOnce() -> T, T>(
        block: NonNull<Green>,
        closure: F,
    ) -> (GreenRef, GreenRef) {
        // SAFETY: ours alone.
        let green = unsafe { block.as_ref() };
        // SAFETY: B2, ours alone; B3 by the contract.
        unsafe { green.body.set(closure) };
        // Release: pairs with the Acquire of `try_ref`; a dump that gets a reference sees all that is above and in `born`.
        green.refs.store(2, Ordering::Release);
        (GreenRef::of(block), GreenRef::of(block))
    }

    /// As [`Green::animate`], for a thread from [`Green::born_so`]: if it is a scope's, the scope lists it.
    ///
    /// # Safety
    ///
    /// As [`Green::animate`].
    #[inline]
    pub(crate) unsafe fn animate_so<F: FnOnce() -> T, T>(
        block: NonNull<Green>,
        closure: F,
    ) -> (GreenRef, GreenRef) {
        // SAFETY: ours alone.
        let green = unsafe { block.as_ref() };
        // SAFETY: B2, ours alone; B3 by the contract.
        unsafe { green.body.set(closure) };
        let scope = green.scope();
        // Release: as in `animate`.
        green
            .refs
            .store(2 + u32::from(scope.is_some()), Ordering::Release);
        if let Some(scope) = scope {
            scope.list(GreenRef::of(block));
        }
        (GreenRef::of(block), GreenRef::of(block))
    }

    /// A number for the types of a body: another one for each closure.
    #[inline(always)]
    pub(crate) fn kind<F: FnOnce() -> T, T>() -> usize {
        Body::kind::<F, T>()
    }

    /// As [`Green::born`], for a thread that may have wishes.
    ///
    /// # Errors
    ///
    /// There is no memory for its block.
    pub(crate) fn born_so(birth: Birth) -> io::Result<NonNull<Green>> {
        let block = Green::born(Home::of_thread(), birth.at, birth.group)?;
        if birth.name.is_some() || birth.scope.is_some() || birth.own_stack.is_some() {
            // SAFETY: ours alone.
            let green = unsafe { block.as_ref() };
            let rare = Box::new(Rare {
                name: birth.name,
                scope: birth.scope,
                scope_link: Cell::new(ptr::null_mut()),
                own_stack: birth.own_stack,
            });
            // SAFETY: ours alone.
            unsafe { *green.rare.get() = Some(rare) };
        }
        Ok(block)
    }
}
