#![allow(unsafe_code, reason = "passes references as raw pointers")]
//! [`Parker`] and [`Unparker`].
//!
//! PA1. A token is kept only while the wait queue is empty; a claimed waiter has used one up.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::wait::spin::Spin;
use super::wait::wait_in_queue::{Ended, QueuePosition, Sleep, wait_in_queue};
use super::wait::wait_queue::WaitQueue;
use super::wait::waiting_thread::WaitingThread;
use crate::green::budget::poll_budget_quietly;
use crate::green::park::unwind_if_cancelled;
use crate::green::{OnCancel, Reason, Wait};
use crate::sys::clock::{self, NEVER, Tick};

/// A place to wait that other threads can end through its [`Unparker`], as in crossbeam-utils.
///
/// It is like [`park`](crate::park) and
/// [`Thread::unpark`](crate::thread::Thread::unpark), but its token is private: no
/// other code can use it up. Each wait is ended by an `unpark`; there are no spurious wake-ups.
///
/// # Cancellation
///
/// A green thread that is [cancelled](crate::Cancelled) while it waits unwinds; no token is used
/// up.
///
/// # Examples
///
/// ```
/// use rustlet::sync::Parker;
///
/// rustlet::run(|| {
///     let parker = Parker::new();
///     let unparker = parker.unparker().clone();
///     rustlet::spawn(move || unparker.unpark());
///     parker.park();
/// });
/// ```
///
/// It is `Send`, but not `Sync`:
///
/// ```compile_fail,E0277
/// fn share<T: Sync>() {}
/// share::<rustlet::sync::Parker>();
/// ```
#[doc(alias = "Notify")]
pub struct Parker {
    unparker: Unparker,
    not_sync: PhantomData<Cell<()>>,
}

/// Ends waits of its [`Parker`], as in crossbeam-utils.
///
/// # Examples
///
/// ```
/// let parker = rustlet::sync::Parker::new();
/// let unparker = parker.unparker().clone();
/// std::thread::spawn(move || unparker.unpark());
/// parker.park();
/// ```
pub struct Unparker {
    shared: Arc<Spin<State>>,
}

struct State {
    token: bool,
    waiters: WaitQueue<WaitingThread>,
}

impl UnwindSafe for Parker {}
impl RefUnwindSafe for Parker {}
impl UnwindSafe for Unparker {}
impl RefUnwindSafe for Unparker {}

impl Parker {
    /// Creates a parker without a token.
    ///
    /// # Examples
    ///
    /// ```
    /// let parker = rustlet::sync::Parker::new();
    /// parker.unparker().unpark();
    /// parker.park();
    /// ```
    #[must_use]
    pub fn new() -> Parker {
        Parker {
            unparker: Unparker {
                shared: Arc::new(Spin::new(State {
                    token: false,
                    waiters: WaitQueue::new(),
                })),
            },
            not_sync: PhantomData,
        }
    }

    /// Waits for a token and uses it up.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until there is a token; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; no token is used up.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Parker;
    ///
    /// rustlet::run(|| {
    ///     let parker = Parker::new();
    ///     let unparker = parker.unparker().clone();
    ///     rustlet::spawn(move || unparker.unpark());
    ///     parker.park();
    /// });
    /// ```
    #[track_caller]
    pub fn park(&self) {
        self.park_until(NEVER, Location::caller());
    }

    /// Waits for a token, for at most `timeout`; otherwise like [`park`](Parker::park).
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::sync::Parker::new().park_timeout(std::time::Duration::from_millis(1));
    /// ```
    #[track_caller]
    pub fn park_timeout(&self, timeout: Duration) {
        self.park_until(clock::after(timeout), Location::caller());
    }

    /// Waits for a token, until `deadline` at the latest; otherwise like [`park`](Parker::park).
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::sync::Parker::new().park_deadline(std::time::Instant::now());
    /// ```
    #[track_caller]
    pub fn park_deadline(&self, deadline: Instant) {
        self.park_until(clock::ticks(deadline), Location::caller());
    }

