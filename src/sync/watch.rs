//! Watch channels: one value that changes, and receivers that see the newest one.
//!
//! The names are tokio's. A receiver waits until the value has changed and reads the newest one, so
//! it may miss values in between. To receive every value, use [`broadcast`](super::broadcast) or a
//! [channel](mod@crate::channel).
//!
//! # Examples
//!
//! ```
//! use rustlet::sync::watch;
//!
//! rustlet::run(|| {
//!     let (settings, mut changes) = watch::channel("debug");
//!     let logger = rustlet::spawn(move || {
//!         let mut seen = vec![*changes.borrow_and_update()];
//!         while changes.changed().is_ok() {
//!             seen.push(*changes.borrow_and_update());
//!         }
//!         seen
//!     });
//!     settings.send("warn").unwrap();
//!     drop(settings);
//!     assert_eq!(logger.join().unwrap().last(), Some(&"warn"));
//! });
//! ```

// WA1. `version` is changed under the write lock of the value. So a version that is read under a
//      read lock is that of the value.
// WA2. The spin lock is taken with the lock of the value held, never the other way round, and no
//      user code (`Clone`, `Drop`, closures) runs and no thread is woken under it.

use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::lock::rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use super::wait::spin::Spin;
use super::wait::wait_in_queue::{Ended, QueuePosition, wait_in_queue, wait_until, wake_some};
use super::wait::wait_queue::WaitQueue;
use super::wait::waiting_thread::WaitingThread;
use crate::channel;
use crate::channel::wait_limit::{WaitLimit, yield_point};
use crate::green::budget::poll_budget_quietly;
use crate::green::park::unwind_if_cancelled;
use crate::green::{OnCancel, Reason, Unparker, Wait};

struct Shared<T> {
    value: RwLock<T>,
    state: Spin<State>,
}

struct State {
    version: u64,
    senders: usize,
    receivers: usize,
    /// Receivers in `changed`.
    waiting: WaitQueue<WaitingThread>,
    /// Senders in `closed`.
    closing: WaitQueue<WaitingThread>,
    /// Waiters of a select.
    observers: channel::Observers,
}

/// The part of a receiver that `select!` may share: which value it has seen.
struct Subscription<T> {
    shared: Arc<Shared<T>>,
    /// The version that was seen last. Only the receiver changes it.
    seen: AtomicU64,
}

/// Sending side of a watch channel. Clones set the same value.
///
/// # Examples
///
/// ```
/// use rustlet::sync::watch;
///
/// let (sender, receiver) = watch::channel(1);
/// sender.clone().send(2).unwrap();
/// assert_eq!(*receiver.borrow(), 2);
/// ```
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// Receiving side of a watch channel. Each receiver remembers which value it has seen; a clone
/// begins with the state of the original.
///
/// # Cancellation
///
/// A green thread that is [cancelled](crate::Cancelled) while it waits unwinds; the value still
/// counts as not seen.
///
/// # Examples
///
/// ```
/// use rustlet::sync::watch;
///
/// let (sender, mut receiver) = watch::channel(1);
/// sender.send(2).unwrap();
/// assert_eq!(receiver.changed(), Ok(()));
/// assert_eq!(*receiver.borrow(), 2);
/// ```
pub struct Receiver<T> {
    subscription: Arc<Subscription<T>>,
}

/// Borrow of the value of a watch channel. It holds a read lock, so senders wait until it is
/// dropped.
///
/// A thread that holds a `Ref` and borrows again may wait forever, if a sender began to wait in
/// between, as with [`RwLock`].
///
/// It cannot be sent to another thread:
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// send(rustlet::sync::watch::channel(0).1.borrow());
/// ```
///
/// # Examples
///
/// ```
/// let (_sender, receiver) = rustlet::sync::watch::channel(String::from("on"));
/// let value: rustlet::sync::watch::Ref<'_, String> = receiver.borrow();
/// assert_eq!(&*value, "on");
/// ```
#[must_use = "if unused the value is released at once"]
pub struct Ref<'a, T> {
    value: RwLockReadGuard<'a, T>,
    has_changed: bool,
}

/// Error of [`Sender::send`]: there are no receivers. Holds the value.
///
/// # Examples
///
/// ```
/// let (sender, receiver) = rustlet::sync::watch::channel(1);
/// drop(receiver);
/// assert_eq!(sender.send(2).unwrap_err().0, 2);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// Error of [`Receiver::changed`] and its variants: all senders were dropped.
///
/// # Examples
///
/// ```
/// use rustlet::sync::watch::{self, RecvError};
///
/// let (sender, mut receiver) = watch::channel(1);
/// drop(sender);
/// assert_eq!(receiver.changed(), Err(RecvError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError;

