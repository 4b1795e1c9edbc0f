//! Timer slack: how much later than requested the system may end a wait, so that timers that are
//! close share a wake-up.
//!
//! Linux adds a slack to each timed wait: 50 µs unless the thread has set another, and in
//! `epoll_wait` a thousandth of the timeout if that is more (at most 100 ms). A wait for ten
//! seconds is therefore up to 10 ms late. [`TimerSlack`] computes the timeout with which a wait
//! ends at most the wanted slack after its deadline. It may end before the deadline if the deadline
//! is far away; the caller checks the clock and waits for the rest.
//!
//! Owned by one worker, and called on its OS thread.

use std::time::Duration;

use crate::sys::clock::{self, NEVER, Tick};

/// The fraction of a timeout that `epoll_wait` adds to it: one part in this many.
const SLACK_DIVISOR: Tick = 1_000;
/// The most that it adds because of that fraction.
const MAX_SLACK_NS: Tick = 100_000_000;

/// The slack of the waits of one worker. See the module's text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimerSlack {
    wanted: Tick,
    /// The system's slack for this OS thread.
    system: Tick,
}

impl TimerSlack {
    /// Creates a slack of `wanted`; the calling OS thread's own if that is `None`.
    pub(crate) fn new(wanted: Option<Duration>) -> TimerSlack {
        let system = by_platform::get();
        TimerSlack {
            wanted: wanted.map_or(system, clock::span),
            system,
        }
    }

    /// Returns when a wait for `deadline` must end at the latest.
    pub(crate) fn latest(&self, deadline: Tick) -> Tick {
        deadline.saturating_add(self.wanted)
    }

    /// Returns the timeout of a wait for a deadline that is `left` away.
    pub(crate) fn timeout(&self, left: Tick) -> Tick {
        if left == 0 || left == NEVER {
            return left;
        }
        let latest = self.latest(left);
        let added = (latest / (SLACK_DIVISOR + 1)).min(MAX_SLACK_NS);
        latest - added.max(self.system.min(self.wanted))
    }

    /// Calls `wait`, which waits with a timeout from this type, while the system's slack is not
    /// larger than the wanted one.
    #[inline]
    pub(crate) fn apply<R>(&self, wait: impl FnOnce() -> R) -> R {
        if self.wanted >= self.system {
            return wait();
        }
        // For this call only: OS threads and processes that this thread starts inherit its slack.
        by_platform::set(self.wanted);
        let result = wait();
        by_platform::set(self.system);
        result
    }
}

#[cfg(target_os = "linux")]
mod by_platform {
    use super::Tick;
    use rustix::thread::{current_timer_slack, set_current_timer_slack};
    use std::num::NonZeroU64;

    /// Returns the calling thread's slack. 0 on systems that have none.
    pub(super) fn get() -> Tick {
        current_timer_slack().unwrap_or(0)
    }

    pub(super) fn set(slack: Tick) {
        // 0 would mean the default. It fails where a filter of system calls forbids it: waits are
        // then as late as before.
        let _refused = set_current_timer_slack(NonZeroU64::new(slack.max(1)));
    }
}

#[cfg(not(target_os = "linux"))]
mod by_platform {
    use super::Tick;

    pub(super) fn get() -> Tick {
        0
    }

    pub(super) fn set(_slack: Tick) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Tick = 1_000;
    const S: Tick = 1_000_000_000;

    /// Returns when a wait with the timeout of a deadline that is `left` away ends at the latest.
    fn latest(slack: TimerSlack, left: Tick) -> Tick {
        let timeout = slack.timeout(left);
        let own = slack.system.min(slack.wanted);
        timeout + (timeout / SLACK_DIVISOR).min(MAX_SLACK_NS).max(own)
    }

    #[test]
    fn a_wait_ends_no_later_than_the_slack_allows_however_long_it_is() {
        for system in [0, 50 * US] {
            for wanted in [0, US, 50 * US, 250 * US, 1_000 * US] {
                let slack = TimerSlack { wanted, system };
                for left in [1, US, 100 * US, 10_000 * US, S, 10 * S, 1_000 * S] {
                    let latest = latest(slack, left);
                    // The nanosecond comes from two divisions.
                    assert!(latest <= left + wanted + 1, "{slack:?} {left}: {latest}");
                }
            }
        }
    }

    #[test]
    fn a_short_wait_does_not_end_before_its_deadline() {
        for wanted in [US, 50 * US, 1_000 * US] {
            let slack = TimerSlack {
                wanted,
                system: 50 * US,
            };
            for left in [0, 1, US, 100 * US, 1_000 * wanted] {
                assert!(slack.timeout(left) >= left, "{slack:?} {left}");
            }
            assert_eq!(slack.timeout(0), 0);
        }
    }

    /// Each wait ends by the system's slack at the latest, and there is always some of it left to
    /// use.
    #[test]
    fn a_long_wait_takes_few_sleeps() {
        let slack = TimerSlack {
            wanted: 0,
            system: 50 * US,
        };
        let (mut left, mut sleeps) = (1_000 * S, 0);
        while left > 0 {
            let timeout = slack.timeout(left);
            assert!(timeout > 0);
            left -= timeout;
            sleeps += 1;
        }
        assert!(sleeps <= 6, "{sleeps}");
    }

    #[test]
    fn the_longest_wait_has_a_timeout() {
        let slack = TimerSlack::new(Some(Duration::MAX));
        assert!(slack.timeout(NEVER - 1) > NEVER / 2);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_smaller_slack_is_the_threads_for_the_wait_only() {
        let own = by_platform::get();
        let inside = TimerSlack {
            wanted: 0,
            system: own,
        };
        // Emulators have no slack.
        let expected = if own == 0 { 0 } else { 1 };
        assert_eq!(inside.apply(by_platform::get), expected);
        assert_eq!(by_platform::get(), own);
        assert_eq!(TimerSlack::new(None).apply(by_platform::get), own);
    }
}
