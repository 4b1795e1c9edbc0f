#![allow(unsafe_code, reason = "reads the control block of a waiting thread")]
//! How a thread waits at a channel: what the core of the channels needs of threads, beyond the
//! common part of all waits, so that it can be model-checked with other threads than ours.

use std::fmt::Debug;

use crate::sync::wait::wait_in_queue::Sleep;
use crate::sync::wait::wait_queue::Waiter;

/// A thread that can wait at a channel.
pub(crate) trait ChannelThread: Sleep<Waker: Debug> + Debug + 'static {
    /// Waits until the waiter is done, unconditionally: it has been claimed.
    fn wait_until_done(waiter: &Waiter<Self>);

    /// Returns whether the thread can run while the calling thread waits for it. A thread of a
    /// hand-stepped worker cannot, while the thread that steps the worker waits.
    ///
    /// # Safety
    ///
    /// The thread has not left its wait.
    unsafe fn can_run(&self) -> bool;

    /// Unwinds the calling thread, if it is cancelled: after it has given up and the state is
    /// consistent.
    fn unwind();
}

#[cfg(not(loom))]
mod threads {
    use super::ChannelThread;
    use crate::green::park::unwind_if_cancelled;
    use crate::green::{OnCancel, Reason, Wait, WorkerContext, park};
    use crate::sync::wait::wait_queue::Waiter;
    use crate::sync::wait::waiting_thread::WaitingThread;

    /// Its waits must have [`OnCancel::Defer`].
    impl ChannelThread for WaitingThread {
        #[cold]
        #[track_caller]
        fn wait_until_done(waiter: &Waiter<WaitingThread>) {
            let wait = Wait::new(Reason::Select).on_cancel(OnCancel::Shield);
            while !waiter.is_done() {
                let _woken = park(&wait);
            }
        }

        #[cold]
        unsafe fn can_run(&self) -> bool {
            let &WaitingThread::Green(green) = self else {
                return true;
            };
            if WorkerContext::get().is_some() {
                return true;
            }
            // SAFETY: W1 in `sync/wait/waiting_thread.rs`, by the contract.
            !unsafe { &*green }.is_stepped_here()
        }

        #[cold]
        fn unwind() {
            unwind_if_cancelled();
        }
    }
}