/// Creates a watch channel whose first value is `init`. The receiver counts it as seen.
///
/// # Examples
///
/// ```
/// let (sender, receiver) = rustlet::sync::watch::channel(1);
/// assert_eq!(receiver.has_changed(), Ok(false));
/// sender.send(2).unwrap();
/// assert_eq!(receiver.has_changed(), Ok(true));
/// ```
#[must_use]
pub fn channel<T>(init: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(init);
    let receiver = sender.subscribe();
    (sender, receiver)
}

impl<T> Shared<T> {
    #[track_caller]
    fn read(&self) -> RwLockReadGuard<'_, T> {
        self.value.read().unwrap_or_else(PoisonError::into_inner)
    }

    #[track_caller]
    fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.value.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes all waiting receivers, so that they check again. Each of them has at most one waiter
    /// in the queue.
    fn wake_receivers(&self) {
        let mut state = self.state.lock();
        let observers = state.observers.take();
        let most = state.receivers;
        wake_some(&self.state, state, |state| &mut state.waiting, most);
        channel::wake(observers);
    }
}

impl<T> Sender<T> {
    /// Creates a watch channel whose first value is `init`, without receivers.
    ///
    /// # Examples
    ///
    /// ```
    /// let sender = rustlet::sync::watch::Sender::new(1);
    /// assert!(sender.send(2).is_err());
    /// assert_eq!(*sender.subscribe().borrow(), 1);
    /// ```
    #[must_use]
    pub fn new(init: T) -> Sender<T> {
        Sender {
            shared: Arc::new(Shared {
                value: RwLock::new(init),
                state: Spin::new(State {
                    version: 0,
                    senders: 1,
                    receivers: 0,
                    waiting: WaitQueue::new(),
                    closing: WaitQueue::new(),
                    observers: channel::Observers::new(),
                }),
            }),
        }
    }

