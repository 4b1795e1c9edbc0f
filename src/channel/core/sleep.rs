#![allow(unsafe_code, reason = "asks a thread that waits")]
//! How a thread waits at a channel: what the core of the channels needs of threads, beyond the
//! common part of all waits, so that it can be model-checked with other threads than ours.

use std::fmt::Debug;

use crate::sync::wait::line::Ticket;
use crate::sync::wait::stand::Sleep;

/// A thread that can wait at a channel.
pub(crate) trait Waits: Sleep<Waker: Debug> + Debug + 'static {
    /// Waits until the ticket is done, unconditionally: it has been claimed.
    fn wait_out(ticket: &Ticket<Self>);

    /// Returns whether the thread can run while the calling thread waits for it. A thread of a
    /// hand-stepped worker cannot, while the thread that steps the worker waits.
    ///
    /// # Safety
    ///
    /// The thread has not left its wait.
    unsafe fn can_come(&self) -> bool;

    /// Unwinds the calling thread, if it is cancelled: after it has given up and the state is
    /// consistent.
    fn unwind();
}

#[cfg(not(loom))]
mod threads {
    use super::Waits;
    use crate::green::park::raise_if_cancelled;
    use crate::green::{Home, OnCancel, Reason, Wait, park};
    use crate::sync::wait::line::Ticket;
    use crate::sync::wait::waiting::Thread;

    /// Its waits must have [`OnCancel::Defer`].
    impl Waits for Thread {
        #[cold]
        #[track_caller]
        fn wait_out(ticket: &Ticket<Thread>) {
            let wait = Wait::new(Reason::Select).on_cancel(OnCancel::Shield);
            while !ticket.is_done() {
                let _woken = park(&wait);
            }
        }

        #[cold]
        unsafe fn can_come(&self) -> bool {
            let &Thread::Green(green) = self else {
                return true;
            };
            if Home::get().is_some() {
                return true;
            }
            // SAFETY: W1 in `sync/wait/waiting.rs`, by the contract.
            !unsafe { &*green }.is_stepped_here()
        }

        #[cold]
        fn unwind() {
            raise_if_cancelled();
        }
    }
}
