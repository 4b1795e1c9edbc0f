//! A descriptor that is readable from a given time on, for programs that poll a worker's descriptor
//! from an event loop of their own.
//!
//! A timerfd on Linux. On other systems a pipe with a byte in it, which can report "now" or
//! nothing: a timer that comes due does not make it readable.
//!
//! Owned by one worker, and called on its OS thread.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

#[cfg(all(target_os = "linux", not(rustlet_portable)))]
use super::standard::beside_standard;
use crate::sys::clock::{NEVER, Tick};

/// A descriptor that is readable from a given time on. See the module's text.
#[derive(Debug)]
pub(crate) struct TimerFd {
    fd: OwnedFd,
    #[cfg(not(all(target_os = "linux", not(rustlet_portable))))]
    write: OwnedFd,
    set: Cell<Tick>,
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl TimerFd {
    /// Returns when it becomes readable; 0 if it is, [`NEVER`] if it is not set.
    pub(crate) fn at(&self) -> Tick {
        self.set.get()
    }

    /// Makes it readable from `at` on: at once for 0, not at all for [`NEVER`]. The current time is
    /// `now`.
    pub(crate) fn set(&self, at: Tick, now: Tick) {
        // For a time that has passed, it does not matter which: the descriptor is readable.
        let at = if at <= now { 0 } else { at };
        if self.set.replace(at) != at {
            self.arm(at, now);
        }
    }
}

#[cfg(all(target_os = "linux", not(rustlet_portable)))]
impl TimerFd {
    /// Whether it becomes readable when its time comes.
    pub(crate) const KEEPS_TIME: bool = true;

    /// Creates one that is not set.
    pub(crate) fn new() -> io::Result<TimerFd> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(TimerFd {
            fd: beside_standard(|| Ok(timerfd_create(TimerfdClockId::Monotonic, flags)?))?,
            set: Cell::new(NEVER),
        })
    }

    fn arm(&self, at: Tick, now: Tick) {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        const SECOND: Tick = 1_000_000_000;
        let span = match at {
            // 0 is off.
            NEVER => 0,
            at => at.saturating_sub(now).max(1),
        };
        let value = Timespec {
            tv_sec: (span / SECOND) as i64,
            tv_nsec: (span % SECOND) as _,
        };
        let interval = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let setting = Itimerspec {
            it_interval: interval,
            it_value: value,
        };
        // Setting it also clears its readiness. It fails only for a wrong descriptor or wrong
        // numbers.
        let _former = timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &setting);
    }
}

#[cfg(not(all(target_os = "linux", not(rustlet_portable))))]
impl TimerFd {
    /// Whether it becomes readable when its time comes: only if it is set to a time that has
    /// passed.
    pub(crate) const KEEPS_TIME: bool = false;

    /// Creates one that is not set.
    pub(crate) fn new() -> io::Result<TimerFd> {
        let (read, write) = io::pipe()?;
        let (fd, write) = (OwnedFd::from(read), OwnedFd::from(write));
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(TimerFd {
            fd,
            write,
            set: Cell::new(NEVER),
        })
    }

    fn arm(&self, at: Tick, _now: Tick) {
        // The former byte is read first, so the pipe holds one byte at most.
        let _none = rustix::io::read(&self.fd, &mut [0_u8; 8]);
        if at == 0 {
            let _one = rustix::io::write(&self.write, &[1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock;
    use rustix::event::{PollFd, PollFlags, poll};

    fn is_readable(alarm: &TimerFd, timeout: i64) -> bool {
        let timeout = rustix::time::Timespec {
            tv_sec: timeout,
            tv_nsec: 0,
        };
        let mut polled = [PollFd::new(alarm, PollFlags::IN)];
        poll(&mut polled, Some(&timeout)).unwrap() == 1
    }

    #[test]
    fn it_is_readable_when_it_is_time_and_until_it_is_set_anew() {
        let alarm = TimerFd::new().unwrap();
        assert!(!is_readable(&alarm, 0));
        alarm.set(0, clock::now());
        assert!(is_readable(&alarm, 20));
        assert!(is_readable(&alarm, 20));
        alarm.set(NEVER, clock::now());
        assert!(!is_readable(&alarm, 0));
        alarm.set(NEVER - 1, clock::now());
        assert!(!is_readable(&alarm, 0));
        alarm.set(clock::now(), clock::now());
        assert!(is_readable(&alarm, 20));
    }

    #[test]
    #[cfg(all(target_os = "linux", not(rustlet_portable)))]
    fn it_is_readable_at_a_later_time() {
        let alarm = TimerFd::new().unwrap();
        let at = clock::now() + 3_000_000;
        alarm.set(at, clock::now());
        assert!(is_readable(&alarm, 20));
        assert!(clock::now() >= at);
    }
}
