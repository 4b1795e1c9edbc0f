#![allow(
    unsafe_code,
    reason = "hands a value over through the waiter's stack frame"
)]
//! [`Callback`].
//!
//! CB1. Whenever the lock is free, the wait queue or the queue of values is empty. A call dequeues
//!      a waiter and writes into its slot, or keeps its value.
//! CB2. A waiter in `observers` sets `has_observers` after it entered, and checks after that. A
//!      call that keeps its value and finds `has_observers` set takes all waiters out of
//!      `observers` and wakes them.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::wait::spin::{Spin, SpinGuard};
use super::wait::wait_in_queue::{Ended, QueuePosition, Sleep, wait_in_queue};
use super::wait::wait_queue::WaitQueue;
use super::wait::waiting_thread::WaitingThread;
use crate::channel::{self, Observers};
use crate::green::budget::poll_budget_quietly;
use crate::green::park::unwind_if_cancelled;
use crate::green::{OnCancel, Reason, Unparker, Wait};
use crate::shim::lock;
use crate::sys::clock::{self, NEVER, Tick};

/// Turns an interface with callbacks into a call that waits for the value.
///
/// Clones share one state: one clone is called, from any thread, and another one is waited for.
/// Each call serves one wait, in first-in-first-out order. Values of calls without a waiter are
/// values.
///
/// # Cancellation
///
/// A green thread that is [cancelled](crate::Cancelled) while it waits unwinds; no value is lost.
///
/// # Examples
///
/// ```
/// use rustlet::sync::Callback;
///
/// fn later(f: impl FnOnce(u32) + Send + 'static) {
///     std::thread::spawn(move || f(42));
/// }
///
/// rustlet::run(|| {
///     let answer = Callback::new();
///     let called = answer.clone();
///     later(move |n| called.call(n));
///     assert_eq!(answer.wait(), 42);
/// });
/// ```
#[doc(alias = "AsyncResult")]
#[doc(alias = "Promise")]
pub struct Callback<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: Spin<State<T>>,
    /// Waiters of a select (CB2).
    observers: Mutex<Observers>,
}

struct State<T> {
    values: VecDeque<T>,
    waiters: WaitQueue<WaitingThread>,
    /// `observers` may have waiters.
    has_observers: bool,
}

impl<T> UnwindSafe for Callback<T> {}
impl<T> RefUnwindSafe for Callback<T> {}

impl<T> Callback<T> {
    /// Creates a callback that has not been called.
    ///
    /// # Examples
    ///
    /// ```
    /// let callback = rustlet::sync::Callback::new();
    /// callback.call(1);
    /// assert_eq!(callback.wait(), 1);
    /// ```
    #[must_use]
    pub fn new() -> Callback<T> {
        Callback {
            shared: Arc::new(Shared {
                state: Spin::new(State {
                    values: VecDeque::new(),
                    waiters: WaitQueue::new(),
                    has_observers: false,
                }),
                observers: Mutex::default(),
            }),
        }
    }

    /// Passes `value` to the longest waiting thread, or keeps it for a later wait. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Callback;
    ///
    /// rustlet::run(|| {
    ///     let callback = Callback::new();
    ///     let called = callback.clone();
    ///     rustlet::spawn(move || called.call("done"));
    ///     assert_eq!(callback.wait(), "done");
    /// });
    /// ```
    #[track_caller]
    pub fn call(&self, value: T) {
        poll_budget_quietly(Location::caller());
        let mut state = self.with_room();
        let Some(claimed) = state.waiters.dequeue() else {
            state.values.push_back(value);
            let has_observers = std::mem::take(&mut state.has_observers);
            drop(state);
            if has_observers {
                self.shared.notify_observers();
            }
            return;
        };
        // SAFETY: L2, not done yet; the slots of this line are those that `receive` makes.
        let slot = unsafe { &*claimed.slot().cast::<Cell<Option<T>>>() };
        slot.set(Some(value));
        let waker = claimed.finish();
        drop(state);
        WaitingThread::wake(waker);
    }

