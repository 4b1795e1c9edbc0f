//! The readiness of a descriptor as a channel receiver, for `select!`.
//!
//! - **RE1** `poll(2)` answers for the present. A registration only wakes the waiter, which checks
//!   again.
//! - **RE2** A green thread is registered with its worker's reactor, as if it read or wrote; an OS
//!   thread, or a green thread that the reactor refuses, uses the poll thread (`attendant.rs`). The
//!   lowest bit of the key tells which: it is clear in words of green threads.
//!
//! Any thread may use it at any time; nothing here suspends.

use std::sync::Arc;

use crate::attendant::{self, Ticket};
use crate::channel::{self, Ask, Key, Receiver};
use crate::green::{Home, Unparker};
use crate::retry;
use crate::runtime::io::source::{Source, Way};

struct Readiness {
    source: Arc<Source>,
    way: Way,
}

/// Creates a receiver that yields `Ok(())` whenever `source` is ready that way.
pub(crate) fn receiver(source: Arc<Source>, way: Way) -> Receiver<()> {
    channel::source(Arc::new(Readiness { source, way }))
}

/// There is no registration: the waiter has been woken already.
const NONE: Key = 0;

impl Ask for Readiness {
    /// An error counts as ready: the operation returns it.
    fn is_ready(&self) -> bool {
        retry::is_ready(self.source.fd(), self.way).unwrap_or(true)
    }

    fn arm(&self, waiter: Unparker) -> Key {
        if let Some(home) = Home::get()
            && let Ok(key) = self.enlist(home)
        {
            return key.map_or_else(
                || {
                    // Other threads may consume the readiness before the waiter checks again; then
                    // it must not sleep on this answer.
                    waiter.unpark();
                    NONE
                },
                |word| word as Key,
            );
        }
        let woken = waiter.clone();
        match attendant::send(Arc::clone(&self.source), self.way, move || woken.unpark()) {
            Ok(Ticket(number)) => (number as Key) << 1 | 1,
            Err(unattended) => {
                // No means of waiting is left. A busy thread is better than one that sleeps
                // forever; and its request must not stay.
                attendant::call_back(unattended);
                waiter.unpark();
                NONE
            }
        }
    }

    fn disarm(&self, key: Key) {
        match key {
            NONE => {}
            key if key & 1 == 1 => {
                let _run = attendant::call_back(Ticket((key >> 1) as usize));
            }
            word => self.source.dismiss(self.way, word as usize),
        }
    }
}

impl Readiness {
    /// Registers with the reactor of `home` (RE2). Like an operation: take the readiness, try, wait
    /// for the next event. Returns `None` if it is ready.
    fn enlist(&self, home: &Home) -> std::io::Result<Option<usize>> {
        let direction = self.source.direction(self.way);
        loop {
            direction.take();
            if self.is_ready() {
                // Other waiters may use it.
                direction.set_ready();
                return Ok(None);
            }
            if let Some(turn) = self.source.enlist(home, self.way)? {
                return Ok(Some(turn.keep()));
            }
        }
    }
}
