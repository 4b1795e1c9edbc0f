#![allow(unsafe_code, reason = "a counted pointer to the channel")]
//! The sending side of a channel.
//!
//! SN1. A sender is counted in its hub, so the hub is there (HU1 in `hub.rs`).
//! SN2. After an error the value of an offer is still in it, and nobody else knows it.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use super::core::chan::Chan;
use super::core::outcome::Side;
use super::core::outcome::Unsent;
use super::core::slot::Offer;
use super::hub::Hub;
use super::limit::{Limit, give_way};
use super::{SendError, SendTimeoutError, TrySendError};
use crate::green::budget::spend_quietly;
use crate::green::{OnCancel, Reason, Wait};
use crate::sync::wait::waiting::Thread;

/// The sending side of a channel. Clone it to send from several threads, or share it.
///
/// When the last one is dropped, receivers get what is still in the channel, and then an error.
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
    hub: NonNull<Hub<T>>,
    items: PhantomData<Hub<T>>,
}

// SAFETY: messages go from thread to thread; the hub is made for it.
unsafe impl<T: Send> Send for Sender<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Sender<T> {}
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

impl<T> Sender<T> {
    /// The one that `Hub::open` has counted.
    pub(super) fn new(hub: NonNull<Hub<T>>) -> Sender<T> {
        Sender {
            hub,
            items: PhantomData,
        }
    }

    #[inline(always)]
    fn hub(&self) -> &Hub<T> {
        // SAFETY: SN1.
        unsafe { self.hub.as_ref() }
    }

    #[inline(always)]
    pub(super) fn chan(&self) -> &Chan<T, Thread> {
        &self.hub().chan
    }

    /// As if it and its clones were dropped: what is in the channel can still be received.
    pub(crate) fn close(&self) {
        self.chan().disconnect_senders();
    }

    /// Where it is, to tell it from other channels.
    pub(super) fn address(&self) -> usize {
        self.hub.as_ptr().addr()
    }

    #[inline(always)]
    fn deliver(
        &self,
        offer: &Offer<T, Thread>,
        limit: Limit,
        at: &'static Location<'static>,
    ) -> Result<(), Unsent> {
        self.chan().send(offer, || {
            Wait::at(Reason::Send, at)
                .until(limit.tick())
                .on_cancel(OnCancel::Defer)
        })
    }

    /// Sends a message, and waits while the channel is full; at capacity 0, until a receiver takes it.
    ///
    /// # Errors
    ///
    /// All receivers are gone, or go while it waits. The message comes back in the error.
    ///
    /// # Cancellation
    ///
    /// The wait may unwind; the message, which nobody has received, is dropped then.
    ///
    /// ```
    /// use rustlet::channel::{bounded, SendError};
    ///
    /// rustlet::run(|| {
    ///     let (sender, receiver) = bounded(1);
    ///     sender.send(1).unwrap();
    ///     rustlet::spawn(move || assert_eq!(receiver.recv(), Ok(1)));
    ///     // Waits for the receiver to make room, and then finds that it is gone, or that it goes.
    ///     while sender.send(2).is_ok() {}
    ///     assert_eq!(sender.send(3), Err(SendError(3)));
    /// });
    /// ```
    #[track_caller]
    #[inline(always)]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        let at = Location::caller();
        give_way(at);
        let offer = Offer::new(message);
        match self.deliver(&offer, Limit::Never, at) {
            Ok(()) => Ok(()),
            // SAFETY: SN2.
            Err(_) => Err(SendError(unsafe { offer.take() })),
        }
    }

    /// Sends a message if that needs no wait: if there is room, or, at capacity 0, a receiver waits.
    ///
    /// # Errors
    ///
    /// There is no room (or no receiver waits), or all receivers are gone. The message comes back in the error.
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
        give_way(Location::caller());
        let offer = Offer::new(message);
        match self.chan().try_send(&offer) {
            Ok(()) => Ok(()),
            // SAFETY: SN2.
            Err(Unsent::Full) => Err(TrySendError::Full(unsafe { offer.take() })),
            // SAFETY: SN2.
            Err(Unsent::Disconnected) => Err(TrySendError::Disconnected(unsafe { offer.take() })),
        }
    }

    /// As [`send`](Sender::send), and waits for at most `timeout`.
    ///
    /// # Errors
    ///
    /// The time is up, or all receivers are gone. The message comes back in the error.
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
        self.send_within(message, Limit::For(timeout), Location::caller())
    }

    /// As [`send`](Sender::send), and waits until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`send_timeout`](Sender::send_timeout).
    #[track_caller]
    #[inline(always)]
    pub fn send_deadline(&self, message: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_within(message, Limit::Until(deadline), Location::caller())
    }

    #[inline(always)]
    fn send_within(
        &self,
        message: T,
        limit: Limit,
        at: &'static Location<'static>,
    ) -> Result<(), SendTimeoutError<T>> {
        give_way(at);
        let offer = Offer::new(message);
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

    /// Whether there is no message in the channel. Always so at capacity 0.
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the channel is full. Always so at capacity 0.
    #[track_caller]
    pub fn is_full(&self) -> bool {
        spend_quietly(Location::caller());
        self.chan().is_full()
    }

    /// How many messages are in the channel.
    #[track_caller]
    pub fn len(&self) -> usize {
        spend_quietly(Location::caller());
        self.chan().len()
    }

    /// How many it can hold; none if there is no limit.
    pub fn capacity(&self) -> Option<usize> {
        self.chan().capacity()
    }

    /// Whether both send to the same channel.
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
        self.hub == other.hub
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.hub().join(Side::Send);
        Sender::new(self.hub)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // SAFETY: SN1.
        unsafe { Hub::leave(self.hub, Side::Send) };
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}
