//! A channel whose messages go to all receivers. A receiver that falls behind by more than the capacity loses the oldest messages, and
//! is told how many: nothing is lost in silence, and no sender waits for a slow receiver.
//!
//! BC1. `ring` holds the messages with the numbers from `first` on. Each knows how many receivers have yet to see it; those at the
//!      front that all have seen are taken out. So a receiver whose next number is less than `first` has lost messages.
//! BC2. No code of the user's (`Clone`, `Drop`) runs under the lock, and nobody is woken.
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

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::wait::line::Line;
use super::wait::spin::Spin;
use super::wait::stand::{Ended, Place, stand, wake_some};
use super::wait::waiting::Thread;
use crate::channel;
use crate::channel::limit::{Limit, give_way};
use crate::green::budget::spend_quietly;
use crate::green::park::raise_if_cancelled;
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
    waiting: Line<Thread>,
    /// Those who wait in a select.
    asking: channel::Waiters,
}

struct Entry<T> {
    /// None: all have seen it.
    message: Option<Arc<T>>,
    unseen: usize,
}

/// Where a receiver is.
struct Seat<T> {
    shared: Arc<Shared<T>>,
    /// The number of its next message; changed by the receiver, under the lock.
    next: AtomicU64,
}

/// Sends to all receivers. Clones send to the same.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// Receives all messages that are sent from its making on.
pub struct Receiver<T> {
    seat: Arc<Seat<T>>,
}

/// Nobody receives. The message comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// Why [`Receiver::recv`] gives no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// All senders are gone, and there are no more messages.
    Closed,
    /// The receiver was too slow: so many messages are lost. The next call gives the oldest that is left.
    Lagged(u64),
}

/// Why [`Receiver::try_recv`] gives no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// There is none now.
    Empty,
    /// All senders are gone, and there are no more messages.
    Closed,
    /// The receiver was too slow: so many messages are lost. The next call gives the oldest that is left.
    Lagged(u64),
}

/// Why [`Receiver::recv_timeout`] gives no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// None came in time.
    Timeout,
    /// All senders are gone, and there are no more messages.
    Closed,
    /// The receiver was too slow: so many messages are lost. The next call gives the oldest that is left.
    Lagged(u64),
}

/// A channel that keeps the last `capacity` messages for those who have not seen them.
///
/// # Panics
///
/// The capacity is 0.
#[must_use]
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(capacity);
    let receiver = sender.subscribe();
    (sender, receiver)
}

impl<T> Shared<T> {
    /// Tells all who wait that they had better look. Each receiver waits in one place at most.
    fn tell(&self, receivers: usize) {
        let mut state = self.state.lock();
        let asking = state.asking.take();
        wake_some(&self.state, state, |state| &mut state.waiting, receivers);
        channel::wake(asking);
    }
}

impl<T> State<T> {
    fn end(&self) -> u64 {
        self.first + self.ring.len() as u64
    }

    /// Takes out what all have seen, at the front; it is to be dropped under no lock.
    fn forget_seen(&mut self) {
        while self.ring.front().is_some_and(|entry| entry.unseen == 0) {
            // Its message was taken out by the last who saw it.
            let seen = self.ring.pop_front();
            debug_assert!(seen.is_some_and(|entry| entry.message.is_none()));
            self.first += 1;
        }
    }

    /// What comes at `next`, which is moved on.
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
        Ok(message.expect("there is one as long as somebody has not seen it"))
    }
}

impl<T> Sender<T> {
    /// A channel without receivers, that keeps the last `capacity` messages for those who have not seen them.
    ///
    /// # Panics
    ///
    /// The capacity is 0.
    #[must_use]
    #[track_caller]
    pub fn new(capacity: usize) -> Sender<T> {
        assert!(
            capacity > 0,
            "a broadcast channel keeps one message at least"
        );
        let state = State {
            first: 0,
            ring: VecDeque::new(),
            senders: 1,
            receivers: 0,
            waiting: Line::new(),
            asking: channel::Waiters::new(),
        };
        let shared = Shared {
            capacity,
            state: Spin::new(state),
        };
        Sender {
            shared: Arc::new(shared),
        }
    }

