//! [`Event`].
//!
//! EV1. `set` begins a new `generation`, and wakes so many as stood in line. A thread that waits goes on when the generation is not that in which it came.

use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use super::wait::line::Line;
use super::wait::spin::Spin;
use super::wait::stand::{Ended, Place, stand, wake_some};
use super::wait::waiting::Thread;
use crate::green::budget::spend_quietly;
use crate::green::park::raise_if_cancelled;
use crate::green::{OnCancel, Reason, Wait};
use crate::shim::{AtomicBool, Ordering};
use crate::sys::clock::{self, NEVER, Tick};

/// Something that has happened, or has not yet: threads wait until it has.
///
/// Once set it stays so, and nobody waits, until it is cleared. [`set`](Event::set) lets all go that wait at that moment, even if
/// the event is cleared at once.
///
/// What a thread does before it sets the event is seen by those that it lets go, and by those that find it set.
///
/// A green thread that is [cancelled](crate::Cancelled) while it waits unwinds.
///
/// ```
/// use rustlet::sync::Event;
///
/// static READY: Event = Event::new();
///
/// rustlet::run(|| {
///     let waits = rustlet::spawn(|| READY.wait());
///     READY.set();
///     waits.join().unwrap();
///     READY.wait();
///     READY.clear();
///     assert!(!READY.is_set());
/// });
/// ```
pub struct Event {
    /// Written under the lock.
    set: AtomicBool,
    state: Spin<State>,
}

struct State {
    standing: usize,
    generation: usize,
    line: Line<Thread>,
}

impl UnwindSafe for Event {}
impl RefUnwindSafe for Event {}

impl Event {
    /// One that has not happened.
    #[must_use]
    #[inline]
    pub const fn new() -> Event {
        Event {
            set: AtomicBool::new(false),
            state: Spin::new(State {
                standing: 0,
                generation: 0,
                line: Line::new(),
            }),
        }
    }

    /// It has happened: lets all go that wait. Does not wait.
    #[track_caller]
    pub fn set(&self) {
        spend_quietly(Location::caller());
        let mut state = self.state.lock();
        // Release: pairs with the Acquire of `has_happened`.
        self.set.store(true, Ordering::Release);
        state.generation = state.generation.wrapping_add(1);
        let standing = std::mem::take(&mut state.standing);
        wake_some(&self.state, state, |state| &mut state.line, standing);
    }

    /// It has not happened: who comes from now on waits. Does not wait.
    #[track_caller]
    pub fn clear(&self) {
        spend_quietly(Location::caller());
        let _state = self.state.lock();
        self.set.store(false, Ordering::Relaxed);
    }

    /// Whether it has happened. Does not wait.
    #[must_use]
    #[inline]
    #[track_caller]
    pub fn is_set(&self) -> bool {
        spend_quietly(Location::caller());
        self.has_happened()
    }

    #[inline(always)]
    fn has_happened(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    /// Waits until it has happened. Suspends the calling green thread, or blocks the calling OS thread.
    #[track_caller]
    #[inline]
    pub fn wait(&self) {
        spend_quietly(Location::caller());
        if !self.has_happened() {
            self.wait_until(NEVER, Location::caller());
        }
    }

    /// As [`wait`](Event::wait), for at most `timeout`. False: the time was up first.
    ///
    /// ```
    /// use rustlet::sync::Event;
    /// use std::time::Duration;
    ///
    /// let event = Event::new();
    /// assert!(!event.wait_timeout(Duration::from_millis(1)));
    /// event.set();
    /// assert!(event.wait_timeout(Duration::ZERO));
    /// ```
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        spend_quietly(Location::caller());
        self.has_happened() || self.wait_until(clock::after(timeout), Location::caller())
    }

    fn wait_until(&self, deadline: Tick, at: &'static Location<'static>) -> bool {
        let wait = Wait::at(Reason::Event, at)
            .until(deadline)
            .on_cancel(OnCancel::Defer);
        let mut state = self.state.lock();
        let came = state.generation;
        loop {
            if self.has_happened() || state.generation != came {
                return true;
            }
            state.standing += 1;
            let ended = stand(
                &self.state,
                state,
                |state| &mut state.line,
                &Place::BACK,
                &wait,
                || {},
                |state| {
                    if state.generation == came {
                        state.standing -= 1;
                    }
                },
            );
            state = self.state.lock();
            if state.generation != came {
                return true;
            }
            match ended {
                // Woken in the place of one that had gone.
                Ended::Claimed => {}
                Ended::Elapsed => return false,
                Ended::Cancelled => {
                    drop(state);
                    raise_if_cancelled();
                    state = self.state.lock();
                }
            }
        }
    }
}

impl Default for Event {
    fn default() -> Event {
        Event::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("is_set", &self.has_happened())
            .finish_non_exhaustive()
    }
}