    fn park_until(&self, deadline: Tick, at: &'static Location<'static>) {
        poll_budget_quietly(at);
        let wait = Wait::at(Reason::Park, at)
            .until(deadline)
            .on_cancel(OnCancel::Defer);
        let spin = &*self.unparker.shared;
        loop {
            let mut state = spin.lock();
            if std::mem::take(&mut state.token) {
                return;
            }
            let ended = wait_in_queue(
                spin,
                state,
                |state| &mut state.waiters,
                &QueuePosition::BACK,
                &wait,
                || {},
                |_| {},
            );
            match ended {
                Ended::Dequeued | Ended::Elapsed => return,
                Ended::Cancelled => unwind_if_cancelled(),
            }
        }
    }

    /// Returns the handle that ends waits; clone it to share it.
    ///
    /// # Examples
    ///
    /// ```
    /// let parker = rustlet::sync::Parker::new();
    /// parker.unparker().unpark();
    /// parker.park();
    /// ```
    #[must_use]
    pub fn unparker(&self) -> &Unparker {
        &self.unparker
    }

    /// Converts the parker into a raw pointer, for [`Parker::from_raw`].
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Parker;
    ///
    /// let raw = Parker::into_raw(Parker::new());
    /// // SAFETY: the pointer comes from `into_raw` and is used once.
    /// drop(unsafe { Parker::from_raw(raw) });
    /// ```
    #[must_use]
    pub fn into_raw(this: Parker) -> *const () {
        Unparker::into_raw(this.unparker)
    }

    /// Converts a raw pointer back into a parker.
    ///
    /// # Safety
    ///
    /// The pointer must come from [`Parker::into_raw`], and each may be converted back only once.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Parker;
    ///
    /// let raw = Parker::into_raw(Parker::new());
    /// // SAFETY: the pointer comes from `into_raw` and is used once.
    /// let parker = unsafe { Parker::from_raw(raw) };
    /// parker.unparker().unpark();
    /// parker.park();
    /// ```
    #[must_use]
    pub unsafe fn from_raw(ptr: *const ()) -> Parker {
        Parker {
            // SAFETY: by the contract; it is the same pointer.
            unparker: unsafe { Unparker::from_raw(ptr) },
            not_sync: PhantomData,
        }
    }
}

impl Unparker {
    /// Makes a token available, if there is none: ends the parker's current wait, or its next one.
    /// Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let parker = rustlet::sync::Parker::new();
    /// parker.unparker().unpark();
    /// parker.unparker().unpark(); // There is at most one token.
    /// parker.park();
    /// ```
    #[track_caller]
    pub fn unpark(&self) {
        poll_budget_quietly(Location::caller());
        let mut state = self.shared.lock();
        let Some(claimed) = state.waiters.dequeue() else {
            state.token = true;
            return;
        };
        let waker = claimed.finish();
        drop(state);
        WaitingThread::wake(waker);
    }

    /// Converts the unparker into a raw pointer, for [`Unparker::from_raw`].
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Parker, Unparker};
    ///
    /// let parker = Parker::new();
    /// let raw = Unparker::into_raw(parker.unparker().clone());
    /// // SAFETY: the pointer comes from `into_raw` and is used once.
    /// unsafe { Unparker::from_raw(raw) }.unpark();
    /// parker.park();
    /// ```
    #[must_use]
    pub fn into_raw(this: Unparker) -> *const () {
        Arc::into_raw(this.shared).cast()
    }

    /// Converts a raw pointer back into an unparker.
    ///
    /// # Safety
    ///
    /// The pointer must come from [`Unparker::into_raw`], and each may be converted back only once.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Parker, Unparker};
    ///
    /// let parker = Parker::new();
    /// let raw = Unparker::into_raw(parker.unparker().clone());
    /// // SAFETY: the pointer comes from `into_raw` and is used once.
    /// let unparker = unsafe { Unparker::from_raw(raw) };
    /// unparker.unpark();
    /// parker.park();
    /// ```
    #[must_use]
    pub unsafe fn from_raw(ptr: *const ()) -> Unparker {
        Unparker {
            // SAFETY: by the contract.
            shared: unsafe { Arc::from_raw(ptr.cast()) },
        }
    }
}

impl Clone for Unparker {
    fn clone(&self) -> Unparker {
        Unparker {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Default for Parker {
    fn default() -> Parker {
        Parker::new()
    }
}

impl fmt::Debug for Parker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Parker { .. }")
    }
}

impl fmt::Debug for Unparker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Unparker { .. }")
    }
}
