//! Time, as in [`std::time`], and waits for it.
//!
//! Everything here works from any thread, green or not.
//!
//! # Examples
//!
//! ```
//! use rustlet::time::{Duration, Elapsed, timeout};
//!
//! rustlet::run(|| {
//!     assert_eq!(timeout(Duration::from_millis(1), rustlet::park), Err(Elapsed));
//! });
//! ```

use std::iter::FusedIterator;

pub use std::time::{
    Duration, Instant, SystemTime, SystemTimeError, TryFromFloatSecsError, UNIX_EPOCH,
};

pub use crate::green::Elapsed;
pub use crate::thread::{deadline, sleep, sleep_until, timeout};

use crate::channel::{self, Receiver};
use crate::sys::clock;

/// Returns a ticker whose first tick comes at once, then one each `period`, without drift.
///
/// A late call gets the tick that it is late for at once; the ticks after it are skipped, and later
/// ticks stay aligned to the original schedule. With a period of zero, each tick yields to other
/// threads. A period that is too long for the clock ticks once.
///
/// # Examples
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
#[doc(alias = "NewTicker")]
#[doc(alias = "Ticker")]
#[must_use]
pub fn interval(period: Duration) -> Interval {
    Interval {
        period,
        next: Some(clock::instant()),
    }
}

/// Ticker returned by [`interval`]. As an iterator, it returns the moments at which its ticks were
/// due, forever.
///
/// # Examples
///
/// ```
/// use rustlet::time::{Duration, interval};
///
/// let due: Vec<_> = interval(Duration::from_millis(1)).take(2).collect();
/// // A caller that comes late to a tick misses it, and gets the next one in step.
/// assert!(due[1] - due[0] >= Duration::from_millis(1));
/// ```
#[derive(Clone, Debug)]
pub struct Interval {
    period: Duration,
    /// None: never.
    next: Option<Instant>,
}

impl Interval {
    /// Waits for the next tick and returns the moment at which it was due.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; the tick is not consumed.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::time::{Duration, interval};
    ///
    /// let mut ticks = interval(Duration::from_millis(1));
    /// let first = ticks.tick();
    /// assert!(ticks.tick() > first);
    /// ```
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

    /// Returns a receiver for [`select!`](crate::channel::select) that becomes ready when the next
    /// tick is due. It does not consume the tick: [`tick`](Interval::tick) does, and does not wait
    /// then.
    ///
    /// [`channel::tick`] is a ticker that is a receiver itself, and does not
    /// stay aligned after a late receive.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{select, unbounded};
    /// use rustlet::time::{Duration, interval};
    ///
    /// rustlet::run(|| {
    ///     let (_sender, jobs) = unbounded::<u32>();
    ///     let mut ticks = interval(Duration::from_millis(1));
    ///     for _ in 0..3 {
    ///         select! {
    ///             recv(jobs) -> job => panic!("received {job:?}"),
    ///             recv(ticks.receiver()) -> _ => drop(ticks.tick()),
    ///         }
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn receiver(&self) -> Receiver<Instant> {
        self.next.map_or(channel::never(), channel::at)
    }

    /// Returns the time between two ticks.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::time::{Duration, interval};
    ///
    /// assert_eq!(interval(Duration::from_secs(1)).period(), Duration::from_secs(1));
    /// ```
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

/// Returns the first moment after `now` that is a whole number of periods from `due`, or `None` if
/// no clock shows it.
fn after(due: Instant, period: Duration, now: Instant) -> Option<Instant> {
    let late = now.saturating_duration_since(due).as_nanos();
    match period.as_nanos() {
        0 => Some(now),
        nanos => {
            let left = nanos - late % nanos;
            // At most one period, which is a `Duration`.
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
    fn later_ticks_stay_aligned_to_the_first() {
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
        // A clock that lags: not sooner than a period from the last tick.
        assert_eq!(after(start + ms(5), ms(10), start), Some(start + ms(15)));
    }
}
