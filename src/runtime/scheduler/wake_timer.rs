//! Wakes a sleeping worker at a given time.
//!
//! A wait with a timeout costs some 0.25 µs more than one without: the kernel arms a timer and
//! removes it again. A worker that events wake repeatedly before its next deadline would pay that
//! at each sleep. So the second sleep in a row that is to end at the same time sets a [`TimerFd`],
//! which stays armed, and the sleeps after that need no timeout.
//!
//! The timer descriptor is registered level-triggered, so once its time has passed it ends every
//! wait until [`WakeTimer::expire`] disarms it: a wait that returns other events does not consume
//! it.
//!
//! Only the owning worker uses this.

use std::cell::Cell;

use crate::sys::clock::{NEVER, Tick};
use crate::sys::poll::timer_fd::TimerFd;
use crate::sys::poll::timer_slack::TimerSlack;

/// The timeout or timer descriptor that ends the sleeps of one worker; see the module's text.
#[derive(Debug)]
pub(super) struct WakeTimer {
    slack: TimerSlack,
    /// `None`: each wait has a timeout.
    alarm: Option<TimerFd>,
    /// The time at which the last sleep was to end.
    last: Cell<Tick>,
}

impl WakeTimer {
    pub(super) fn new(slack: TimerSlack, alarm: Option<TimerFd>) -> WakeTimer {
        WakeTimer {
            slack,
            alarm,
            last: Cell::new(NEVER),
        }
    }

    /// Returns the timeout of a sleep that begins `now` and ends at a timer's `deadline` plus the
    /// slack, or at `upkeep`.
    pub(super) fn timeout(&self, deadline: Tick, upkeep: Tick, now: Tick) -> Tick {
        let end = self.slack.latest(deadline).min(upkeep);
        let is_repeated = self.last.replace(end) == end;
        match &self.alarm {
            _ if end == NEVER => NEVER,
            Some(alarm) if is_repeated && end > now => {
                alarm.set(end, now);
                NEVER
            }
            _ => {
                let left = |at: Tick| match at {
                    NEVER => NEVER,
                    at => at.saturating_sub(now),
                };
                self.slack.timeout(left(deadline)).min(left(upkeep))
            }
        }
    }

    /// Disarms the alarm if its time has passed at `now`, so that it ends no more waits.
    #[inline]
    pub(super) fn expire(&self, now: Tick) {
        if let Some(alarm) = &self.alarm
            && alarm.at() <= now
        {
            alarm.set(NEVER, now);
        }
    }

    /// Calls `wait`, which waits with a timeout of [`WakeTimer::timeout`].
    #[inline]
    pub(super) fn apply<R>(&self, wait: impl FnOnce() -> R) -> R {
        self.slack.apply(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock;
    use std::time::Duration;

    const MS: Tick = 1_000_000;
    const S: Tick = 1_000 * MS;

    fn wake_timer() -> WakeTimer {
        let slack = TimerSlack::new(Some(Duration::from_millis(1)));
        WakeTimer::new(slack, Some(TimerFd::new().unwrap()))
    }

    fn alarm(timer: &WakeTimer) -> Tick {
        timer.alarm.as_ref().unwrap().at()
    }

    #[test]
    fn the_second_sleep_for_a_deadline_sets_the_alarm_and_has_no_timeout() {
        let timer = wake_timer();
        let now = clock::now();
        let deadline = now + 100 * S;
        let first = timer.timeout(deadline, NEVER, now);
        assert!(first <= 100 * S + MS, "{first}");
        assert_eq!(alarm(&timer), NEVER);
        for _ in 0..2 {
            assert_eq!(timer.timeout(deadline, NEVER, now + MS), NEVER);
            assert_eq!(alarm(&timer), deadline + MS);
        }
        // An earlier deadline does not rely on the alarm.
        let earlier = timer.timeout(now + 10 * S, NEVER, now + 2 * MS);
        assert!(earlier <= 10 * S, "{earlier}");
    }

    #[test]
    fn upkeep_has_no_slack_and_without_deadlines_there_is_no_timeout() {
        let timer = wake_timer();
        let now = clock::now();
        assert_eq!(timer.timeout(NEVER, now + S, now), S);
        assert_eq!(timer.timeout(NEVER, now + S, now), NEVER);
        assert_eq!(alarm(&timer), now + S);
        for _ in 0..3 {
            assert_eq!(timer.timeout(NEVER, NEVER, now), NEVER);
        }
    }

    #[test]
    fn an_expired_alarm_is_disarmed() {
        let timer = wake_timer();
        let now = clock::now();
        for _ in 0..2 {
            timer.timeout(NEVER, now + S, now);
        }
        timer.expire(now + S - 1);
        assert_eq!(alarm(&timer), now + S);
        timer.expire(now + S);
        assert_eq!(alarm(&timer), NEVER);
        // A sleep whose end has passed already does not wait.
        for _ in 0..2 {
            assert_eq!(timer.timeout(NEVER, now, now), 0);
            assert_eq!(timer.timeout(now, NEVER, now + S), 0);
        }
    }

    #[test]
    fn without_an_alarm_each_sleep_has_a_timeout() {
        let slack = TimerSlack::new(Some(Duration::ZERO));
        let timer = WakeTimer::new(slack, None);
        let now = clock::now();
        for _ in 0..3 {
            assert_eq!(timer.timeout(NEVER, now + S, now), S);
        }
        timer.expire(now + S);
    }
}
