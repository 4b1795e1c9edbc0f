//! The times of records. They are cycles of the processor's counter where that is as good as the
//! clock, because reading the clock costs more than the rest of a record.

use crate::sys::clock::{self, Tick};
use crate::sys::cpu;

/// The time of a record: a number of cycles, or a [`Tick`], as [`StampSource`] decides.
pub(crate) type Stamp = u64;

/// The clock of a session's stamps: the processor's counter or the system's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StampSource {
    uses_cycles: bool,
}

impl StampSource {
    pub(super) fn new() -> StampSource {
        StampSource {
            uses_cycles: cpu::has_steady_cycles(),
        }
    }

    #[inline(always)]
    pub(super) fn now(self) -> Stamp {
        if self.uses_cycles {
            cpu::cycles()
        } else {
            clock::real_now()
        }
    }

    /// Reads both clocks at nearly the same moment.
    pub(super) fn pair(self) -> Pair {
        let read = |()| {
            let before = self.now();
            let tick = clock::real_now();
            let span = self.now().saturating_sub(before);
            (span, before + span / 2, tick)
        };
        // The shortest of a few readings: the OS may interrupt one of them.
        let readings = [(); 5].map(read);
        let (_, stamp, tick) = readings.into_iter().min().unwrap_or_default();
        Pair { stamp, tick }
    }
}

/// One moment, measured with both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(super) stamp: Stamp,
    pub(super) tick: Tick,
}

/// Converts stamps to nanoseconds, by interpolation between two moments that were measured with
/// both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(super) first: Pair,
    pub(super) last: Pair,
}

impl Scale {
    /// Returns the time of `stamp`. It never decreases where `stamp` increases.
    pub(crate) fn tick(&self, stamp: Stamp) -> Tick {
        let from = stamp.saturating_sub(self.first.stamp);
        let stamps = self.last.stamp.saturating_sub(self.first.stamp).max(1);
        let ticks = self.last.tick.saturating_sub(self.first.tick);
        let span = u128::from(from) * u128::from(ticks) / u128::from(stamps);
        self.first
            .tick
            .saturating_add(u64::try_from(span).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_converted_in_proportion_and_order() {
        let scale = Scale {
            first: Pair {
                stamp: 1_000,
                tick: 50,
            },
            last: Pair {
                stamp: 4_000,
                tick: 1_050,
            },
        };
        assert_eq!(scale.tick(1_000), 50);
        assert_eq!(scale.tick(4_000), 1_050);
        assert_eq!(scale.tick(2_500), 550);
        assert_eq!(scale.tick(7_000), 2_050);
        assert_eq!(scale.tick(10), 50);
        let ticks: Vec<_> = (0..9_000).map(|stamp| scale.tick(stamp)).collect();
        assert!(ticks.is_sorted());
    }

    /// Returns a pair, and the time that both readings of it took at most.
    fn bracketed_pair(source: StampSource) -> (Pair, Tick) {
        let (tick, stamp) = (clock::now(), source.now());
        let pair = source.pair();
        let (last_stamp, last_tick) = (source.now(), clock::now());
        assert!((stamp..=last_stamp).contains(&pair.stamp));
        assert!((tick..=last_tick).contains(&pair.tick));
        (pair, last_tick - tick)
    }

    /// Each reading of one clock is between two readings of the other, so it does not matter when
    /// the system interrupts the test.
    #[test]
    fn both_clocks_agree() {
        let source = StampSource::new();
        let (first, first_error) = bracketed_pair(source);
        let wait = |until| while clock::now() < until {};
        wait(first.tick + 1_000_000);
        let (before, stamp, after) = (clock::now(), source.now(), clock::now());
        wait(after + 1_000_000);
        let (last, last_error) = bracketed_pair(source);
        let scale = Scale { first, last };
        // The system may run its clock up to 500 ppm faster or slower, from any moment on.
        let adjusted = (last.tick - first.tick) / 1_000;
        let error = first_error + last_error + adjusted;
        assert!((before - error..=after + error).contains(&scale.tick(stamp)));
    }
}
