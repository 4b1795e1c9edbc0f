//! How busy a worker has been of late: the part of about the last second in which it did not sleep.
//!
//! L1. Its worker alone writes it, when it falls asleep and when it is awake again; any thread
//!     reads it.
//! L2. `changed` is written after `share`, and read before it. So whoever sees the state since a
//!     moment sees the share up to that moment, or a later one; mixing two of them errs for one
//!     reading, and by one spell.
//!
//! What has happened since the last change is known without it having been written: it slept, or it
//! was busy. So a worker that one thread keeps computing looks busier all the time, though it gets
//! to no bookkeeping.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::clock::Tick;

/// A spell as long as this counts as much as all that was before.
const LOAD_WINDOW: f64 = 1e9;
/// A difference below this part of a core is none: that much comes of accepting many connections at
/// once, and passes.
const MIN_DIFFERENCE: f64 = 0.25;
/// What a worker without any room has left all the same.
const MIN_SPARE: f64 = 0.02;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Load {
    /// The part of the past that it was awake, up to the last change; the bits of an `f64`.
    share: AtomicU64,
    /// When it fell asleep or awoke last, doubled; odd: it sleeps since then.
    changed: AtomicU64,
}

impl Load {
    /// Of a worker that has done nothing yet.
    pub(crate) fn new(now: Tick) -> Load {
        Load {
            share: AtomicU64::new(0f64.to_bits()),
            changed: AtomicU64::new(now << 1 | 1),
        }
    }

    /// Its worker (L1): it goes to sleep now.
    #[inline]
    pub(crate) fn falls_asleep(&self, now: Tick) {
        self.change(now, 1);
    }

    /// Its worker (L1): it is awake again.
    #[inline]
    pub(crate) fn awakes(&self, now: Tick) {
        self.change(now, 0);
    }

    /// Whether it sleeps, or has been woken and is not awake yet.
    #[inline]
    pub(crate) fn sleeps(&self) -> bool {
        self.changed.load(Ordering::Relaxed) & 1 == 1
    }

    #[inline]
    fn change(&self, now: Tick, asleep: u64) {
        let share = self.share(now);
        self.share.store(share.to_bits(), Ordering::Release);
        self.changed.store(now << 1 | asleep, Ordering::Release);
    }

    /// From 0, always asleep, to 1, never.
    #[inline]
    fn share(&self, now: Tick) -> f64 {
        // L2.
        let changed = self.changed.load(Ordering::Acquire);
        let share = f64::from_bits(self.share.load(Ordering::Acquire));
        let since = now.saturating_sub(changed >> 1) as f64;
        let is_busy = (changed & 1 ^ 1) as f64;
        share + (is_busy - share) * (since / (since + LOAD_WINDOW))
    }

    /// What is left of its core, if one of the two has clearly more left than the other.
    pub(crate) fn rooms(&self, other: &Load, now: Tick) -> Option<(f64, f64)> {
        let (mine, others) = (self.share(now), other.share(now));
        let room = |share: f64| (1.0 - share).max(MIN_SPARE);
        ((mine - others).abs() > MIN_DIFFERENCE).then(|| (room(mine), room(others)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Tick = 1_000_000;

    /// It works and sleeps by turns until `end`.
    fn go_on(load: &Load, from: Tick, end: Tick, works: Tick, sleeps: Tick) {
        let mut now = from;
        while now < end {
            load.awakes(now);
            load.falls_asleep(now + works);
            now += works + sleeps;
        }
    }

    #[test]
    fn it_comes_to_the_part_that_is_worked() {
        let load = Load::new(0);
        go_on(&load, 0, 10_000 * MS, MS, 3 * MS);
        assert!((load.share(10_000 * MS) - 0.25).abs() < 0.01);
    }

    #[test]
    fn a_burst_is_no_difference_and_a_second_of_work_is() {
        let (working, sleeping) = (Load::new(0), Load::new(0));
        working.awakes(0);
        assert_eq!(working.rooms(&sleeping, 100 * MS), None);
        let (left, whole) = working.rooms(&sleeping, 1_000 * MS).unwrap();
        assert!((left - 0.5).abs() < 0.01 && whole == 1.0, "{left} {whole}");
    }

    #[test]
    fn a_long_sleep_is_forgotten_work() {
        let (one, other) = (Load::new(0), Load::new(0));
        one.awakes(0);
        one.falls_asleep(10_000 * MS);
        assert!(one.rooms(&other, 10_000 * MS).is_some());
        assert_eq!(one.rooms(&other, 60_000 * MS), None);
    }
}
