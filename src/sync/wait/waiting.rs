#![allow(unsafe_code, reason = "sleepers are borrowed")]
//! The threads that stand in a [`Line`](super::line::Line): green ones and OS threads. And their wait.
//!
//! W1. A sleeper's address stays good until its thread leaves the wait: a green thread's block has the scheduler's reference
//!     until it ends, an OS thread's is counted by the sleeper itself.
//! W2. A thread of this worker cannot run, hence not leave its wait, before the calling green thread waits.

use std::ptr;
use std::sync::Arc;

use super::line::{Sleeper, Ticket};
use crate::green::unparker::OsThread;
use crate::green::{Green, Home, Unparker, Wait, Wake, park};
use crate::sys::clock;

/// The thread that waits.
#[derive(Debug)]
pub(crate) enum Thread {
    Green(*const Green),
    Os(Arc<OsThread>),
}

impl Thread {
    #[inline(always)]
    pub(crate) fn current() -> Thread {
        match Home::get() {
            Some(home) => Thread::Green(home.current()),
            None => Thread::Os(OsThread::current()),
        }
    }
}

impl Sleeper for Thread {
    type Waker = Waker;

    #[inline(always)]
    unsafe fn waker(&self) -> Waker {
        match self {
            Thread::Green(green) => {
                // SAFETY: W1, by the contract.
                let green_ref = unsafe { &**green };
                match Home::of_thread() {
                    Some(home) if ptr::eq(green_ref.home(), home.mailbox) => Waker::Here(*green),
                    _ => Waker::Elsewhere(Unparker::Green(green_ref.to_ref())),
                }
            }
            Thread::Os(thread) => Waker::Elsewhere(Unparker::Os(Arc::clone(thread))),
        }
    }
}

/// Wakes a thread that was claimed.
#[derive(Debug)]
#[must_use]
pub(crate) enum Waker {
    /// One of this worker.
    Here(*const Green),
    Elsewhere(Unparker),
}

impl Waker {
    /// Wakes it.
    #[inline(always)]
    pub(crate) fn wake(self) {
        match self {
            // SAFETY: W2.
            Waker::Here(green) => unsafe { &*green }.wake(),
            Waker::Elsewhere(unparker) => unparker.unpark(),
        }
    }
}

/// Waits until the ticket is done ([`Wake::Event`]), the deadline has passed, or the thread is cancelled (as the wait says). After the
/// latter two the caller still has to find out, under the lock, whether it was claimed in the last moment.
#[inline(always)]
pub(crate) fn wait_for(ticket: &Ticket<Thread>, wait: &Wait) -> Wake {
    while !ticket.is_done() {
        match park(wait) {
            Wake::Event => {}
            // May be that of an earlier wait.
            Wake::Elapsed if clock::now() < wait.deadline => {}
            other => return other,
        }
    }
    Wake::Event
}