    /// Sets the value and wakes the receivers.
    ///
    /// # Errors
    ///
    /// Returns the value in [`SendError`] if there are no receivers; the channel keeps its old
    /// value. [`send_replace`](Sender::send_replace) sets the value even then.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread while a [`Ref`] exists or another sender changes the
    /// value. On an OS thread it blocks.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds. The channel keeps its old value, and the new one is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::watch::channel(1);
    /// sender.send(2).unwrap();
    /// drop(receiver);
    /// assert_eq!(sender.send(3).unwrap_err().0, 3);
    /// ```
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.receiver_count() == 0 {
            return Err(SendError(value));
        }
        drop(self.send_replace(value));
        Ok(())
    }

    /// Sets the value and returns the old one, even if there are no receivers. Otherwise like
    /// [`send`](Sender::send).
    ///
    /// # Examples
    ///
    /// ```
    /// let sender = rustlet::sync::watch::Sender::new(1);
    /// assert_eq!(sender.send_replace(2), 1);
    /// assert_eq!(*sender.borrow(), 2);
    /// ```
    #[track_caller]
    pub fn send_replace(&self, mut value: T) -> T {
        self.send_modify(|old| std::mem::swap(old, &mut value));
        value
    }

    /// Changes the value in place and wakes the receivers, even if there are no receivers.
    /// Otherwise like [`send`](Sender::send).
    ///
    /// # Panics
    ///
    /// Propagates a panic of `modify`. The value then stays as `modify` has left it, and the
    /// receivers are not woken.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::watch::channel(vec![1]);
    /// sender.send_modify(|list| list.push(2));
    /// assert_eq!(*receiver.borrow(), [1, 2]);
    /// ```
    #[track_caller]
    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    /// Calls `modify` with the value, wakes the receivers if it returns `true`, and returns its
    /// result. Otherwise like [`send_modify`](Sender::send_modify).
    ///
    /// # Panics
    ///
    /// Propagates a panic of `modify`. The value then stays as `modify` has left it, and the
    /// receivers are not woken.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::watch::channel(1);
    /// let grew = |new: u32| sender.send_if_modified(|value| {
    ///     let grows = new > *value;
    ///     *value = new.max(*value);
    ///     grows
    /// });
    /// assert!(!grew(1));
    /// assert_eq!(receiver.has_changed(), Ok(false));
    /// assert!(grew(2));
    /// assert_eq!(receiver.has_changed(), Ok(true));
    /// ```
    #[track_caller]
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let mut value = self.shared.write();
        let is_modified = modify(&mut value);
        if is_modified {
            // WA1.
            self.shared.state.lock().version += 1;
        }
        drop(value);
        if is_modified {
            self.shared.wake_receivers();
        }
        is_modified
    }

    /// Borrows the value.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread while a sender changes the value or waits to change it. On
    /// an OS thread it blocks.
    ///
    /// # Examples
    ///
    /// ```
    /// let sender = rustlet::sync::watch::Sender::new(1);
    /// assert_eq!(*sender.borrow(), 1);
    /// ```
    #[track_caller]
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref {
            value: self.shared.read(),
            has_changed: false,
        }
    }

    /// Creates a receiver that counts the current value as seen.
    ///
    /// # Examples
    ///
    /// ```
    /// let sender = rustlet::sync::watch::Sender::new(1);
    /// let receiver = sender.subscribe();
    /// assert_eq!(receiver.has_changed(), Ok(false));
    /// ```
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        let mut state = self.shared.state.lock();
        state.receivers += 1;
        let seen = state.version;
        drop(state);
        Receiver::new(&self.shared, seen)
    }

    /// Returns the number of receivers.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::watch::channel(1);
    /// assert_eq!(sender.receiver_count(), 1);
    /// drop(receiver);
    /// assert_eq!(sender.receiver_count(), 0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn receiver_count(&self) -> usize {
        poll_budget_quietly(Location::caller());
        self.shared.state.lock().receivers
    }

    /// Returns `true` if there are no receivers.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::watch::channel(1);
    /// assert!(!sender.is_closed());
    /// drop(receiver);
    /// assert!(sender.is_closed());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// Waits until there are no receivers.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then. On an OS thread it blocks.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds. The channel does not change.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let (sender, receiver) = rustlet::sync::watch::channel(1);
    ///     rustlet::spawn(move || drop(receiver));
    ///     sender.closed();
    /// });
    /// ```
    #[track_caller]
    pub fn closed(&self) {
        let at = Location::caller();
        yield_point(at);
        let wait = Wait::at(Reason::Watch, at).on_cancel(OnCancel::Defer);
        let is_met = |state: &State| state.receivers == 0;
        wait_until(
            &self.shared.state,
            |state| &mut state.closing,
            &wait,
            is_met,
        );
    }

    /// Returns `true` if both senders belong to the same channel.
    ///
    /// # Examples
    ///
    /// ```
    /// let sender = rustlet::sync::watch::Sender::new(1);
    /// assert!(sender.same_channel(&sender.clone()));
    /// ```
    #[must_use]
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Receiver<T> {
    fn new(shared: &Arc<Shared<T>>, seen: u64) -> Receiver<T> {
        Receiver {
            subscription: Arc::new(Subscription {
                shared: Arc::clone(shared),
                seen: AtomicU64::new(seen),
            }),
        }
    }

    fn seen(&self) -> u64 {
        self.subscription.seen.load(Ordering::Relaxed)
    }

    fn set_seen(&self, version: u64) {
        self.subscription.seen.store(version, Ordering::Relaxed);
    }

    /// Borrows the newest value, without marking it as seen.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread while a sender changes the value or waits to change it. On
    /// an OS thread it blocks.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::watch::channel(1);
    /// sender.send(2).unwrap();
    /// assert_eq!(*receiver.borrow(), 2);
    /// assert_eq!(receiver.has_changed(), Ok(true));
    /// ```
    #[track_caller]
    pub fn borrow(&self) -> Ref<'_, T> {
        let value = self.subscription.shared.read();
        // WA1.
        let version = self.subscription.shared.state.lock().version;
        Ref {
            value,
            has_changed: version != self.seen(),
        }
    }

    /// Borrows the newest value and marks it as seen. Otherwise like [`borrow`](Receiver::borrow).
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, mut receiver) = rustlet::sync::watch::channel(1);
    /// sender.send(2).unwrap();
    /// assert_eq!(*receiver.borrow_and_update(), 2);
    /// assert_eq!(receiver.has_changed(), Ok(false));
    /// ```
    #[track_caller]
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.subscription.shared.read();
        // WA1.
        let version = self.subscription.shared.state.lock().version;
        let has_changed = version != self.seen();
        self.set_seen(version);
        Ref { value, has_changed }
    }

    /// Returns `true` if the newest value has not been seen. Does not wait.
    ///
    /// # Errors
    ///
    /// Returns an error if all senders were dropped, as in tokio.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::watch::channel(1);
    /// assert_eq!(receiver.has_changed(), Ok(false));
    /// drop(sender);
    /// assert!(receiver.has_changed().is_err());
    /// ```
    #[track_caller]
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        poll_budget_quietly(Location::caller());
        let state = self.subscription.shared.state.lock();
        match state.senders {
            0 => Err(RecvError),
            _ => Ok(state.version != self.seen()),
        }
    }

    /// Marks the current value as not seen.
    ///
    /// # Examples
    ///
    /// ```
    /// let (_sender, mut receiver) = rustlet::sync::watch::channel(1);
    /// receiver.mark_changed();
    /// assert_eq!(receiver.changed(), Ok(()));
    /// ```
    #[track_caller]
    pub fn mark_changed(&mut self) {
        poll_budget_quietly(Location::caller());
        let version = self.subscription.shared.state.lock().version;
        self.set_seen(version.wrapping_sub(1));
    }

    /// Marks the current value as seen.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, mut receiver) = rustlet::sync::watch::channel(1);
    /// sender.send(2).unwrap();
    /// receiver.mark_unchanged();
    /// assert_eq!(receiver.has_changed(), Ok(false));
    /// ```
    #[track_caller]
    pub fn mark_unchanged(&mut self) {
        poll_budget_quietly(Location::caller());
        let version = self.subscription.shared.state.lock().version;
        self.set_seen(version);
    }

    /// Waits until there is a value that has not been seen, and marks it as seen. Returns at once
    /// if there is one already.
    ///
    /// # Errors
    ///
    /// Returns an error if all senders were dropped and their last value was seen.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then. On an OS thread it blocks.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; the value still counts as not seen.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, mut receiver) = rustlet::sync::watch::channel(1);
    /// sender.send(2).unwrap();
    /// drop(sender);
    /// assert!(receiver.changed().is_ok());
    /// assert!(receiver.changed().is_err());
    /// ```
    #[track_caller]
    pub fn changed(&mut self) -> Result<(), RecvError> {
        // Without a limit, so it is not elapsed.
        self.wait(WaitLimit::Never, Location::caller()).map(drop)
    }

    /// Waits like [`changed`](Receiver::changed), for at most `timeout`. Returns `true` if there
    /// was a new value, and `false` if the time has passed.
    ///
    /// # Errors
    ///
    /// As [`changed`](Receiver::changed).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let (sender, mut receiver) = rustlet::sync::watch::channel(1);
    /// assert_eq!(receiver.changed_timeout(Duration::from_millis(1)), Ok(false));
    /// sender.send(2).unwrap();
    /// assert_eq!(receiver.changed_timeout(Duration::ZERO), Ok(true));
    /// ```
    #[track_caller]
    pub fn changed_timeout(&mut self, timeout: Duration) -> Result<bool, RecvError> {
        self.wait(WaitLimit::For(timeout), Location::caller())
    }

    /// Waits until `is_wanted` returns `true` for the value, beginning with the current one, and
    /// borrows it. Every value that was passed to `is_wanted` counts as seen. Otherwise like
    /// [`changed`](Receiver::changed).
    ///
    /// `is_wanted` is called under the read lock of the value and must not send to this channel.
    ///
    /// # Errors
    ///
    /// Returns an error if all senders were dropped and their last value was not wanted.
    ///
    /// # Panics
    ///
    /// Propagates a panic of `is_wanted`.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let (sender, mut receiver) = rustlet::sync::watch::channel(0);
    ///     let waiter = rustlet::spawn(move || *receiver.wait_for(|&n| n >= 3).unwrap());
    ///     for n in 1..=3 {
    ///         sender.send_replace(n);
    ///     }
    ///     assert_eq!(waiter.join().unwrap(), 3);
    /// });
    /// ```
    #[track_caller]
    pub fn wait_for(
        &mut self,
        mut is_wanted: impl FnMut(&T) -> bool,
    ) -> Result<Ref<'_, T>, RecvError> {
        let at = Location::caller();
        let mut is_first = true;
        loop {
            if !is_first {
                self.wait(WaitLimit::Never, at)?;
            }
            let value = self.subscription.shared.read();
            // WA1.
            let version = self.subscription.shared.state.lock().version;
            let has_changed = version != self.seen() || !is_first;
            self.set_seen(version);
            if is_wanted(&value) {
                return Ok(Ref { value, has_changed });
            }
            is_first = false;
        }
    }

    /// Returns a receiver for [`select!`](crate::channel::select) that is ready while
    /// [`changed`](Receiver::changed) would not wait. Receiving from it does not mark the value as
    /// seen.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{after, select};
    /// use std::time::Duration;
    ///
    /// let (sender, mut settings) = rustlet::sync::watch::channel(1);
    /// sender.send(2).unwrap();
    /// select! {
    ///     recv(settings.receiver()) -> _ => assert_eq!(*settings.borrow_and_update(), 2),
    ///     recv(after(Duration::from_secs(60))) -> _ => panic!("it takes too long"),
    /// }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn receiver(&self) -> channel::Receiver<()>
    where
        T: Send + Sync + 'static,
    {
        poll_budget_quietly(Location::caller());
        channel::source(Arc::clone(&self.subscription) as Arc<dyn channel::LevelSource>)
    }

    /// Returns `true` if both receivers belong to the same channel.
    ///
    /// # Examples
    ///
    /// ```
    /// let (_sender, receiver) = rustlet::sync::watch::channel(1);
    /// assert!(receiver.same_channel(&receiver.clone()));
    /// ```
    #[must_use]
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Arc::ptr_eq(&self.subscription.shared, &other.subscription.shared)
    }

    /// Waits for a value that was not seen, and marks it as seen. Returns `false` if the time has
    /// passed.
    fn wait(&self, limit: WaitLimit, at: &'static Location<'static>) -> Result<bool, RecvError> {
        yield_point(at);
        let spin = &self.subscription.shared.state;
        let mut wait = None;
        loop {
            let state = spin.lock();
            if state.version != self.seen() {
                self.set_seen(state.version);
                return Ok(true);
            }
            if state.senders == 0 {
                return Err(RecvError);
            }
            let wait = wait.get_or_insert_with(|| {
                Wait::at(Reason::Watch, at)
                    .until(limit.tick())
                    .on_cancel(OnCancel::Defer)
            });
            match wait_in_queue(
                spin,
                state,
                |state| &mut state.waiting,
                &QueuePosition::BACK,
                wait,
                || {},
                |_| {},
            ) {
                Ended::Dequeued => {}
                Ended::Elapsed => return Ok(false),
                Ended::Cancelled => unwind_if_cancelled(),
            }
        }
    }
}

