//! Broadcast channels: every receiver gets every message.
//!
//! A receiver that falls behind by more than the capacity loses the oldest messages and gets an
//! error with their number. A sender never waits for a slow receiver.
//!
//! # Examples
//!
//! ```
//! use rustlet::sync::broadcast;
//!
//! rustlet::run(|| {
//!     let (sender, mut first) = broadcast::channel(16);
//!     let mut second = sender.subscribe();
//!     let listener = rustlet::spawn(move || second.recv());
//!     assert_eq!(sender.send("to all"), Ok(2));
//!     assert_eq!(first.recv(), Ok("to all"));
//!     assert_eq!(listener.join().unwrap(), Ok("to all"));
//! });
//! ```

// BC1. `ring` holds the messages with the numbers from `first` on. Each has the number of receivers
//      that have not seen it yet; messages at the front that all have seen are removed. So a
//      receiver whose next number is less than `first` has lost messages.
// BC2. Under the lock no user code (`Clone`, `Drop`) runs and no thread is woken.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::wait::spin::Spin;
use super::wait::wait_in_queue::{Ended, QueuePosition, wait_in_queue, wake_some};
use super::wait::wait_queue::WaitQueue;
use super::wait::waiting_thread::WaitingThread;
use crate::channel;
use crate::channel::wait_limit::{WaitLimit, yield_point};
use crate::green::budget::poll_budget_quietly;
use crate::green::park::unwind_if_cancelled;
use crate::green::{OnCancel, Reason, Unparker, Wait};

struct Shared<T> {
    capacity: usize,
    state: Spin<State<T>>,
}

struct State<T> {
    first: u64,
    ring: VecDeque<Entry<T>>,
    senders: usize,
    receivers: usize,
    waiting: WaitQueue<WaitingThread>,
    /// Waiters of a select.
    observers: channel::Observers,
}

struct Entry<T> {
    /// None: all receivers have seen it.
    message: Option<Arc<T>>,
    unseen: usize,
}

/// The position of a receiver.
struct Subscription<T> {
    shared: Arc<Shared<T>>,
    /// The number of its next message; changed by the receiver, under the lock.
    next: AtomicU64,
}

/// Sending side of a broadcast channel; clones send to the same receivers.
///
/// # Examples
///
/// ```
/// use rustlet::sync::broadcast;
///
/// let (sender, mut receiver) = broadcast::channel(4);
/// sender.clone().send(1).unwrap();
/// assert_eq!(receiver.recv(), Ok(1));
/// ```
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// Receiving side of a broadcast channel; gets every message sent after it was created.
///
/// # Cancellation
///
/// A green thread that is [cancelled](crate::Cancelled) while it receives unwinds; it has not
/// consumed a message.
///
/// # Examples
///
/// ```
/// use rustlet::sync::broadcast;
///
/// let (sender, mut early) = broadcast::channel(4);
/// sender.send(1).unwrap();
/// let mut late = sender.subscribe();
/// sender.send(2).unwrap();
/// assert_eq!((early.recv(), early.recv(), late.recv()), (Ok(1), Ok(2), Ok(2)));
/// ```
pub struct Receiver<T> {
    subscription: Arc<Subscription<T>>,
}

/// Error of [`Sender::send`]: there are no receivers. Holds the message.
///
/// # Examples
///
/// ```
/// use rustlet::sync::broadcast::{SendError, channel};
///
/// let (sender, receiver) = channel(4);
/// drop(receiver);
/// assert_eq!(sender.send("news"), Err(SendError("news")));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// Error of [`Receiver::recv`].
///
/// # Examples
///
/// ```
/// use rustlet::sync::broadcast::{RecvError, channel};
///
/// let (sender, mut receiver) = channel(1);
/// sender.send(1).unwrap();
/// sender.send(2).unwrap();
/// drop(sender);
/// // Message 1 had to make room for message 2.
/// assert_eq!(receiver.recv(), Err(RecvError::Lagged(1)));
/// assert_eq!(receiver.recv(), Ok(2));
/// assert_eq!(receiver.recv(), Err(RecvError::Closed));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// All senders were dropped and every message was received.
    Closed,
    /// The receiver was too slow and lost this many messages. The next call returns the oldest
    /// message that is left.
    Lagged(u64),
}

