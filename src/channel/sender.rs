#![allow(unsafe_code, reason = "a reference-counted raw pointer to the channel")]
//! The sending side of a channel.
//!
//! SN1. A sender is counted in its counter, so the counter exists (HU1 in `counter.rs`).
//! SN2. After an error the value of an offer is still in it, and no other thread knows it.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use super::core::chan::Chan;
use super::core::outcome::Op;
use super::core::outcome::Unsent;
use super::core::slot::SendSlot;
use super::counter::Counter;
use super::wait_limit::{WaitLimit, yield_point};
use super::{SendError, SendTimeoutError, TrySendError};
use crate::green::budget::poll_budget_quietly;
use crate::green::{OnCancel, Reason, Wait};
use crate::sync::wait::waiting_thread::WaitingThread;

/// Sending side of a channel; clone it, or share it, to send from several threads.
///
/// When the last sender is dropped, receivers get the remaining messages and then an error.
///
/// # Examples
///
/// ```
/// use rustlet::channel::unbounded;
///
/// rustlet::run(|| {
///     let (sender, receiver) = unbounded();
///     for n in 0..3 {
///         let sender = sender.clone();
///         rustlet::spawn(move || sender.send(n).unwrap());
///     }
///     drop(sender);
///     assert_eq!(receiver.iter().sum::<i32>(), 3);
/// });
/// ```
pub struct Sender<T> {
    counter: NonNull<Counter<T>>,
    items: PhantomData<Counter<T>>,
}

// SAFETY: messages move from thread to thread; the counter is made for that.
unsafe impl<T: Send> Send for Sender<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Sender<T> {}
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

impl<T> Sender<T> {
    /// Creates the sender that `Counter::open` has counted.
    pub(super) fn new(counter: NonNull<Counter<T>>) -> Sender<T> {
        Sender {
            counter,
            items: PhantomData,
        }
    }

    #[inline(always)]
    fn counter(&self) -> &Counter<T> {
        // SAFETY: SN1.
        unsafe { self.counter.as_ref() }
    }

    #[inline(always)]
    pub(super) fn chan(&self) -> &Chan<T, WaitingThread> {
        &self.counter().chan
    }

    /// Closes the channel, as if this sender and its clones were dropped: the remaining messages
    /// can still be received.
    pub(crate) fn close(&self) {
        self.chan().disconnect_senders();
    }

    /// Returns an address that identifies the channel.
    pub(super) fn address(&self) -> usize {
        self.counter.as_ptr().addr()
    }

    #[inline(always)]
    fn deliver(
        &self,
        offer: &SendSlot<T, WaitingThread>,
        limit: WaitLimit,
        at: &'static Location<'static>,
    ) -> Result<(), Unsent> {
        self.chan().send(offer, || {
            Wait::at(Reason::Send, at)
                .on(self.address())
                .until(limit.tick())
                .on_cancel(OnCancel::Defer)
        })
    }