    /// Takes the lock with room for one more value: nothing is allocated while it is held.
    fn with_room(&self) -> SpinGuard<'_, State<T>> {
        let mut room = VecDeque::new();
        loop {
            let mut state = self.shared.state.lock();
            let count = state.values.len();
            if count < state.values.capacity() || !state.waiters.is_empty() {
                return state;
            }
            if count < room.capacity() {
                room.append(&mut state.values);
                std::mem::swap(&mut room, &mut state.values);
                drop(state);
                // The old one is freed, and the loop checks again.
                room = VecDeque::new();
                continue;
            }
            drop(state);
            room.reserve(count.max(3) * 2);
        }
    }

    /// Waits for a call and returns its value.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until there is a value; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; no value has been taken.
    ///
    /// # Examples
    ///
    /// ```
    /// let callback = rustlet::sync::Callback::new();
    /// let called = callback.clone();
    /// std::thread::spawn(move || called.call(42));
    /// assert_eq!(callback.wait(), 42);
    /// ```
    #[track_caller]
    pub fn wait(&self) -> T {
        loop {
            if let Some(value) = self.receive(NEVER, Location::caller()) {
                return value;
            }
        }
    }

    /// Waits for a call, for at most `timeout`. Returns `None` if the time has passed.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Callback;
    /// use std::time::Duration;
    ///
    /// let callback = Callback::new();
    /// assert_eq!(callback.wait_timeout(Duration::from_millis(1)), None);
    /// callback.call(1);
    /// assert_eq!(callback.wait_timeout(Duration::ZERO), Some(1));
    /// ```
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<T> {
        self.receive(clock::after(timeout), Location::caller())
    }

    /// Returns the value of an earlier call that has not been received yet, if any. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let callback = rustlet::sync::Callback::new();
    /// assert_eq!(callback.try_wait(), None);
    /// callback.call(1);
    /// assert_eq!(callback.try_wait(), Some(1));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn try_wait(&self) -> Option<T> {
        poll_budget_quietly(Location::caller());
        self.shared.state.lock().values.pop_front()
    }

    /// Returns a receiver for [`select!`](crate::channel::select) that is ready while there is a
    /// value. It takes none out: [`try_wait`](Callback::try_wait) does, and returns `None` if
    /// another thread was faster.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{after, select};
    /// use rustlet::sync::Callback;
    /// use std::time::Duration;
    ///
    /// rustlet::run(|| {
    ///     let answer = Callback::new();
    ///     let called = answer.clone();
    ///     std::thread::spawn(move || called.call(42));
    ///     select! {
    ///         recv(answer.receiver()) -> _ => assert_eq!(answer.try_wait(), Some(42)),
    ///         recv(after(Duration::from_secs(60))) -> _ => panic!("it takes too long"),
    ///     }
    /// });
    /// ```
    #[must_use]
    #[track_caller]
    pub fn receiver(&self) -> channel::Receiver<()>
    where
        T: Send + 'static,
    {
        poll_budget_quietly(Location::caller());
        channel::source(Arc::clone(&self.shared) as Arc<dyn channel::LevelSource>)
    }

    fn receive(&self, deadline: Tick, at: &'static Location<'static>) -> Option<T> {
        poll_budget_quietly(at);
        let wait = Wait::at(Reason::Callback, at)
            .until(deadline)
            .on_cancel(OnCancel::Defer);
        loop {
            let mut state = self.shared.state.lock();
            if let Some(value) = state.values.pop_front() {
                return Some(value);
            }
            let slot = Cell::new(None);
            let ended = wait_in_queue(
                &self.shared.state,
                state,
                |state| &mut state.waiters,
                &QueuePosition::with::<Cell<Option<T>>>(&slot),
                &wait,
                || {},
                |_| {},
            );
            match ended {
                Ended::Dequeued => return slot.take(),
                Ended::Elapsed => return None,
                Ended::Cancelled => unwind_if_cancelled(),
            }
        }
    }
}

impl<T> Shared<T> {
    #[cold]
    fn notify_observers(&self) {
        let observers = lock(&self.observers).take();
        channel::wake(observers);
    }
}

impl<T: Send> channel::LevelSource for Shared<T> {
    fn is_ready(&self) -> bool {
        !self.state.lock().values.is_empty()
    }

    fn arm(&self, waiter: Unparker) -> channel::Key {
        let key = lock(&self.observers).add(waiter);
        self.state.lock().has_observers = true;
        key
    }

    fn disarm(&self, key: channel::Key) {
        let gone = lock(&self.observers).remove(key);
        drop(gone);
    }
}

impl<T> Clone for Callback<T> {
    fn clone(&self) -> Callback<T> {
        Callback {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> Default for Callback<T> {
    fn default() -> Callback<T> {
        Callback::new()
    }
}

impl<T> fmt::Debug for Callback<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").finish_non_exhaustive()
    }
}