/// Error of [`Receiver::try_recv`].
///
/// # Examples
///
/// ```
/// use rustlet::sync::broadcast::{TryRecvError, channel};
///
/// let (sender, mut receiver) = channel::<u8>(4);
/// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
/// drop(sender);
/// assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// There is no message now.
    Empty,
    /// All senders were dropped and every message was received.
    Closed,
    /// The receiver was too slow and lost this many messages. The next call returns the oldest
    /// message that is left.
    Lagged(u64),
}

/// Error of [`Receiver::recv_timeout`] and [`Receiver::recv_deadline`].
///
/// # Examples
///
/// ```
/// use rustlet::sync::broadcast::{RecvTimeoutError, channel};
/// use std::time::Duration;
///
/// let (_sender, mut receiver) = channel::<u8>(4);
/// let result = receiver.recv_timeout(Duration::from_millis(1));
/// assert_eq!(result, Err(RecvTimeoutError::Timeout));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// The time limit passed before a message arrived.
    Timeout,
    /// All senders were dropped and every message was received.
    Closed,
    /// The receiver was too slow and lost this many messages. The next call returns the oldest
    /// message that is left.
    Lagged(u64),
}

/// Creates a broadcast channel that keeps the last `capacity` messages for receivers that have not
/// seen them.
///
/// # Panics
///
/// Panics if `capacity` is 0.
///
/// # Examples
///
/// ```
/// let (sender, mut receiver) = rustlet::sync::broadcast::channel(1);
/// sender.send("hello").unwrap();
/// assert_eq!(receiver.recv(), Ok("hello"));
/// ```
#[must_use]
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(capacity);
    let receiver = sender.subscribe();
    (sender, receiver)
}

impl<T> Shared<T> {
    /// Wakes all waiters, so that they check again. Each receiver waits in at most one place.
    fn notify(&self, receivers: usize) {
        let mut state = self.state.lock();
        let observers = state.observers.take();
        wake_some(&self.state, state, |state| &mut state.waiting, receivers);
        channel::wake(observers);
    }
}

impl<T> State<T> {
    fn next_number(&self) -> u64 {
        self.first + self.ring.len() as u64
    }

    /// Removes the messages at the front that all receivers have seen; the caller drops them
    /// without the lock.
    fn forget_seen(&mut self) {
        while self.ring.front().is_some_and(|entry| entry.unseen == 0) {
            // The last receiver that saw it has taken its message.
            let seen = self.ring.pop_front();
            debug_assert!(seen.is_some_and(|entry| entry.message.is_none()));
            self.first += 1;
        }
    }

    /// Returns the message number `next` and advances `next`.
    fn take(&mut self, next: &AtomicU64) -> Result<Arc<T>, TryRecvError> {
        let at = next.load(Ordering::Relaxed);
        if at < self.first {
            next.store(self.first, Ordering::Relaxed);
            return Err(TryRecvError::Lagged(self.first - at));
        }
        let place = usize::try_from(at - self.first).unwrap_or(usize::MAX);
        let Some(entry) = self.ring.get_mut(place) else {
            return Err(match self.senders {
                0 => TryRecvError::Closed,
                _ => TryRecvError::Empty,
            });
        };
        entry.unseen -= 1;
        let message = if entry.unseen == 0 {
            entry.message.take()
        } else {
            entry.message.clone()
        };
        next.store(at + 1, Ordering::Relaxed);
        self.forget_seen();
        Ok(message.expect("a message stays until every receiver has seen it"))
    }
}

