//! Time, as [`std::time`] has it, and the waits that go by it.
//!
//! Owns the [`Interval`], which belongs to whoever has it. Everything here works from any thread, green or not.

use std::iter::FusedIterator;

pub use std::time::{
    Duration, Instant, SystemTime, SystemTimeError, TryFromFloatSecsError, UNIX_EPOCH,
};

pub use crate::green::Elapsed;
pub use crate::thread::{deadline, sleep, sleep_until, timeout};

use crate::sys::clock;

/// A ticker: its first tick comes at once, then one at each `period`, without drift. Whoever is late gets the tick it is late for
/// at once, and has missed those after it: the next one is on the grid of the first. A period of zero ticks at each turn
/// of the thread; one too long for the clock ticks once.
///
/// ```
/// use rustlet::time::{Duration, Instant, interval};
///
/// rustlet::run(|| {
///     let start = Instant::now();
///     let mut ticks = interval(Duration::from_millis(2));
///     for _ in 0..3 {
///         ticks.tick();
///     }
///     assert!(start.elapsed() >= Duration::from_millis(4));
/// });
/// ```
#[must_use]
pub fn interval(period: Duration) -> Interval {
    Interval {
        period,
        next: Some(clock::instant()),
    }
}

/// Made by [`interval`]. As an iterator, it gives the moments for which its ticks were due, for ever.
#[derive(Clone, Debug)]
pub struct Interval {
    period: Duration,
    /// None: never.
    next: Option<Instant>,
}

impl Interval {
    /// Waits for the next tick, and gives the moment for which it was due. A cancellation is raised here; the tick is
    /// then not taken.
    #[track_caller]
    pub fn tick(&mut self) -> Instant {
        let Some(due) = self.next else {
            loop {
                sleep(Duration::MAX);
            }
        };
        sleep_until(due);
        self.next = after(due, self.period, clock::instant());
        due
    }

    /// From one tick to the next.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }
}

impl Iterator for Interval {
    type Item = Instant;

    #[track_caller]
    fn next(&mut self) -> Option<Instant> {
        Some(self.tick())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl FusedIterator for Interval {}

/// The first moment after `now` that is a whole number of periods from `due`; none if no clock shows it.
fn after(due: Instant, period: Duration, now: Instant) -> Option<Instant> {
    let late = now.saturating_duration_since(due).as_nanos();
    match period.as_nanos() {
        0 => Some(now),
        nanos => {
            let left = nanos - late % nanos;
            // At most a period, which is a Duration.
            let left = Duration::new(
                u64::try_from(left / 1_000_000_000).ok()?,
                (left % 1_000_000_000) as u32,
            );
            now.max(due).checked_add(left)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_that_of_the_first_tick() {
        let start = clock::instant();
        let ms = Duration::from_millis;
        let next = |late| after(start, ms(10), start + late).unwrap() - start;
        assert_eq!(next(ms(0)), ms(10));
        assert_eq!(next(ms(1)), ms(10));
        assert_eq!(next(Duration::from_nanos(9_999_999)), ms(10));
        assert_eq!(next(ms(10)), ms(20));
        assert_eq!(next(ms(34)), ms(40));
        assert_eq!(
            after(start, Duration::ZERO, start + ms(3)),
            Some(start + ms(3))
        );
        assert_eq!(after(start, Duration::MAX, start), None);
        // A clock that is behind: not sooner than a period from the last.
        assert_eq!(after(start + ms(5), ms(10), start), Some(start + ms(15)));
    }
}
