#![allow(unsafe_code, reason = "packs three kinds of waiter into one word")]
//! A waiter, which is a green thread, an ordinary OS thread or the task of a future, behind one
//! handle of one word.
//!
//! U1. A word with bits 0 and 1 clear is a [`ThreadRef`], with bit 0 set an `Arc<OsThread>`, with
//!     bit 1 set an `Arc<Task>`; each carries one reference. Blocks are aligned to 64 and the
//!     contents of the `Arc`s to 8, so these bits are free.

use std::ptr::NonNull;
use std::sync::Arc;

use super::completion::PackedWaiter;
use super::task::Task;
use super::{ThreadInner, ThreadRef, WorkerContext};

pub(crate) use super::os_thread::OsThread;

/// Wakes one waiter.
#[derive(Clone, Debug)]
pub(crate) enum Unparker {
    Green(ThreadRef),
    Os(Arc<OsThread>),
    Task(Arc<Task>),
}

const OS: usize = 1;
const TASK: usize = 2;
const TAGS: usize = OS | TASK;

impl Unparker {
    /// Returns the unparker of the calling thread, green or not.
    #[inline]
    pub(crate) fn current() -> Unparker {
        match WorkerContext::get() {
            Some(cx) => Unparker::Green(cx.current().to_ref()),
            None => Unparker::Os(OsThread::current()),
        }
    }

    /// Ends the present wait of the thread, or its next one. Waits check their condition in a loop.
    #[inline(always)]
    pub(crate) fn unpark(&self) {
        match self {
            Unparker::Green(green) => green.wake(),
            Unparker::Os(_) | Unparker::Task(_) => self.unpark_outside(),
        }
    }

    /// Does the same and drops the handle.
    #[inline(always)]
    pub(crate) fn unpark_and_drop(self) {
        // By variants: the drop of a whole `Unparker` is not inlined.
        match self {
            Unparker::Green(green) => green.wake(),
            outside => outside.unpark_outside(),
        }
    }

    /// A call of its own, so that the wake-up of a green thread is inlined.
    #[cold]
    fn unpark_outside(&self) {
        match self {
            Unparker::Green(green) => green.wake(),
            Unparker::Os(thread) => thread.wake(),
            Unparker::Task(task) => task.wake(),
        }
    }

    /// Does the work of `from_word` for what is no green thread.
    ///
    /// # Safety
    ///
    /// As `from_word`; bit 0 or bit 1 of the word is set.
    #[cold]
    unsafe fn outside_from_word(word: usize) -> Unparker {
        if word & OS != 0 {
            // SAFETY: U1.
            Unparker::Os(unsafe { Arc::from_raw((word & !TAGS) as *const OsThread) })
        } else {
            // SAFETY: U1.
            Unparker::Task(unsafe { Arc::from_raw((word & !TAGS) as *const Task) })
        }
    }
}

impl PackedWaiter for Unparker {
    #[inline]
    fn word(&self) -> usize {
        match self {
            Unparker::Green(green) => (&raw const **green).addr(),
            Unparker::Os(thread) => Arc::as_ptr(thread).addr() | OS,
            Unparker::Task(task) => Arc::as_ptr(task).addr() | TASK,
        }
    }

    #[inline]
    fn into_word(self) -> usize {
        match self {
            Unparker::Green(green) => green.into_raw().as_ptr() as usize,
            Unparker::Os(thread) => Arc::into_raw(thread) as usize | OS,
            Unparker::Task(task) => Arc::into_raw(task) as usize | TASK,
        }
    }

    #[inline]
    unsafe fn from_word(word: usize) -> Unparker {
        if word & TAGS == 0 {
            let green =
                NonNull::new(word as *mut ThreadInner).expect("a waiter's word is never zero");
            // SAFETY: U1.
            Unparker::Green(unsafe { ThreadRef::from_raw(green) })
        } else {
            // SAFETY: U1, by the contract.
            unsafe { Unparker::outside_from_word(word) }
        }
    }
}