impl<T> Sender<T> {
    /// Creates a broadcast channel without receivers, with room for `capacity` messages.
    ///
    /// # Panics
    ///
    /// Panics if `capacity` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::broadcast;
    ///
    /// let sender = broadcast::Sender::new(1);
    /// assert!(sender.send(1).is_err());
    /// let mut receiver = sender.subscribe();
    /// sender.send(2).unwrap();
    /// assert_eq!(receiver.recv(), Ok(2));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new(capacity: usize) -> Sender<T> {
        assert!(
            capacity > 0,
            "the capacity of a broadcast channel must be at least 1"
        );
        let state = State {
            first: 0,
            ring: VecDeque::new(),
            senders: 1,
            receivers: 0,
            waiting: WaitQueue::new(),
            observers: channel::Observers::new(),
        };
        let shared = Shared {
            capacity,
            state: Spin::new(state),
        };
        Sender {
            shared: Arc::new(shared),
        }
    }

    /// Sends a message to all current receivers and returns their number. Never waits: a receiver
    /// that has not yet seen the oldest of `capacity` messages loses it.
    ///
    /// # Errors
    ///
    /// Returns the message in [`SendError`] if there are no receivers. A later call may succeed,
    /// because [`subscribe`](Sender::subscribe) can add a receiver.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::broadcast::channel(1);
    /// assert_eq!(sender.send(1), Ok(1));
    /// drop(receiver);
    /// assert_eq!(sender.send(2).unwrap_err().0, 2);
    /// ```
    #[track_caller]
    pub fn send(&self, message: T) -> Result<usize, SendError<T>> {
        yield_point(Location::caller());
        let message = Arc::new(message);
        let mut state = self.shared.state.lock();
        let receivers = state.receivers;
        if receivers == 0 {
            drop(state);
            return Err(SendError(own(message, |_| {
                unreachable!("no receiver has seen it")
            })));
        }
        let lost = if state.ring.len() == self.shared.capacity {
            state.first += 1;
            state.ring.pop_front()
        } else {
            None
        };
        state.ring.push_back(Entry {
            message: Some(message),
            unseen: receivers,
        });
        // After a loss, the message that is now at the front may have been seen by all.
        state.forget_seen();
        let waited_for = !state.waiting.is_empty() || !state.observers.is_empty();
        drop(state);
        if waited_for {
            self.shared.notify(receivers);
        }
        drop(lost);
        Ok(receivers)
    }

    /// Creates a receiver of the messages that are sent from now on.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::broadcast::{self, TryRecvError};
    ///
    /// let (sender, _first) = broadcast::channel(4);
    /// sender.send("before").unwrap();
    /// let mut second = sender.subscribe();
    /// assert_eq!(second.try_recv(), Err(TryRecvError::Empty));
    /// ```
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        subscribe(&self.shared)
    }

    /// Returns the number of receivers.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::broadcast::channel::<()>(1);
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

    /// Returns the number of messages that at least one receiver has not seen yet.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, mut receiver) = rustlet::sync::broadcast::channel(4);
    /// sender.send(1).unwrap();
    /// assert_eq!(sender.len(), 1);
    /// receiver.recv().unwrap();
    /// assert_eq!(sender.len(), 0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn len(&self) -> usize {
        poll_budget_quietly(Location::caller());
        self.shared.state.lock().ring.len()
    }

    /// Returns `true` if every receiver has seen every message.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, _receiver) = rustlet::sync::broadcast::channel(4);
    /// assert!(sender.is_empty());
    /// sender.send(1).unwrap();
    /// assert!(!sender.is_empty());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns `true` if both send to the same channel.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, _receiver) = rustlet::sync::broadcast::channel::<()>(4);
    /// assert!(sender.same_channel(&sender.clone()));
    /// ```
    #[must_use]
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

fn subscribe<T>(shared: &Arc<Shared<T>>) -> Receiver<T> {
    let mut state = shared.state.lock();
    state.receivers += 1;
    let next = AtomicU64::new(state.next_number());
    drop(state);
    let subscription = Subscription {
        shared: Arc::clone(shared),
        next,
    };
    Receiver {
        subscription: Arc::new(subscription),
    }
}

/// Returns the value itself if this is the last reference, else what `copy` returns.
fn own<T>(value: Arc<T>, copy: impl FnOnce(&T) -> T) -> T {
    Arc::try_unwrap(value).unwrap_or_else(|shared| copy(&shared))
}

