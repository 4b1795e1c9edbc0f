//! [`Event`].
//!
//! EV1. `set` begins a new `generation` and wakes the waiters of the old one. A waiter goes on when
//!      the generation is not the one in which it came.

use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use super::wait::spin::Spin;
use super::wait::wait_in_queue::{Ended, QueuePosition, wait_in_queue, wake_some};
use super::wait::wait_queue::WaitQueue;
use super::wait::waiting_thread::WaitingThread;
use crate::green::budget::poll_budget_quietly;
use crate::green::park::unwind_if_cancelled;
use crate::green::{OnCancel, Reason, Wait};
use crate::shim::{AtomicBool, Ordering};
use crate::sys::clock::{self, NEVER, Tick};

/// A flag that threads can wait for (a manual-reset event).
///
/// Once set, it stays set and waits return at once, until it is cleared. [`set`](Event::set) wakes
/// all threads that wait at that moment, even if the event is cleared immediately afterwards.
///
/// Everything a thread does before it sets the event is visible to the threads that it wakes and to
/// those that find the event set.
///
/// # Cancellation
///
/// A green thread that is [cancelled](crate::Cancelled) while it waits unwinds; the event does not
/// change.
///
/// # Examples
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
#[doc(alias = "ManualResetEvent")]
pub struct Event {
    /// Written under the lock.
    set: AtomicBool,
    state: Spin<State>,
}

struct State {
    waiting: usize,
    generation: usize,
    waiters: WaitQueue<WaitingThread>,
}

impl UnwindSafe for Event {}
impl RefUnwindSafe for Event {}

impl Event {
    /// Creates an event that is not set.
    ///
    /// # Examples
    ///
    /// ```
    /// static READY: rustlet::sync::Event = rustlet::sync::Event::new();
    /// assert!(!READY.is_set());
    /// ```
    #[must_use]
    #[inline]
    pub const fn new() -> Event {
        Event {
            set: AtomicBool::new(false),
            state: Spin::new(State {
                waiting: 0,
                generation: 0,
                waiters: WaitQueue::new(),
            }),
        }
    }

    /// Sets the event and wakes all waiting threads. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Event;
    ///
    /// rustlet::run(|| {
    ///     let event = Event::new();
    ///     rustlet::scope(|s| {
    ///         s.spawn(|| event.wait());
    ///         s.spawn(|| event.wait());
    ///         event.set();
    ///     });
    /// });
    /// ```
    #[track_caller]
    pub fn set(&self) {
        poll_budget_quietly(Location::caller());
        let mut state = self.state.lock();
        // Release: pairs with the Acquire of `has_happened`.
        self.set.store(true, Ordering::Release);
        state.generation = state.generation.wrapping_add(1);
        let waiting = std::mem::take(&mut state.waiting);
        wake_some(&self.state, state, |state| &mut state.waiters, waiting);
    }

    /// Clears the event: later calls of [`wait`](Event::wait) wait. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let event = rustlet::sync::Event::new();
    /// event.set();
    /// event.clear();
    /// assert!(!event.is_set());
    /// ```
    #[track_caller]
    pub fn clear(&self) {
        poll_budget_quietly(Location::caller());
        let _state = self.state.lock();
        self.set.store(false, Ordering::Relaxed);
    }

    /// Returns `true` if the event is set. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let event = rustlet::sync::Event::new();
    /// assert!(!event.is_set());
    /// event.set();
    /// assert!(event.is_set());
    /// ```
    #[must_use]
    #[inline]
    #[track_caller]
    pub fn is_set(&self) -> bool {
        poll_budget_quietly(Location::caller());
        self.has_happened()
    }

    #[inline(always)]
    fn has_happened(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    /// Waits until the event is set.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread unless the event is set; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// let event = rustlet::sync::Event::new();
    /// rustlet::run(|| {
    ///     rustlet::scope(|s| {
    ///         s.spawn(|| event.set());
    ///         event.wait();
    ///     });
    /// });
    /// ```
    #[track_caller]
    #[inline]
    pub fn wait(&self) {
        poll_budget_quietly(Location::caller());
        if !self.has_happened() {
            self.wait_until(NEVER, Location::caller());
        }
    }

    /// Waits until the event is set, for at most `timeout`. Returns `false` if the time has passed.
    ///
    /// # Examples
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
        poll_budget_quietly(Location::caller());
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
            state.waiting += 1;
            let ended = wait_in_queue(
                &self.state,
                state,
                |state| &mut state.waiters,
                &QueuePosition::BACK,
                &wait,
                || {},
                |state| {
                    if state.generation == came {
                        state.waiting -= 1;
                    }
                },
            );
            state = self.state.lock();
            if state.generation != came {
                return true;
            }
            match ended {
                // Woken in place of a waiter that has left.
                Ended::Dequeued => {}
                Ended::Elapsed => return false,
                Ended::Cancelled => {
                    drop(state);
                    unwind_if_cancelled();
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
