//! How a worker ends.

use std::ptr;
use std::sync::atomic::{Ordering, fence};

use super::super::shared::Phase;
use super::Worker;
use crate::green::block::blocks;
use crate::sys::exit;

impl Worker {
    /// The runtime is abandoned. Threads that live here may have lent what is theirs to others, so
    /// this OS thread stays.
    #[cold]
    pub(super) fn stay_if_lived_on(&self) {
        if self.lives() > 0 {
            self.reactor.borrow().close();
            exit::stay_for_ever();
        }
    }

    pub(crate) fn lives(&self) -> usize {
        self.peer().live()
    }

    /// The runtime closes: cancels what lives here, once. True: this worker may go.
    pub(crate) fn close(&self) -> bool {
        // Where nothing can be unwound, what has started goes on.
        if !self.cancelled.replace(true) && cfg!(panic = "unwind") {
            for green in blocks::all() {
                if ptr::eq(green.home(), self.home.mailbox) {
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
        self.lives() == 0 && self.home.ready() == 0
    }
}