impl<T> Receiver<T> {
    /// Returns the number of messages that this receiver can still get; lost ones are not counted.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::broadcast::channel(2);
    /// for n in 0..3 {
    ///     sender.send(n).unwrap();
    /// }
    /// assert_eq!(receiver.len(), 2);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn len(&self) -> usize {
        poll_budget_quietly(Location::caller());
        let state = self.subscription.shared.state.lock();
        let next = self
            .subscription
            .next
            .load(Ordering::Relaxed)
            .max(state.first);
        usize::try_from(state.next_number() - next).unwrap_or(usize::MAX)
    }

    /// Returns `true` if no message waits for this receiver.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::broadcast::channel(2);
    /// assert!(receiver.is_empty());
    /// sender.send(1).unwrap();
    /// assert!(!receiver.is_empty());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Creates another receiver of the same channel, for messages that are sent from now on.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, first) = rustlet::sync::broadcast::channel(2);
    /// let mut second = first.resubscribe();
    /// sender.send(1).unwrap();
    /// assert_eq!(second.recv(), Ok(1));
    /// ```
    #[must_use]
    pub fn resubscribe(&self) -> Receiver<T> {
        subscribe(&self.subscription.shared)
    }

    /// Returns `true` if both receive from the same channel.
    ///
    /// # Examples
    ///
    /// ```
    /// let (_sender, receiver) = rustlet::sync::broadcast::channel::<()>(2);
    /// assert!(receiver.same_channel(&receiver.resubscribe()));
    /// ```
    #[must_use]
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Arc::ptr_eq(&self.subscription.shared, &other.subscription.shared)
    }

    /// Returns a receiver for `select!` that is ready whenever [`try_recv`](Receiver::try_recv)
    /// returns something other than `Empty`: a message, a loss, or the end. It takes no message
    /// out.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{never, select};
    /// use rustlet::sync::broadcast;
    ///
    /// let (sender, mut events) = broadcast::channel(4);
    /// sender.send("news").unwrap();
    /// select! {
    ///     recv(events.receiver()) -> _ => assert_eq!(events.try_recv(), Ok("news")),
    ///     recv(never::<()>()) -> _ => unreachable!(),
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
}

impl<T: Clone> Receiver<T> {
    /// Returns the next message if there is one.
    ///
    /// # Errors
    ///
    /// See [`TryRecvError`].
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::broadcast::{self, TryRecvError};
    ///
    /// let (sender, mut receiver) = broadcast::channel(1);
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// sender.send(1).unwrap();
    /// sender.send(2).unwrap();
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Lagged(1)));
    /// assert_eq!(receiver.try_recv(), Ok(2));
    /// ```
    #[track_caller]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        yield_point(Location::caller());
        let taken = self
            .subscription
            .shared
            .state
            .lock()
            .take(&self.subscription.next);
        taken.map(|message| own(message, T::clone))
    }

    /// Waits for the next message and returns it.
    ///
    /// # Errors
    ///
    /// Returns an error if the channel is closed or messages were lost; see [`RecvError`].
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until a message arrives or the last sender is dropped;
    /// blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; no message has been taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::broadcast::{self, RecvError};
    ///
    /// let (sender, mut receiver) = broadcast::channel(1);
    /// sender.send(1).unwrap();
    /// drop(sender);
    /// assert_eq!(receiver.recv(), Ok(1));
    /// assert_eq!(receiver.recv(), Err(RecvError::Closed));
    /// ```
    #[track_caller]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        match self.wait(WaitLimit::Never, Location::caller()) {
            Ok(message) => Ok(message),
            Err(RecvTimeoutError::Lagged(lost)) => Err(RecvError::Lagged(lost)),
            Err(RecvTimeoutError::Closed | RecvTimeoutError::Timeout) => Err(RecvError::Closed),
        }
    }

    /// Waits for the next message, for at most `timeout`; otherwise like [`recv`](Receiver::recv).
    ///
    /// # Errors
    ///
    /// See [`RecvTimeoutError`].
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::broadcast::{self, RecvTimeoutError};
    /// use std::time::Duration;
    ///
    /// let (_sender, mut receiver) = broadcast::channel::<()>(1);
    /// let late = receiver.recv_timeout(Duration::from_millis(1));
    /// assert_eq!(late, Err(RecvTimeoutError::Timeout));
    /// ```
    #[track_caller]
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.wait(WaitLimit::For(timeout), Location::caller())
    }

    /// Waits for the next message, until `deadline` at the latest; otherwise like
    /// [`recv`](Receiver::recv).
    ///
    /// # Errors
    ///
    /// See [`RecvTimeoutError`].
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::broadcast::{self, RecvTimeoutError};
    /// use std::time::Instant;
    ///
    /// let (_sender, mut receiver) = broadcast::channel::<()>(1);
    /// let late = receiver.recv_deadline(Instant::now());
    /// assert_eq!(late, Err(RecvTimeoutError::Timeout));
    /// ```
    #[track_caller]
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.wait(WaitLimit::Until(deadline), Location::caller())
    }

    fn wait(
        &mut self,
        limit: WaitLimit,
        at: &'static Location<'static>,
    ) -> Result<T, RecvTimeoutError> {
        yield_point(at);
        let spin = &self.subscription.shared.state;
        let mut wait = None;
        loop {
            let mut state = spin.lock();
            match state.take(&self.subscription.next) {
                Ok(message) => {
                    drop(state);
                    return Ok(own(message, T::clone));
                }
                Err(TryRecvError::Closed) => return Err(RecvTimeoutError::Closed),
                Err(TryRecvError::Lagged(lost)) => return Err(RecvTimeoutError::Lagged(lost)),
                Err(TryRecvError::Empty) => {}
            }
            let wait = wait.get_or_insert_with(|| {
                Wait::at(Reason::Receive, at)
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
                Ended::Elapsed => return Err(RecvTimeoutError::Timeout),
                Ended::Cancelled => unwind_if_cancelled(),
            }
        }
    }
}

