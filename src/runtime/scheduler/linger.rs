//! Whether a worker with nothing to run stays awake for a moment, because another worker is about to give it something.
//!
//! Waking a sleeping core costs some 30 µs on a virtual machine, a hundred times what the message itself takes. So
//! a worker whose last sleeps were all short, and were ended by messages and not by sockets or timers, looks
//! at its inbox for as long before it sleeps. Where that does not pay (the sender has to run on the very core
//! that is kept busy looking) it is tried ever more rarely.
//!
//! The owner's alone.

use std::cell::Cell;

use crate::sys::clock::Tick;

/// How long a worker looks before it sleeps: about what it costs to be woken.
pub(super) const LINGER: Tick = 40_000;
/// A sleep that would have been worth staying awake for, its wake-up included.
const SHORT: Tick = 150_000;
/// So many short sleeps in a row are a pattern.
const PATTERN: u32 = 4;
/// After failures it takes up to so many.
const DOUBT: u32 = 4096;

#[derive(Debug)]
pub(super) struct Linger {
    /// Short sleeps in a row.
    short: Cell<u32>,
    /// How many of them it takes.
    needed: Cell<u32>,
}

impl Linger {
    pub(super) fn new() -> Linger {
        Linger {
            short: Cell::new(0),
            needed: Cell::new(PATTERN),
        }
    }

    pub(super) fn pays(&self) -> bool {
        self.short.get() >= self.needed.get()
    }

    /// A sleep took so long, and was ended by a message or by something else.
    pub(super) fn slept(&self, took: Tick, by_message: bool) {
        self.short.set(if by_message && took <= SHORT {
            self.short.get().saturating_add(1)
        } else {
            0
        });
    }

    /// It stayed awake, and something came, or nothing did.
    pub(super) fn stayed(&self, came: bool) {
        if came {
            self.needed.set((self.needed.get() / 2).max(PATTERN));
        } else {
            self.short.set(0);
            self.needed.set((self.needed.get() * 2).min(DOUBT));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_of_short_sleeps_makes_it_stay() {
        let linger = Linger::new();
        for _ in 0..PATTERN {
            assert!(!linger.pays());
            linger.slept(SHORT, true);
        }
        assert!(linger.pays());
        linger.stayed(true);
        assert!(linger.pays());
        linger.slept(SHORT, false);
        assert!(!linger.pays());
    }

    #[test]
    fn failures_make_it_rare() {
        let linger = Linger::new();
        let mut sleeps = 0;
        for _ in 0..100 {
            while !linger.pays() {
                linger.slept(0, true);
                sleeps += 1;
            }
            linger.stayed(false);
        }
        assert!(sleeps > 80 * DOUBT);
    }
}
