//! The one place that reads the time. Monotonic; everything else asks here.
//!
//! A deadline inside the runtime is a [`Tick`]: nanoseconds since the first use in this process, in
//! 64 bits (584 years), with [`NEVER`] for "no deadline". Sums that overflow mean never.

#[cfg(feature = "testing")]
use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Nanoseconds since the first use in this process.
pub(crate) type Tick = u64;

/// The deadline that never comes.
pub(crate) const NEVER: Tick = Tick::MAX;

fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(real_instant)
}

#[inline]
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
fn real_instant() -> Instant {
    Instant::now()
}

#[cfg(feature = "testing")]
thread_local! {
    /// The virtual time of the calling OS thread; [`NEVER`] where time is real.
    static VIRTUAL: Cell<Tick> = const { Cell::new(NEVER) };
}

/// Sets the virtual time of the calling OS thread; [`NEVER`] makes its time real again.
#[cfg(feature = "testing")]
pub(crate) fn set_virtual(at: Tick) {
    VIRTUAL.set(at);
}

/// Returns the current time as std's instant.
#[inline]
pub(crate) fn instant() -> Instant {
    #[cfg(feature = "testing")]
    if let Some(at) = instant_at(VIRTUAL.get()) {
        return at;
    }
    real_instant()
}

/// Returns the current time in ticks.
#[inline]
pub(crate) fn now() -> Tick {
    #[cfg(feature = "testing")]
    if VIRTUAL.get() != NEVER {
        return VIRTUAL.get();
    }
    real_now()
}

/// Returns the real time in ticks, also where time is virtual: for state of the whole process.
#[inline]
pub(crate) fn real_now() -> Tick {
    ticks(real_instant())
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
