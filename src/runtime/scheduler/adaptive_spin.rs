//! Decides whether a worker with nothing to run spins for a moment before it sleeps, because
//! another worker is about to send it a message.
//!
//! Waking a sleeping core costs some 30 µs on a virtual machine, a hundred times what the message
//! itself takes. So a worker whose last sleeps were all short, and were ended by messages and not
//! by sockets or timers, watches its remote queue for about that long before it sleeps. Where
//! spinning does not pay (the sender has to run on the very core that is kept busy), it is tried
//! ever more rarely.
//!
//! Only the owning worker uses this.

use std::cell::Cell;

use crate::sys::clock::Tick;

/// How long a worker spins before it sleeps: about what it costs to be woken.
pub(super) const SPIN_BEFORE_PARK_NS: Tick = 40_000;
/// The longest sleep, its wake-up included, that is short: to spin instead would have paid.
const SHORT_SLEEP_NS: Tick = 150_000;
/// How many short sleeps in a row make spinning likely to pay.
const SHORT_STREAK: u32 = 4;
/// The most short sleeps in a row that are required after failed spins.
const MAX_REQUIRED_STREAK: u32 = 4096;

#[derive(Debug)]
pub(super) struct AdaptiveSpin {
    /// Short sleeps in a row.
    short: Cell<u32>,
    /// How many short sleeps in a row are required before the worker spins.
    needed: Cell<u32>,
}

impl AdaptiveSpin {
    pub(super) fn new() -> AdaptiveSpin {
        AdaptiveSpin {
            short: Cell::new(0),
            needed: Cell::new(SHORT_STREAK),
        }
    }

    pub(super) fn should_spin(&self) -> bool {
        self.short.get() >= self.needed.get()
    }

    /// Records a sleep that lasted `took`. `by_message`: a message ended it.
    pub(super) fn record_sleep(&self, took: Tick, by_message: bool) {
        self.short.set(if by_message && took <= SHORT_SLEEP_NS {
            self.short.get().saturating_add(1)
        } else {
            0
        });
    }

    /// Records a spin. `came`: work arrived during it.
    pub(super) fn record_spin(&self, came: bool) {
        if came {
            self.needed.set((self.needed.get() / 2).max(SHORT_STREAK));
        } else {
            self.short.set(0);
            self.needed
                .set((self.needed.get() * 2).min(MAX_REQUIRED_STREAK));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_sleeps_enable_spinning() {
        let spin = AdaptiveSpin::new();
        for _ in 0..SHORT_STREAK {
            assert!(!spin.should_spin());
            spin.record_sleep(SHORT_SLEEP_NS, true);
        }
        assert!(spin.should_spin());
        spin.record_spin(true);
        assert!(spin.should_spin());
        spin.record_sleep(SHORT_SLEEP_NS, false);
        assert!(!spin.should_spin());
    }

    #[test]
    fn failed_spins_back_off() {
        let spin = AdaptiveSpin::new();
        let mut sleeps = 0;
        for _ in 0..100 {
            while !spin.should_spin() {
                spin.record_sleep(0, true);
                sleeps += 1;
            }
            spin.record_spin(false);
        }
        assert!(sleeps > 80 * MAX_REQUIRED_STREAK);
    }
}