impl<T: Send + Sync> channel::LevelSource for Subscription<T> {
    fn is_ready(&self) -> bool {
        let state = self.shared.state.lock();
        self.next.load(Ordering::Relaxed) < state.next_number() || state.senders == 0
    }

    fn arm(&self, waiter: Unparker) -> channel::Key {
        self.shared.state.lock().observers.add(waiter)
    }

    fn disarm(&self, key: channel::Key) {
        let gone = self.shared.state.lock().observers.remove(key);
        drop(gone);
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
        let (last, receivers) = (state.senders == 0, state.receivers);
        drop(state);
        if last {
            self.shared.notify(receivers);
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.subscription.shared.state.lock();
        state.receivers -= 1;
        let next = self
            .subscription
            .next
            .load(Ordering::Relaxed)
            .max(state.first);
        let from = usize::try_from(next - state.first).unwrap_or(usize::MAX);
        let mut gone = Vec::new();
        for entry in state.ring.iter_mut().skip(from) {
            entry.unseen -= 1;
            if entry.unseen == 0 {
                gone.extend(entry.message.take());
            }
        }
        state.forget_seen();
        drop(state);
        // BC2.
        drop(gone);
    }
}

impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("broadcast::Sender")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("broadcast::Receiver")
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

impl<T> Error for SendError<T> {}

const CLOSED: &str = "all senders were dropped";

fn lagged(f: &mut fmt::Formatter<'_>, lost: u64) -> fmt::Result {
    write!(f, "the receiver was too slow and lost {lost} messages")
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RecvError::Closed => f.pad(CLOSED),
            RecvError::Lagged(lost) => lagged(f, lost),
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            TryRecvError::Empty => f.pad("the channel is empty"),
            TryRecvError::Closed => f.pad(CLOSED),
            TryRecvError::Lagged(lost) => lagged(f, lost),
        }
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RecvTimeoutError::Timeout => f.pad("timed out waiting for a message"),
            RecvTimeoutError::Closed => f.pad(CLOSED),
            RecvTimeoutError::Lagged(lost) => lagged(f, lost),
        }
    }
}

impl Error for RecvError {}
impl Error for TryRecvError {}
impl Error for RecvTimeoutError {}
