//! The one place that reads the time. Monotonic; everything else asks here.
//!
//! A deadline inside the runtime is a [`Tick`]: nanoseconds since the first use in this process, in
//! 64 bits (584 years), with [`NEVER`] for "no deadline". Sums that overflow mean never.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Nanoseconds since the first use in this process.
pub(crate) type Tick = u64;

/// The deadline that never comes.
pub(crate) const NEVER: Tick = Tick::MAX;

fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(instant)
}

/// Returns the current time as std's instant.
#[inline]
#[allow(
    clippy::disallowed_methods,
    reason = "the only file that reads the clock"
)]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// Returns the current time in ticks.
#[inline]
pub(crate) fn now() -> Tick {
    ticks(instant())
}

/// Converts `at` to ticks: an instant before the epoch becomes a deadline that has passed, one
/// beyond the range becomes [`NEVER`].
pub(crate) fn ticks(at: Instant) -> Tick {
    span(at.saturating_duration_since(epoch()))
}

/// Converts the tick `at` to std's instant; `None` for [`NEVER`].
pub(crate) fn instant_at(at: Tick) -> Option<Instant> {
    let at = (at != NEVER).then_some(Duration::from_nanos(at))?;
    epoch().checked_add(at)
}

/// Converts `span` to a number of ticks.
pub(crate) fn span(span: Duration) -> Tick {
    Tick::try_from(span.as_nanos()).unwrap_or(NEVER)
}

/// Returns the deadline that is `wait` from now.
#[inline]
pub(crate) fn after(wait: Duration) -> Tick {
    now().saturating_add(span(wait))
}

/// Blocks the OS thread for a moment, so that one of lower priority gets a core: for a lock whose
/// holder is not running.
#[cold]
#[allow(clippy::disallowed_methods, reason = "the OS thread is meant")]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_micros(50));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflow_means_never() {
        assert_eq!(after(Duration::MAX), NEVER);
        assert_eq!(span(Duration::MAX), NEVER);
        assert!(after(Duration::ZERO) < NEVER);
    }

    #[test]
    fn instants_and_ticks_agree() {
        let before = now();
        let at = instant();
        let after = now();
        assert!((before..=after).contains(&ticks(at)));
        assert_eq!(instant_at(ticks(at)), Some(at));
        assert_eq!(instant_at(NEVER), None);
    }
}