impl<T: Send + Sync> channel::LevelSource for Subscription<T> {
    fn is_ready(&self) -> bool {
        let state = self.shared.state.lock();
        state.version != self.seen.load(Ordering::Relaxed) || state.senders == 0
    }

    fn arm(&self, waiter: Unparker) -> channel::Key {
        self.shared.state.lock().observers.add(waiter)
    }

    fn disarm(&self, key: channel::Key) {
        let gone = self.shared.state.lock().observers.remove(key);
        drop(gone);
    }
}

impl<T> Ref<'_, T> {
    /// Returns `true` if the receiver had not seen the value before it borrowed it. Always `false`
    /// for [`Sender::borrow`].
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, mut receiver) = rustlet::sync::watch::channel(1);
    /// sender.send(2).unwrap();
    /// assert!(receiver.borrow_and_update().has_changed());
    /// assert!(!receiver.borrow_and_update().has_changed());
    /// ```
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.state.lock().senders += 1;
        Sender {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.senders -= 1;
        let is_last = state.senders == 0;
        drop(state);
        if is_last {
            self.shared.wake_receivers();
        }
    }
}

impl<T: Default> Default for Sender<T> {
    fn default() -> Sender<T> {
        Sender::new(T::default())
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.subscription.shared.state.lock().receivers += 1;
        Receiver::new(&self.subscription.shared, self.seen())
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let shared = &self.subscription.shared;
        let mut state = shared.state.lock();
        state.receivers -= 1;
        if state.receivers == 0 {
            let most = state.closing.count();
            wake_some(&shared.state, state, |state| &mut state.closing, most);
        }
    }
}

impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("watch::Sender")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("watch::Receiver")
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("the channel has no receivers")
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("all senders were dropped")
    }
}

impl<T> Error for SendError<T> {}
impl Error for RecvError {}
