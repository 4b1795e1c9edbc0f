//! How a worker ends.

use std::ptr;
use std::sync::atomic::{Ordering, fence};

use super::super::shared::Phase;
use super::WorkerLoop;
use crate::green::block::slab;
use crate::sys::exit;

impl WorkerLoop {
    /// The runtime is abandoned. Threads that live here may have lent what is theirs to others, so
    /// this OS thread stays.
    #[cold]
    pub(super) fn stay_if_alive(&self) {
        if self.alive() > 0 {
            self.reactor.borrow().close();
            exit::stay_for_ever();
        }
    }

    pub(crate) fn alive(&self) -> usize {
        self.peer().live()
    }

    /// The runtime closes: cancels what lives here, once. True: this worker may go.
    pub(crate) fn close(&self) -> bool {
        // Where nothing can be unwound, what has started goes on.
        if !self.cancelled.replace(true) && cfg!(panic = "unwind") {
            for green in slab::all() {
                if ptr::eq(green.remote(), self.cx.remote) {
                    green.cancel();
                }
            }
        }
        if self.shared.phase() != Phase::Ended {
            return false;
        }
        // Pairs with the fence in `Shared::push_to`: it sees the phase, or we see what it has
        // pushed.
        fence(Ordering::SeqCst);
        self.alive() == 0 && self.cx.ready() == 0
    }
}