    /// Sends a message, waiting while the channel is full. At capacity 0 it waits until a receiver
    /// takes the message.
    ///
    /// # Errors
    ///
    /// Returns the message in the error if all receivers were dropped, also during the wait.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread while the channel is full; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds and the message, which was not received, is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{bounded, SendError};
    ///
    /// rustlet::run(|| {
    ///     let (sender, receiver) = bounded(1);
    ///     sender.send(1).unwrap();
    ///     rustlet::spawn(move || assert_eq!(receiver.recv(), Ok(1)));
    ///     // Waits until the receiver makes room, then finds that it is dropped.
    ///     while sender.send(2).is_ok() {}
    ///     assert_eq!(sender.send(3), Err(SendError(3)));
    /// });
    /// ```
    #[track_caller]
    #[inline(always)]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        let at = Location::caller();
        yield_point(at);
        let offer = SendSlot::new(message);
        match self.deliver(&offer, WaitLimit::Never, at) {
            Ok(()) => Ok(()),
            // SAFETY: SN2.
            Err(_) => Err(SendError(unsafe { offer.take() })),
        }
    }

    /// Sends a message without waiting: if there is room, or, at capacity 0, a receiver is waiting.
    ///
    /// # Errors
    ///
    /// Returns the message in the error if the channel is full (no receiver is waiting), or all
    /// receivers were dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{bounded, TrySendError};
    ///
    /// let (sender, receiver) = bounded(1);
    /// assert_eq!(sender.try_send(1), Ok(()));
    /// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    /// drop(receiver);
    /// assert_eq!(sender.try_send(3), Err(TrySendError::Disconnected(3)));
    /// ```
    #[track_caller]
    #[inline(always)]
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        yield_point(Location::caller());
        self.try_send_quietly(message)
    }

    /// Sends like [`try_send`](Sender::try_send), for a caller that has charged the budget.
    #[inline(always)]
    pub(super) fn try_send_quietly(&self, message: T) -> Result<(), TrySendError<T>> {
        let offer = SendSlot::new(message);
        match self.chan().try_send(&offer) {
            Ok(()) => Ok(()),
            // SAFETY: SN2.
            Err(Unsent::Full) => Err(TrySendError::Full(unsafe { offer.take() })),
            // SAFETY: SN2.
            Err(Unsent::Disconnected) => Err(TrySendError::Disconnected(unsafe { offer.take() })),
        }
    }

    /// Sends a message, waiting for at most `timeout`; otherwise like [`send`](Sender::send).
    ///
    /// # Errors
    ///
    /// Returns the message in the error if the time has passed or all receivers were dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{bounded, SendTimeoutError};
    /// use std::time::Duration;
    ///
    /// let (sender, receiver) = bounded(0);
    /// let late = sender.send_timeout(1, Duration::from_millis(1));
    /// assert_eq!(late, Err(SendTimeoutError::Timeout(1)));
    /// # drop(receiver);
    /// ```
    #[track_caller]
    #[inline(always)]
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_within(message, WaitLimit::For(timeout), Location::caller())
    }

    /// Sends a message, waiting until `deadline` at the latest; otherwise like
    /// [`send`](Sender::send).
    ///
    /// # Errors
    ///
    /// As [`send_timeout`](Sender::send_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{bounded, SendTimeoutError};
    /// use std::time::Instant;
    ///
    /// let (sender, _receiver) = bounded(0);
    /// let late = sender.send_deadline(1, Instant::now());
    /// assert_eq!(late, Err(SendTimeoutError::Timeout(1)));
    /// ```
    #[track_caller]
    #[inline(always)]
    pub fn send_deadline(&self, message: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_within(message, WaitLimit::Until(deadline), Location::caller())
    }

    #[inline(always)]
    fn send_within(
        &self,
        message: T,
        limit: WaitLimit,
        at: &'static Location<'static>,
    ) -> Result<(), SendTimeoutError<T>> {
        yield_point(at);
        let offer = SendSlot::new(message);
        match self.deliver(&offer, limit, at) {
            Ok(()) => Ok(()),
            // SAFETY: SN2.
            Err(Unsent::Full) => Err(SendTimeoutError::Timeout(unsafe { offer.take() })),
            Err(Unsent::Disconnected) => {
                // SAFETY: SN2.
                Err(SendTimeoutError::Disconnected(unsafe { offer.take() }))
            }
        }
    }

    /// Returns `true` if there is no message in the channel. Always `true` at capacity 0.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, _receiver) = rustlet::channel::unbounded();
    /// assert!(sender.is_empty());
    /// sender.send(1).unwrap();
    /// assert!(!sender.is_empty());
    /// ```
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns `true` if the channel is full. Always `true` at capacity 0.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, _receiver) = rustlet::channel::bounded(1);
    /// sender.send(1).unwrap();
    /// assert!(sender.is_full());
    /// ```
    #[track_caller]
    pub fn is_full(&self) -> bool {
        poll_budget_quietly(Location::caller());
        self.chan().is_full()
    }

    /// Returns the number of messages in the channel.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, _receiver) = rustlet::channel::unbounded();
    /// sender.send(1).unwrap();
    /// assert_eq!(sender.len(), 1);
    /// ```
    #[track_caller]
    pub fn len(&self) -> usize {
        poll_budget_quietly(Location::caller());
        self.chan().len()
    }

    /// Returns the capacity, or `None` if the channel is unbounded.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, _receiver) = rustlet::channel::bounded::<u8>(3);
    /// assert_eq!(sender.capacity(), Some(3));
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        self.chan().capacity()
    }

    /// Returns `true` if both send to the same channel.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::unbounded;
    ///
    /// let (sender, _receiver) = unbounded::<()>();
    /// let (other, _receiver) = unbounded();
    /// assert!(sender.same_channel(&sender.clone()));
    /// assert!(!sender.same_channel(&other));
    /// ```
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        self.counter == other.counter
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.counter().add_handle(Op::Send);
        Sender::new(self.counter)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // SAFETY: SN1.
        unsafe { Counter::drop_handle(self.counter, Op::Send) };
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}
