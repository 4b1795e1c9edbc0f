#![allow(
    unsafe_code,
    reason = "stores references as words; one end of the queue has an owner"
)]
//! The queue of a worker's unstarted threads: mostly its own worker pushes, and any worker takes.
//!
//! It has two main queues: `own` belongs to the worker, which pushes to it with two stores;
//! `remote` holds threads that come from elsewhere. Each is first in, first out, so the threads of
//! one spawner start in the order in which it spawned them. While neither is empty, the worker
//! takes from them alternately, so that neither waits for the other to become empty.
//!
//! Two more queues do not keep the order of spawns. `shared` holds threads that the first idle
//! worker is to start (see `runtime/placement/policy.rs`); `fixed` holds threads that were spawned
//! for this worker, and only this worker takes them. `extra` counts both, before they are pushed.
//!
//! SQ1. The worker that the queue belongs to, on its OS thread, is the owner of `own` (RI1 in
//!      `ring.rs`).
//! SQ2. A word in `own` is a scheduler's reference; the thread that takes the word owns the
//!      reference.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_queue::SegQueue;

use super::ring::Ring;
use crate::green::{ThreadInner, ThreadRef};

/// A green thread that has not started: any worker may start it. It carries the scheduler's
/// reference.
#[derive(Debug)]
pub(crate) struct Unstarted(pub(crate) ThreadRef);

/// The unstarted threads of one worker; see the module's text.
#[derive(Debug)]
pub(crate) struct UnstartedQueue {
    own: Ring,
    remote: SegQueue<Unstarted>,
    /// Whether the last thread that was taken may have been one of `remote`. Only the worker uses
    /// this.
    remote_is_next: AtomicBool,
    extra: AtomicUsize,
    shared: SegQueue<Unstarted>,
    fixed: SegQueue<Unstarted>,
}

/// Turns a word of the ring back into the reference that it stands for.
///
/// # Safety
///
/// SQ2: the caller has taken `word` out of `own`.
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
            remote_is_next: AtomicBool::new(false),
            extra: AtomicUsize::new(0),
            shared: SegQueue::new(),
            fixed: SegQueue::new(),
        }
    }

    /// Pushes a thread; for the worker itself.
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

    /// Pushes a thread; for all other threads.
    pub(crate) fn push(&self, new: Unstarted) {
        self.remote.push(new);
    }

    /// Takes the next thread; for the worker itself.
    ///
    /// # Safety
    ///
    /// SQ1: the caller is the worker.
    #[inline]
    pub(crate) unsafe fn pop_own(&self) -> Option<Unstarted> {
        let has_remote = !self.remote.is_empty();
        if has_remote
            && self.alternate_to_remote()
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

    /// Alternates between `own` and `remote`; returns whether it is `remote` now.
    fn alternate_to_remote(&self) -> bool {
        let is_remote = !self.remote_is_next.load(Ordering::Relaxed);
        self.remote_is_next.store(is_remote, Ordering::Relaxed);
        is_remote
    }

    /// Returns how many threads are in `shared` and `fixed`.
    #[inline]
    pub(crate) fn extra(&self) -> usize {
        self.extra.load(Ordering::Relaxed)
    }

    /// Pushes a thread for the first idle worker.
    pub(crate) fn push_shared(&self, new: Unstarted) {
        self.extra.fetch_add(1, Ordering::Relaxed);
        self.shared.push(new);
    }

    /// Takes the oldest shared thread; for every worker.
    pub(crate) fn take_shared(&self) -> Option<Unstarted> {
        if self.extra() == 0 {
            return None;
        }
        let new = self.shared.pop()?;
        self.extra.fetch_sub(1, Ordering::Relaxed);
        Some(new)
    }

    /// Returns how many shared threads there are.
    #[inline]
    pub(crate) fn shared(&self) -> usize {
        match self.extra() {
            0 => 0,
            _ => self.shared.len(),
        }
    }

    /// Pushes a thread that only this worker may start.
    pub(crate) fn push_fixed(&self, new: Unstarted) {
        self.extra.fetch_add(1, Ordering::Relaxed);
        self.fixed.push(new);
    }

    /// Takes the oldest fixed thread: for the worker, or when no worker will start it any more.
    #[cold]
    pub(crate) fn pop_fixed(&self) -> Option<Unstarted> {
        let new = self.fixed.pop()?;
        self.extra.fetch_sub(1, Ordering::Relaxed);
        Some(new)
    }

    /// Takes any thread, when no worker will start it any more.
    pub(crate) fn take_last(&self) -> Option<Unstarted> {
        self.take()
            .or_else(|| self.take_shared())
            .or_else(|| self.pop_fixed())
    }

    /// Takes the oldest thread; for other workers.
    pub(crate) fn take(&self) -> Option<Unstarted> {
        match self.own.take() {
            // SAFETY: SQ2.
            Some(word) => unsafe { from_word(word) },
            None => self.remote.pop(),
        }
    }

    /// Returns whether the worker itself has nothing to start, shared threads aside.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.has_none_to_steal() && (self.extra() == 0 || self.fixed.is_empty())
    }

    /// Returns whether [`UnstartedQueue::take`] would find nothing.
    #[inline]
    pub(crate) fn has_none_to_steal(&self) -> bool {
        self.own.is_empty() && self.remote.is_empty()
    }

    /// Returns how many threads [`UnstartedQueue::take`] could take.
    pub(crate) fn stealable(&self) -> usize {
        self.own.len() + self.remote.len()
    }

    /// Returns how many threads the worker has pushed that have not been taken.
    #[inline]
    pub(crate) fn own(&self) -> usize {
        self.own.len()
    }

    /// Returns how many threads are in all four queues.
    pub(crate) fn len(&self) -> usize {
        self.stealable() + self.extra()
    }

    /// Gives back memory that a large number of threads has left.
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
