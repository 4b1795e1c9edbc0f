#![allow(unsafe_code, reason = "two kinds of waiter in one word")]
//! A waiter, which is a green thread or an ordinary OS thread, behind one handle of one word.
//!
//! U1. A word with bit 0 clear is a [`ThreadRef`], with bit 0 set an `Arc<OsThread>`; each carries
//!     one reference. Blocks are aligned to 64 and the `Arc`'s content to 8, so bit 0 is free.

use std::ptr::NonNull;
use std::sync::Arc;

use super::completion::PackedWaiter;
use super::{ThreadInner, ThreadRef, WorkerContext};

pub(crate) use super::os_thread::OsThread;

/// Wakes one waiter.
#[derive(Clone, Debug)]
pub(crate) enum Unparker {
    Green(ThreadRef),
    Os(Arc<OsThread>),
}

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
    #[inline]
    pub(crate) fn unpark(&self) {
        match self {
            Unparker::Green(green) => green.wake(),
            Unparker::Os(thread) => thread.wake(),
        }
    }
}

impl PackedWaiter for Unparker {
    #[inline]
    fn word(&self) -> usize {
        match self {
            Unparker::Green(green) => (&raw const **green).addr(),
            Unparker::Os(thread) => Arc::as_ptr(thread).addr() | 1,
        }
    }

    #[inline]
    fn into_word(self) -> usize {
        match self {
            Unparker::Green(green) => green.into_raw().as_ptr() as usize,
            Unparker::Os(thread) => Arc::into_raw(thread) as usize | 1,
        }
    }

    #[inline]
    unsafe fn from_word(word: usize) -> Unparker {
        if word & 1 == 0 {
            let green =
                NonNull::new(word as *mut ThreadInner).expect("a waiter's word is never zero");
            // SAFETY: U1.
            Unparker::Green(unsafe { ThreadRef::from_raw(green) })
        } else {
            // SAFETY: U1.
            Unparker::Os(unsafe { Arc::from_raw((word & !1) as *const OsThread) })
        }
    }
}
