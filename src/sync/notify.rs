//! [`Notify`]: like tokio's `Notify`, for threads.
//!
//! NO1. The queue holds `notified` waiters first, which `notify_waiters` has notified and not yet
//!      woken, and then `waiting` others. A waiter that leaves by itself is subtracted from the
//!      count that it belongs to: `notified` if the generation has changed since it was queued,
//!      otherwise `waiting`. So each waiter that is dequeued was notified, by exactly one call.

use std::cell::Cell;
use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use super::wait::spin::{Spin, SpinGuard};
use super::wait::wait_in_queue::{Ended, QueuePosition, wait_in_queue};
use super::wait::wait_queue::WaitQueue;
use super::wait::waiting_thread::{WaitingThread, Waker};
use crate::channel::wait_limit::WaitLimit;
use crate::channel::{self, Observers};
use crate::green::budget::{poll_budget, poll_budget_quietly};
use crate::green::park::unwind_if_cancelled;
use crate::green::{OnCancel, Reason, Unparker, Wait};

/// Wakes threads that wait for a change, without passing data, like tokio's `Notify`.
///
/// [`notify_one`](Notify::notify_one) wakes one waiting thread, in first-in-first-out order. If no
/// thread waits, it stores one permit, which the next [`notified`](Notify::notified) takes at once.
/// So a thread that checks a condition and then waits misses no `notify_one` in between. At most
/// one permit is stored.
///
/// [`notify_waiters`](Notify::notify_waiters) wakes all threads that wait at that moment, and
/// stores nothing. A thread that has not begun to wait misses it. For a state that stays, use
/// [`Event`](super::Event) or [`watch`](super::watch).
///
/// Everything that a thread does before it notifies is visible to the thread that it notifies.
///
/// # Cancellation
///
/// A green thread that is [cancelled](crate::Cancelled) while it waits unwinds. It has taken no
/// notification. If the thread was notified before the cancellation took effect, the call returns,
/// and the thread unwinds at its next wait.
///
/// # Examples
///
/// ```
/// use rustlet::sync::{Mutex, Notify};
/// use std::collections::VecDeque;
///
/// static JOBS: Mutex<VecDeque<u32>> = Mutex::new(VecDeque::new());
/// static NEW: Notify = Notify::new();
///
/// rustlet::run(|| {
///     let worker = rustlet::spawn(|| {
///         loop {
///             if let Some(job) = JOBS.lock().unwrap().pop_front() {
///                 return job;
///             }
///             NEW.notified();
///         }
///     });
///     JOBS.lock().unwrap().push_back(7);
///     NEW.notify_one();
///     assert_eq!(worker.join().unwrap(), 7);
/// });
/// ```
#[doc(alias = "AutoResetEvent")]
pub struct Notify {
    state: Spin<State>,
}

struct State {
    permit: bool,
    /// Counts the calls of `notify_waiters`.
    generation: usize,
    notified: usize,
    waiting: usize,
    waiters: WaitQueue<WaitingThread>,
    /// Waiters of a select.
    observers: Observers,
}

impl State {
    /// Dequeues the first waiter. NO1: there is one.
    fn dequeue(&mut self) -> Waker {
        let Some(claimed) = self.waiters.dequeue() else {
            unreachable!("the waiter of a notification waits for nothing else");
        };
        claimed.finish()
    }
}

impl UnwindSafe for Notify {}
impl RefUnwindSafe for Notify {}

impl Notify {
    /// Creates a `Notify` without a permit.
    ///
    /// # Examples
    ///
    /// ```
    /// static CHANGED: rustlet::sync::Notify = rustlet::sync::Notify::new();
    /// assert!(!CHANGED.try_notified());
    /// ```
    #[must_use]
    #[inline]
    pub const fn new() -> Notify {
        Notify {
            state: Spin::new(State {
                permit: false,
                generation: 0,
                notified: 0,
                waiting: 0,
                waiters: WaitQueue::new(),
                observers: Observers::new(),
            }),
        }
    }

    /// Wakes the thread that has waited longest, or stores a permit if no thread waits. Does not
    /// wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let notify = rustlet::sync::Notify::new();
    /// notify.notify_one();
    /// notify.notify_one();
    /// // One permit is stored, not two.
    /// assert!(notify.try_notified());
    /// assert!(!notify.try_notified());
    /// ```
    #[track_caller]
    pub fn notify_one(&self) {
        poll_budget_quietly(Location::caller());
        let mut state = self.lock_and_wake_notified();
        if state.waiting > 0 {
            state.waiting -= 1;
            let waker = state.dequeue();
            drop(state);
            waker.wake();
        } else {
            state.permit = true;
            let observers = state.observers.take();
            drop(state);
            channel::wake(observers);
        }
    }

