#![allow(unsafe_code, reason = "borrows waiting threads")]
//! The threads that wait in a [`WaitQueue`](super::wait_queue::WaitQueue): green threads and OS
//! threads, and their wait; and tasks of futures.
//!
//! W1. A sleeper's address stays valid until its thread leaves the wait: the scheduler keeps a
//!     reference to a green thread's block until it ends; the sleeper itself holds one to an OS
//!     thread.
//! W2. A thread of this worker cannot run, hence cannot leave its wait, before the calling green
//!     thread waits.

use std::ptr;
use std::sync::Arc;

use super::wait_queue::{Sleeper, Waiter};
use crate::green::task::Task;
use crate::green::unparker::OsThread;
use crate::green::{ThreadInner, Unparker, Wait, Wake, WorkerContext, park};
use crate::sys::clock;

/// The waiting thread.
#[derive(Debug)]
pub(crate) enum WaitingThread {
    Green(*const ThreadInner),
    Os(Arc<OsThread>),
    /// The task of a future, which waits without a thread.
    Task(Arc<Task>),
}

impl WaitingThread {
    #[inline(always)]
    pub(crate) fn current() -> WaitingThread {
        match WorkerContext::get() {
            Some(cx) => WaitingThread::Green(cx.current()),
            None => WaitingThread::Os(OsThread::current()),
        }
    }
}

impl Sleeper for WaitingThread {
    type Waker = Waker;

    #[inline(always)]
    unsafe fn waker(&self) -> Waker {
        match self {
            WaitingThread::Green(green) => {
                // SAFETY: W1, by the contract.
                let green_ref = unsafe { &**green };
                match WorkerContext::of_thread() {
                    Some(cx) if ptr::eq(green_ref.remote(), cx.remote) => Waker::Here(*green),
                    _ => Waker::Elsewhere(Unparker::Green(green_ref.to_ref())),
                }
            }
            WaitingThread::Os(thread) => Waker::Elsewhere(Unparker::Os(Arc::clone(thread))),
            WaitingThread::Task(task) => Waker::Elsewhere(Unparker::Task(Arc::clone(task))),
        }
    }
}

/// The handle that wakes a claimed thread.
#[derive(Debug)]
#[must_use]
pub(crate) enum Waker {
    /// A thread of this worker.
    Here(*const ThreadInner),
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

/// Waits until the waiter is done ([`Wake::Event`]), the deadline has passed, or the thread is
/// cancelled (as the wait says). After the latter two the caller must still find out, under the
/// lock, whether it was claimed at the last moment.
#[inline(always)]
pub(crate) fn wait_for(waiter: &Waiter<WaitingThread>, wait: &Wait) -> Wake {
    while !waiter.is_done() {
        match park(wait) {
            Wake::Event => {}
            // It may be that of an earlier wait.
            Wake::Elapsed if clock::now() < wait.deadline => {}
            other => return other,
        }
    }
    Wake::Event
}
