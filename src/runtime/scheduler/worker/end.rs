//! The end of a worker.

use std::ptr;
use std::sync::atomic::{Ordering, fence};

use super::super::shared::Phase;
use super::WorkerLoop;
use crate::green::block::slab;
use crate::sys::exit;

impl WorkerLoop {
    /// Keeps this OS thread forever if threads live here when the runtime is abandoned: they may
    /// have lent their data to other threads.
    #[cold]
    pub(super) fn stay_if_alive(&self) {
        if self.alive() > 0 {
            self.reactor.borrow().close();
            exit::stay_for_ever();
        }
    }

    pub(crate) fn alive(&self) -> usize {
        self.worker_shared().live()
    }

    /// Cancels the threads that live here, once, when the runtime closes. Returns true if this
    /// worker may exit.
    pub(crate) fn close(&self) -> bool {
        // Where panics abort, no thread can be unwound, so started threads go on.
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
        // Pairs with the fence in `Shared::push_to`: either `push_to` sees the phase, or this
        // worker sees the pushed thread.
        fence(Ordering::SeqCst);
        self.alive() == 0 && self.cx.ready() == 0
    }
}
