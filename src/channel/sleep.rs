//! How a thread waits at a channel: what the core of the channels needs to know of threads, so that it can be
//! model-checked on threads that are not ours.

use std::fmt::Debug;

use crate::sync::line::{Sleeper, Ticket};

/// Why a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The ticket is done.
    Done,
    /// The time is up.
    Elapsed,
    /// The thread is to be unwound.
    Cancelled,
}

/// A thread that can wait and be woken.
pub(crate) trait Waits: Sleeper<Waker: Debug> + Debug + 'static {
    /// For what, where, until when.
    type Wait;

    /// The calling thread.
    fn current() -> Self;

    /// Waits until the ticket, which is the calling thread's, is done, or the wait says that it is enough. In the latter case
    /// the ticket may have been claimed meanwhile. Does not unwind.
    fn wait(ticket: &Ticket<Self>, wait: &Self::Wait) -> End
    where
        Self: Sized;

    /// Waits until the ticket is done, which is soon.
    fn wait_out(ticket: &Ticket<Self>)
    where
        Self: Sized;

    /// Unwinds the calling thread, if it is cancelled: after [`End::Cancelled`], when all is settled.
    fn unwind(wait: &Self::Wait);

    /// Wakes a thread that was claimed. Under no lock.
    fn wake(waker: Self::Waker);
}

#[cfg(not(loom))]
mod threads {
    use super::{End, Waits};
    use crate::green::park::raise_if_cancelled;
    use crate::green::{OnCancel, Reason, Wait, Wake, park};
    use crate::sync::line::Ticket;
    use crate::sync::waiting::{Thread, Waker, wait_for};

    impl Waits for Thread {
        /// With [`OnCancel::Defer`].
        type Wait = Wait;

        #[inline(always)]
        fn current() -> Thread {
            Thread::current()
        }

        #[inline(always)]
        fn wait(ticket: &Ticket<Thread>, wait: &Wait) -> End {
            debug_assert_eq!(wait.on_cancel, OnCancel::Defer);
            match wait_for(ticket, wait) {
                Wake::Event => End::Done,
                Wake::Elapsed => End::Elapsed,
                Wake::Cancelled => End::Cancelled,
            }
        }

        #[cold]
        #[track_caller]
        fn wait_out(ticket: &Ticket<Thread>) {
            let wait = Wait::new(Reason::Select).on_cancel(OnCancel::Shield);
            while !ticket.is_done() {
                let _woken = park(&wait);
            }
        }

        #[cold]
        fn unwind(wait: &Wait) {
            raise_if_cancelled(wait);
        }

        #[inline(always)]
        fn wake(waker: Waker) {
            waker.wake();
        }
    }
}
