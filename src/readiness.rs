//! Whether a descriptor is ready, as something to receive: for `select!`.
//!
//! - **RE1** The question is answered by `poll(2)`, about the present. A registration only wakes whoever asked, who asks again.
//! - **RE2** A green thread is registered with its worker's reactor, as if it read or wrote; an ordinary OS thread, or a green one
//!   that the reactor refuses, sends the attendant. The lowest bit of the key says which: words of green threads have it clear.
//!
//! Any thread may ask at any time; nothing here suspends.

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

/// A receiver that gives `Ok(())` whenever `source` is ready that way.
pub(crate) fn receiver(source: Arc<Source>, way: Way) -> Receiver<()> {
    channel::source(Arc::new(Readiness { source, way }))
}

/// There is no registration: the waiter has been woken already.
const NONE: Key = 0;

impl Ask for Readiness {
    /// An error counts: whoever makes the operation is told of it.
    fn is_ready(&self) -> bool {
        retry::is_ready(self.source.fd(), self.way).unwrap_or(true)
    }

    fn arm(&self, waiter: Unparker) -> Key {
        if let Some(home) = Home::get()
            && let Ok(key) = self.enlist(home)
        {
            return key.map_or_else(
                || {
                    // Others may take what is there before the waiter asks once more; then it must not sleep on this answer.
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
                // Nothing is left to wait with. Better a busy thread than one that sleeps for ever; and none of its errands stays behind.
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
    /// RE2, with the reactor of `home`. As an operation does: take the readiness, try, wait for the next. None: it is ready.
    fn enlist(&self, home: &Home) -> std::io::Result<Option<usize>> {
        let direction = self.source.direction(self.way);
        loop {
            direction.take();
            if self.is_ready() {
                // Others may go by it.
                direction.set_ready();
                return Ok(None);
            }
            if let Some(turn) = self.source.enlist(home, self.way)? {
                return Ok(Some(turn.keep()));
            }
        }
    }
}