    /// Sends a message to all receivers there are, and says how many that is. Never waits: who has not yet seen the oldest
    /// of `capacity` messages loses it.
    ///
    /// # Errors
    ///
    /// There are none. The message comes back in the error. There may be some later.
    #[track_caller]
    pub fn send(&self, message: T) -> Result<usize, SendError<T>> {
        give_way(Location::caller());
        let message = Arc::new(message);
        let mut state = self.shared.state.lock();
        let receivers = state.receivers;
        if receivers == 0 {
            drop(state);
            return Err(SendError(own(message, |_| {
                unreachable!("nobody else has seen it")
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
        // After a loss, what is at the front now may have been seen by all.
        state.forget_seen();
        let waited_for = !state.waiting.is_empty() || !state.asking.is_empty();
        drop(state);
        if waited_for {
            self.shared.tell(receivers);
        }
        drop(lost);
        Ok(receivers)
    }

    /// One more receiver, of what is sent from now on.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        subscribe(&self.shared)
    }

    /// How many receivers there are.
    #[must_use]
    #[track_caller]
    pub fn receiver_count(&self) -> usize {
        spend_quietly(Location::caller());
        self.shared.state.lock().receivers
    }

    /// How many messages somebody has not seen yet.
    #[must_use]
    #[track_caller]
    pub fn len(&self) -> usize {
        spend_quietly(Location::caller());
        self.shared.state.lock().ring.len()
    }

    /// Whether all have seen all messages.
    #[must_use]
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both send to the same receivers.
    #[must_use]
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

fn subscribe<T>(shared: &Arc<Shared<T>>) -> Receiver<T> {
    let mut state = shared.state.lock();
    state.receivers += 1;
    let next = AtomicU64::new(state.end());
    drop(state);
    let seat = Seat {
        shared: Arc::clone(shared),
        next,
    };
    Receiver {
        seat: Arc::new(seat),
    }
}

/// The value itself if nobody else has it, else what `copy` makes.
fn own<T>(value: Arc<T>, copy: impl FnOnce(&T) -> T) -> T {
    Arc::try_unwrap(value).unwrap_or_else(|shared| copy(&shared))
}

impl<T> Receiver<T> {
    /// How many messages wait for this receiver, lost ones not counted.
    #[must_use]
    #[track_caller]
    pub fn len(&self) -> usize {
        spend_quietly(Location::caller());
        let state = self.seat.shared.state.lock();
        let next = self.seat.next.load(Ordering::Relaxed).max(state.first);
        usize::try_from(state.end() - next).unwrap_or(usize::MAX)
    }

    /// Whether none waits.
    #[must_use]
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Another receiver of the same channel, of what is sent from now on.
    #[must_use]
    pub fn resubscribe(&self) -> Receiver<T> {
        subscribe(&self.seat.shared)
    }

    /// Whether both receive from the same channel.
    #[must_use]
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Arc::ptr_eq(&self.seat.shared, &other.seat.shared)
    }

    /// A receiver for `select!`, of `()` whenever [`try_recv`](Receiver::try_recv) has something to say: a message, a loss, or the end. It takes
    /// nothing out.
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
        spend_quietly(Location::caller());
        channel::source(Arc::clone(&self.seat) as Arc<dyn channel::Ask>)
    }
}

impl<T: Clone> Receiver<T> {
    /// The next message, if there is one.
    ///
    /// # Errors
    ///
    /// There is none, or some are lost: see [`TryRecvError`].
    #[track_caller]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        give_way(Location::caller());
        let taken = self.seat.shared.state.lock().take(&self.seat.next);
        taken.map(|message| own(message, T::clone))
    }

    /// The next message; waits for it.
    ///
    /// # Errors
    ///
    /// There will be none, or some are lost: see [`RecvError`].
    ///
    /// # Cancellation
    ///
    /// The wait may unwind; no message has been taken then.
    #[track_caller]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        match self.wait(Limit::Never, Location::caller()) {
            Ok(message) => Ok(message),
            Err(RecvTimeoutError::Lagged(lost)) => Err(RecvError::Lagged(lost)),
            Err(RecvTimeoutError::Closed | RecvTimeoutError::Timeout) => Err(RecvError::Closed),
        }
    }

    /// As [`recv`](Receiver::recv), and waits for at most `timeout`.
    ///
    /// # Errors
    ///
    /// See [`RecvTimeoutError`].
    #[track_caller]
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.wait(Limit::For(timeout), Location::caller())
    }

    /// As [`recv`](Receiver::recv), and waits until `deadline` at most.
    ///
    /// # Errors
    ///
    /// See [`RecvTimeoutError`].
    #[track_caller]
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.wait(Limit::Until(deadline), Location::caller())
    }

    fn wait(
        &mut self,
        limit: Limit,
        at: &'static Location<'static>,
    ) -> Result<T, RecvTimeoutError> {
        give_way(at);
        let spin = &self.seat.shared.state;
        let mut wait = None;
        loop {
            let mut state = spin.lock();
            match state.take(&self.seat.next) {
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
            match stand(
                spin,
                state,
                |state| &mut state.waiting,
                &Place::BACK,
                wait,
                || {},
                |_| {},
            ) {
                Ended::Claimed => {}
                Ended::Elapsed => return Err(RecvTimeoutError::Timeout),
                Ended::Cancelled => raise_if_cancelled(),
            }
        }
    }
}

impl<T: Send + Sync> channel::Ask for Seat<T> {
    fn is_ready(&self) -> bool {
        let state = self.shared.state.lock();
        self.next.load(Ordering::Relaxed) < state.end() || state.senders == 0
    }

    fn arm(&self, waiter: Unparker) -> channel::Key {
        self.shared.state.lock().asking.add(waiter)
    }

    fn disarm(&self, key: channel::Key) {
        let gone = self.shared.state.lock().asking.remove(key);
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
            self.shared.tell(receivers);
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.seat.shared.state.lock();
        state.receivers -= 1;
        let next = self.seat.next.load(Ordering::Relaxed).max(state.first);
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
        f.pad("nobody receives from this channel")
    }
}

impl<T> Error for SendError<T> {}

const CLOSED: &str = "all senders are gone";

fn lagged(f: &mut fmt::Formatter<'_>, lost: u64) -> fmt::Result {
    write!(f, "the receiver was too slow by {lost} messages")
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
            TryRecvError::Empty => f.pad("there is no message now"),
            TryRecvError::Closed => f.pad(CLOSED),
            TryRecvError::Lagged(lost) => lagged(f, lost),
        }
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RecvTimeoutError::Timeout => f.pad("no message came in time"),
            RecvTimeoutError::Closed => f.pad(CLOSED),
            RecvTimeoutError::Lagged(lost) => lagged(f, lost),
        }
    }
}

impl Error for RecvError {}
impl Error for TryRecvError {}
impl Error for RecvTimeoutError {}