    /// Wakes all threads that wait now, and stores no permit. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Notify;
    /// use std::time::Duration;
    ///
    /// let notify = Notify::new();
    /// notify.notify_waiters();
    /// assert!(!notify.notified_timeout(Duration::ZERO));
    /// ```
    #[doc(alias = "notify_all")]
    #[track_caller]
    pub fn notify_waiters(&self) {
        poll_budget_quietly(Location::caller());
        let mut state = self.state.lock();
        state.generation = state.generation.wrapping_add(1);
        state.notified += std::mem::take(&mut state.waiting);
        drop(state);
        drop(self.lock_and_wake_notified());
    }

    /// Wakes the waiters that were notified, and returns the lock when none is left.
    fn lock_and_wake_notified(&self) -> SpinGuard<'_, State> {
        let mut state = self.state.lock();
        while state.notified > 0 {
            state.notified -= 1;
            let waker = state.dequeue();
            drop(state);
            waker.wake();
            state = self.state.lock();
        }
        state
    }

    /// Takes the permit if there is one, and returns whether there was. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let notify = rustlet::sync::Notify::new();
    /// assert!(!notify.try_notified());
    /// notify.notify_one();
    /// assert!(notify.try_notified());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn try_notified(&self) -> bool {
        poll_budget_quietly(Location::caller());
        std::mem::take(&mut self.state.lock().permit)
    }

    /// Waits for a notification, or takes the permit and returns at once.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread unless there is a permit. On an OS thread it blocks.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds and has taken no notification.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Notify;
    ///
    /// let notify = Notify::new();
    /// rustlet::run(|| {
    ///     rustlet::scope(|s| {
    ///         s.spawn(|| notify.notify_one());
    ///         notify.notified();
    ///     });
    /// });
    /// ```
    #[track_caller]
    pub fn notified(&self) {
        self.wait(WaitLimit::Never, Location::caller());
    }

    /// Waits for a notification like [`notified`](Notify::notified), for at most `timeout`. Returns
    /// `true` if it was notified or has taken the permit. Returns `false` if the time has passed;
    /// then it has taken no notification.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Notify;
    /// use std::time::Duration;
    ///
    /// let notify = Notify::new();
    /// assert!(!notify.notified_timeout(Duration::from_millis(1)));
    /// notify.notify_one();
    /// assert!(notify.notified_timeout(Duration::ZERO));
    /// ```
    #[track_caller]
    pub fn notified_timeout(&self, timeout: Duration) -> bool {
        self.wait(WaitLimit::For(timeout), Location::caller())
    }

    /// Returns a receiver for [`select!`](crate::channel::select) that is ready while there is a
    /// permit. Receiving from it does not take the permit. [`try_notified`](Notify::try_notified)
    /// takes it, and returns `false` if another thread has taken it first.
    ///
    /// A thread in `select!` does not count as waiting: `notify_one` prefers threads in
    /// [`notified`](Notify::notified), and `notify_waiters` does not wake it.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{after, select};
    /// use rustlet::sync::{Arc, Notify};
    /// use std::time::Duration;
    ///
    /// let notify = Arc::new(Notify::new());
    /// notify.notify_one();
    /// select! {
    ///     recv(notify.receiver()) -> _ => assert!(notify.try_notified()),
    ///     recv(after(Duration::from_secs(60))) -> _ => panic!("it takes too long"),
    /// }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn receiver(self: &Arc<Self>) -> channel::Receiver<()> {
        poll_budget_quietly(Location::caller());
        channel::source(Arc::clone(self) as Arc<dyn channel::LevelSource>)
    }

    fn wait(&self, limit: WaitLimit, at: &'static Location<'static>) -> bool {
        poll_budget(at);
        let mut wait = None;
        loop {
            let mut state = self.state.lock();
            if std::mem::take(&mut state.permit) {
                return true;
            }
            let wait = wait.get_or_insert_with(|| {
                Wait::at(Reason::Notify, at)
                    .until(limit.tick())
                    .on_cancel(OnCancel::Defer)
            });
            state.waiting += 1;
            let came = state.generation;
            let was_notified = Cell::new(false);
            let ended = wait_in_queue(
                &self.state,
                state,
                |state| &mut state.waiters,
                &QueuePosition::BACK,
                wait,
                || {},
                |state| {
                    // NO1.
                    if state.generation == came {
                        state.waiting -= 1;
                    } else {
                        state.notified -= 1;
                        was_notified.set(true);
                    }
                },
            );
            match ended {
                Ended::Dequeued => return true,
                Ended::Elapsed | Ended::Cancelled if was_notified.get() => return true,
                Ended::Elapsed => return false,
                Ended::Cancelled => unwind_if_cancelled(),
            }
        }
    }
}

impl channel::LevelSource for Notify {
    fn is_ready(&self) -> bool {
        self.state.lock().permit
    }

    fn arm(&self, waiter: Unparker) -> channel::Key {
        self.state.lock().observers.add(waiter)
    }

    fn disarm(&self, key: channel::Key) {
        let gone = self.state.lock().observers.remove(key);
        drop(gone);
    }
}

impl Default for Notify {
    fn default() -> Notify {
        Notify::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify")
            .field("permit", &self.state.lock().permit)
            .finish_non_exhaustive()
    }
}
