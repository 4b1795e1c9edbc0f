//! Green threads that wait until their worker has nothing else to run: `wait_idle`.
//!
//! I1. All of it belongs to one worker: its own threads line up, it tells them. Nothing here is shared.
//! I2. Whoever lines up leaves by itself, on every way out; being told does not take anybody out of the line.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::Location;

use crate::green::{Green, GreenRef, Reason, Wait, park};

/// Those of one worker, the first to come first.
pub(super) struct Lull {
    line: RefCell<VecDeque<Place>>,
}

struct Place {
    green: GreenRef,
    told: bool,
}

impl Lull {
    pub(super) fn new() -> Lull {
        Lull {
            line: RefCell::new(VecDeque::new()),
        }
    }

    pub(super) fn is_awaited(&self) -> bool {
        !self.line.borrow().is_empty()
    }

    /// The worker has nothing to run: it is the turn of the first. One at a time, because then there is something to run.
    pub(super) fn tell(&self) {
        if let Some(place) = self.line.borrow_mut().front_mut() {
            place.told = true;
            place.green.wake();
        }
    }

    /// Suspends `green`, on which the caller runs, until it is told.
    pub(super) fn wait(&self, green: &Green, at: &'static Location<'static>) {
        /// I2.
        struct Leave<'a>(&'a Lull, &'a Green);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.leave(self.1);
            }
        }
        self.line.borrow_mut().push_back(Place {
            green: green.to_ref(),
            told: false,
        });
        let _leave = Leave(self, green);
        let wait = Wait::at(Reason::Idle, at);
        while !self.is_told(green) {
            park(&wait);
        }
    }

    fn is_told(&self, green: &Green) -> bool {
        let line = self.line.borrow();
        line.iter()
            .any(|place| place.told && std::ptr::eq(&raw const *place.green, green))
    }

    fn leave(&self, green: &Green) {
        let mut line = self.line.borrow_mut();
        line.retain(|place| !std::ptr::eq(&raw const *place.green, green));
    }
}
