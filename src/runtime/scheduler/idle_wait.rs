//! Green threads that wait until their worker has nothing else to run: `wait_idle`.
//!
//! I1. All of it belongs to one worker: its own green threads enqueue themselves, and it notifies
//!     them. Nothing here is shared.
//! I2. A waiter removes itself from the queue on every way out; a notification does not remove it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::Location;

use crate::green::{Reason, ThreadInner, ThreadRef, Wait, park};

/// FIFO queue of the idle waiters of one worker.
pub(super) struct IdleWaiters {
    waiters: RefCell<VecDeque<IdleWaiter>>,
}

struct IdleWaiter {
    green: ThreadRef,
    notified: bool,
}

impl IdleWaiters {
    pub(super) fn new() -> IdleWaiters {
        IdleWaiters {
            waiters: RefCell::new(VecDeque::new()),
        }
    }

    pub(super) fn has_waiters(&self) -> bool {
        !self.waiters.borrow().is_empty()
    }

    /// Notifies the first waiter; called when the worker has nothing to run. Only one at a time,
    /// because the worker then has something to run again.
    pub(super) fn notify(&self) {
        if let Some(waiter) = self.waiters.borrow_mut().front_mut() {
            waiter.notified = true;
            waiter.green.wake();
        }
    }

    /// Suspends `green`, on which the caller runs, until it is notified.
    pub(super) fn wait(&self, green: &ThreadInner, at: &'static Location<'static>) {
        /// Removes the waiter from the queue on every way out (I2).
        struct Leave<'a>(&'a IdleWaiters, &'a ThreadInner);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.leave(self.1);
            }
        }
        self.waiters.borrow_mut().push_back(IdleWaiter {
            green: green.to_ref(),
            notified: false,
        });
        let _leave = Leave(self, green);
        let wait = Wait::at(Reason::Idle, at);
        while !self.is_notified(green) {
            park(&wait);
        }
    }

    fn is_notified(&self, green: &ThreadInner) -> bool {
        let waiters = self.waiters.borrow();
        waiters
            .iter()
            .any(|waiter| waiter.notified && std::ptr::eq(&raw const *waiter.green, green))
    }

    fn leave(&self, green: &ThreadInner) {
        let mut waiters = self.waiters.borrow_mut();
        waiters.retain(|waiter| !std::ptr::eq(&raw const *waiter.green, green));
    }
}
