#![allow(
    unsafe_code,
    reason = "references travel as words, and one side has an owner"
)]
//! The queue of a worker's unstarted threads: pushed mostly by its worker, taken by any.
//!
//! Two queues in a row: `own` is its worker's, who pushes there with two stores; `behind` is for what comes from elsewhere. First in, first
//! out as long as one thread pushes: while something is behind, the worker's pushes go there too, and what is in front is older.
//!
//! SQ1. The worker whose queue it is, on its OS thread, is the owner of `own` (RI1 in `ring.rs`).
//! SQ2. A word in `own` is a scheduler's reference; who gets the word out has the reference.

use std::ptr::NonNull;

use crossbeam_queue::SegQueue;

use super::ring::Ring;
use super::shared::Unstarted;
use crate::green::{Green, GreenRef};

/// See the module's text.
#[derive(Debug)]
pub(crate) struct StartQueue {
    own: Ring,
    behind: SegQueue<Unstarted>,
}

/// # Safety
///
/// SQ2.
#[inline]
unsafe fn from_word(word: usize) -> Option<Unstarted> {
    let green = NonNull::new(std::ptr::with_exposed_provenance_mut::<Green>(word))?;
    // SAFETY: SQ2.
    Some(Unstarted(unsafe { GreenRef::from_raw(green) }))
}

impl StartQueue {
    pub(crate) fn new() -> StartQueue {
        StartQueue {
            own: Ring::new(),
            behind: SegQueue::new(),
        }
    }

    /// The worker's own pushes.
    ///
    /// # Safety
    ///
    /// SQ1: the caller is the worker.
    #[inline]
    pub(crate) unsafe fn push_own(&self, new: Unstarted) {
        if self.behind.is_empty() {
            let word = new.0.into_raw().as_ptr().expose_provenance();
            // SAFETY: SQ1.
            unsafe { self.own.push(word) };
        } else {
            self.behind.push(new);
        }
    }

    /// Everybody else's.
    pub(crate) fn push(&self, new: Unstarted) {
        self.behind.push(new);
    }

    /// The oldest, for the worker.
    ///
    /// # Safety
    ///
    /// SQ1: the caller is the worker.
    #[inline]
    pub(crate) unsafe fn pop_own(&self) -> Option<Unstarted> {
        // SAFETY: SQ1.
        match unsafe { self.own.pop() } {
            // SAFETY: SQ2.
            Some(word) => unsafe { from_word(word) },
            None if !self.behind.is_empty() => self.behind.pop(),
            None => None,
        }
    }

    /// The oldest, for everybody else.
    pub(crate) fn take(&self) -> Option<Unstarted> {
        match self.own.take() {
            // SAFETY: SQ2.
            Some(word) => unsafe { from_word(word) },
            None => self.behind.pop(),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.behind.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.own.len() + self.behind.len()
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

impl Drop for StartQueue {
    fn drop(&mut self) {
        while let Some(left) = self.take() {
            drop(left);
        }
    }
}
