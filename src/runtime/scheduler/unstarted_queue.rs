#![allow(
    unsafe_code,
    reason = "references travel as words, and one side has an owner"
)]
//! The queue of a worker's unstarted threads: pushed mostly by its worker, taken by any.
//!
//! Two queues: `own` is its worker's, who pushes there with two stores; `remote` is for what comes
//! from elsewhere. Each is first in, first out, so the threads of one spawner start in the order in
//! which it spawned them. While both have some, the worker takes from them in turns, so that
//! neither waits for the other to become empty.
//!
//! Beside them are two queues for which the order of spawns does not hold. `shared` has threads
//! that the first idle worker is to start (see `placement.rs`); `fixed` has those that were spawned
//! for this very worker, and only it takes them. `extra` counts both, before they are pushed.
//!
//! SQ1. The worker whose queue it is, on its OS thread, is the owner of `own` (RI1 in `ring.rs`).
//! SQ2. A word in `own` is a scheduler's reference; who gets the word out has the reference.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_queue::SegQueue;

use super::ring::Ring;
use crate::green::{ThreadInner, ThreadRef};

/// A green thread that has not started: any worker may start it. It carries the scheduler's
/// reference.
#[derive(Debug)]
pub(crate) struct Unstarted(pub(crate) ThreadRef);

/// See the module's text.
#[derive(Debug)]
pub(crate) struct UnstartedQueue {
    own: Ring,
    remote: SegQueue<Unstarted>,
    /// Whether it is the turn of `remote`. Of the worker alone.
    turn: AtomicBool,
    extra: AtomicUsize,
    shared: SegQueue<Unstarted>,
    fixed: SegQueue<Unstarted>,
}

/// # Safety
///
/// SQ2.
#[inline]
unsafe fn from_word(word: usize) -> Option<Unstarted> {
    let green = NonNull::new(std::ptr::with_exposed_provenance_mut::<ThreadInner>(word))?;
    // SAFETY: SQ2.
    Some(Unstarted(unsafe { ThreadRef::from_raw(green) }))
}

impl UnstartedQueue {
    pub(crate) fn new() -> UnstartedQueue {
        UnstartedQueue {
            own: Ring::new(),
            remote: SegQueue::new(),
            turn: AtomicBool::new(false),
            extra: AtomicUsize::new(0),
            shared: SegQueue::new(),
            fixed: SegQueue::new(),
        }
    }

    /// The worker's own pushes.
    ///
    /// # Safety
    ///
    /// SQ1: the caller is the worker.
    #[inline]
    pub(crate) unsafe fn push_own(&self, new: Unstarted) {
        let word = new.0.into_raw().as_ptr().expose_provenance();
        // SAFETY: SQ1.
        unsafe { self.own.push(word) };
    }

    /// Everybody else's.
    pub(crate) fn push(&self, new: Unstarted) {
        self.remote.push(new);
    }

    /// The next one, for the worker.
    ///
    /// # Safety
    ///
    /// SQ1: the caller is the worker.
    #[inline]
    pub(crate) unsafe fn pop_own(&self) -> Option<Unstarted> {
        let has_remote = !self.remote.is_empty();
        if has_remote
            && self.takes_turn_of_remote()
            && let Some(new) = self.remote.pop()
        {
            return Some(new);
        }
        // SAFETY: SQ1.
        match unsafe { self.own.pop() } {
            // SAFETY: SQ2.
            Some(word) => unsafe { from_word(word) },
            None if has_remote => self.remote.pop(),
            None if self.extra() > 0 => self.pop_fixed(),
            None => None,
        }
    }

    /// Whether it is the turn of those from elsewhere: every other time.
    fn takes_turn_of_remote(&self) -> bool {
        let turn = !self.turn.load(Ordering::Relaxed);
        self.turn.store(turn, Ordering::Relaxed);
        turn
    }

    /// How many are in the two queues beside.
    #[inline]
    pub(crate) fn extra(&self) -> usize {
        self.extra.load(Ordering::Relaxed)
    }

    /// For the first worker that is idle.
    pub(crate) fn push_shared(&self, new: Unstarted) {
        self.extra.fetch_add(1, Ordering::Relaxed);
        self.shared.push(new);
    }

    /// The oldest shared one, for everybody.
    pub(crate) fn take_shared(&self) -> Option<Unstarted> {
        if self.extra() == 0 {
            return None;
        }
        let new = self.shared.pop()?;
        self.extra.fetch_sub(1, Ordering::Relaxed);
        Some(new)
    }

    /// How many shared ones there are.
    #[inline]
    pub(crate) fn shared(&self) -> usize {
        match self.extra() {
            0 => 0,
            _ => self.shared.len(),
        }
    }

    /// For this worker alone.
    pub(crate) fn push_fixed(&self, new: Unstarted) {
        self.extra.fetch_add(1, Ordering::Relaxed);
        self.fixed.push(new);
    }

    /// The oldest of those that nobody else takes: for the worker, or when no worker will start
    /// them any more.
    #[cold]
    pub(crate) fn pop_fixed(&self) -> Option<Unstarted> {
        let new = self.fixed.pop()?;
        self.extra.fetch_sub(1, Ordering::Relaxed);
        Some(new)
    }

    /// Any of them, when no worker will start them any more.
    pub(crate) fn take_last(&self) -> Option<Unstarted> {
        self.take()
            .or_else(|| self.take_shared())
            .or_else(|| self.pop_fixed())
    }

    /// The oldest, for everybody else.
    pub(crate) fn take(&self) -> Option<Unstarted> {
        match self.own.take() {
            // SAFETY: SQ2.
            Some(word) => unsafe { from_word(word) },
            None => self.remote.pop(),
        }
    }

    /// Whether the worker itself has nothing to start, shared threads aside.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.has_none_to_steal() && (self.extra() == 0 || self.fixed.is_empty())
    }

    /// Whether [`UnstartedQueue::take`] has nothing to give.
    #[inline]
    pub(crate) fn has_none_to_steal(&self) -> bool {
        self.own.is_empty() && self.remote.is_empty()
    }

    /// How many [`UnstartedQueue::take`] would give.
    pub(crate) fn stealable(&self) -> usize {
        self.own.len() + self.remote.len()
    }

    /// How many the worker has pushed that have not been taken.
    #[inline]
    pub(crate) fn own(&self) -> usize {
        self.own.len()
    }

    /// All of them.
    pub(crate) fn len(&self) -> usize {
        self.stealable() + self.extra()
    }

    /// Gives back memory that a crowd has left.
    ///
    /// # Safety
    ///
    /// SQ1: the caller is the worker.
    pub(crate) unsafe fn trim(&self) {
        // SAFETY: SQ1.
        unsafe { self.own.trim() };
    }
}

impl Drop for UnstartedQueue {
    fn drop(&mut self) {
        while let Some(left) = self.take_last() {
            drop(left);
        }
    }
}
