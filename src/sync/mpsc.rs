//! Channels with several senders and one receiver: [`std::sync::mpsc`], on the channels of [`crate::channel`]. What would block
//! suspends the calling green thread, or blocks the calling OS thread.
//!
//! ```
//! use rustlet::sync::mpsc::channel;
//!
//! rustlet::run(|| {
//!     let (sender, receiver) = channel();
//!     for n in 0..10 {
//!         let sender = sender.clone();
//!         rustlet::spawn(move || sender.send(n).unwrap());
//!     }
//!     drop(sender);
//!     assert_eq!(receiver.iter().sum::<i32>(), 45);
//! });
//! ```

use std::cell::Cell;
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use crate::channel;

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

/// The sending side of a [`channel()`]: never waits. As [`std::sync::mpsc::Sender`].
pub struct Sender<T> {
    inner: channel::Sender<T>,
}

/// The sending side of a [`sync_channel`]: waits while the channel is full. As [`std::sync::mpsc::SyncSender`].
pub struct SyncSender<T> {
    inner: channel::Sender<T>,
}

/// The receiving side, of which there is one. As [`std::sync::mpsc::Receiver`].
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<rustlet::sync::mpsc::Receiver<i32>>();
/// ```
pub struct Receiver<T> {
    inner: channel::Receiver<T>,
    /// Std's is not `Sync`.
    alone: PhantomData<Cell<()>>,
}

/// A channel without limit.
///
/// ```
/// let (sender, receiver) = rustlet::sync::mpsc::channel();
/// sender.send(1).unwrap();
/// assert_eq!(receiver.recv(), Ok(1));
/// ```
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = channel::unbounded();
    (Sender { inner: sender }, Receiver::new(receiver))
}

/// A channel that holds at most `bound` messages. With 0, a sender waits for the receiver, and hands it the message.
///
/// ```
/// use rustlet::sync::mpsc::sync_channel;
///
/// rustlet::run(|| {
///     let (sender, receiver) = sync_channel(0);
///     rustlet::spawn(move || sender.send("from hand to hand").unwrap());
///     assert_eq!(receiver.recv(), Ok("from hand to hand"));
/// });
/// ```
#[must_use]
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    let (sender, receiver) = channel::bounded(bound);
    (SyncSender { inner: sender }, Receiver::new(receiver))
}

impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Sender<T> {
    /// Sends a message. It may never be received, if the receiver goes away later.
    ///
    /// # Errors
    ///
    /// The receiver is gone. The message comes back in the error.
    #[track_caller]
    #[inline(always)]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        match self.inner.send(message) {
            Ok(()) => Ok(()),
            Err(channel::SendError(message)) => Err(SendError(message)),
        }
    }
}

impl<T> SyncSender<T> {
    /// Sends a message, and waits while the channel is full; with a bound of 0, until the receiver takes it.
    ///
    /// # Errors
    ///
    /// The receiver is gone, or goes while it waits. The message comes back in the error.
    ///
    /// # Cancellation
    ///
    /// The wait may unwind; the message, which nobody has received, is dropped then.
    #[track_caller]
    #[inline(always)]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        match self.inner.send(message) {
            Ok(()) => Ok(()),
            Err(channel::SendError(message)) => Err(SendError(message)),
        }
    }

    /// Sends a message if there is room, or, with a bound of 0, if the receiver waits.
    ///
    /// # Errors
    ///
    /// There is no room (the receiver does not wait), or the receiver is gone. The message comes back in the error.
    #[track_caller]
    #[inline(always)]
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        match self.inner.try_send(message) {
            Ok(()) => Ok(()),
            Err(channel::TrySendError::Full(message)) => Err(TrySendError::Full(message)),
            Err(channel::TrySendError::Disconnected(message)) => {
                Err(TrySendError::Disconnected(message))
            }
        }
    }
}

impl<T> Receiver<T> {
    fn new(inner: channel::Receiver<T>) -> Receiver<T> {
        Receiver {
            inner,
            alone: PhantomData,
        }
    }

    /// Receives a message if there is one.
    ///
    /// # Errors
    ///
    /// There is none; or there is none, and all senders are gone.
    #[track_caller]
    #[inline(always)]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        match self.inner.try_recv() {
            Ok(message) => Ok(message),
            Err(channel::TryRecvError::Empty) => Err(TryRecvError::Empty),
            Err(channel::TryRecvError::Disconnected) => Err(TryRecvError::Disconnected),
        }
    }

    /// Receives a message, and waits for one if there is none.
    ///
    /// # Errors
    ///
    /// The channel is empty and all senders are gone, or go while it waits.
    ///
    /// # Cancellation
    ///
    /// The wait may unwind; no message has been taken then.
    #[track_caller]
    #[inline(always)]
    pub fn recv(&self) -> Result<T, RecvError> {
        match self.inner.recv() {
            Ok(message) => Ok(message),
            Err(channel::RecvError) => Err(RecvError),
        }
    }

    /// As [`recv`](Receiver::recv), and waits for at most `timeout`, which may be [`Duration::MAX`].
    ///
    /// # Errors
    ///
    /// The time is up; or the channel is empty and all senders are gone.
    ///
    /// ```
    /// use rustlet::sync::mpsc::{channel, RecvTimeoutError};
    /// use std::time::Duration;
    ///
    /// let (sender, receiver) = channel::<()>();
    /// let late = receiver.recv_timeout(Duration::from_millis(1));
    /// assert_eq!(late, Err(RecvTimeoutError::Timeout));
    /// # drop(sender);
    /// ```
    #[track_caller]
    #[inline(always)]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        timed(self.inner.recv_timeout(timeout))
    }

    /// As [`recv`](Receiver::recv), and waits until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Receiver::recv_timeout).
    #[track_caller]
    #[inline(always)]
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        timed(self.inner.recv_deadline(deadline))
    }

    /// What comes, until the channel is empty and all senders are gone. Waits for each.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { rx: self }
    }

    /// What is there, without waiting.
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::mpsc::channel();
    /// sender.send(1).unwrap();
    /// sender.send(2).unwrap();
    /// assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { rx: self }
    }

    /// The same receiver, for `select!`. It can be cloned, and shared.
    ///
    /// ```
    /// use rustlet::channel::select;
    ///
    /// let (sender, receiver) = rustlet::sync::mpsc::channel();
    /// sender.send(1).unwrap();
    /// select! {
    ///     recv(receiver.receiver()) -> message => assert_eq!(message, Ok(1)),
    /// }
    /// ```
    pub fn receiver(&self) -> &channel::Receiver<T> {
        &self.inner
    }
}

#[inline(always)]
fn timed<T>(result: Result<T, channel::RecvTimeoutError>) -> Result<T, RecvTimeoutError> {
    match result {
        Ok(message) => Ok(message),
        Err(channel::RecvTimeoutError::Timeout) => Err(RecvTimeoutError::Timeout),
        Err(channel::RecvTimeoutError::Disconnected) => Err(RecvTimeoutError::Disconnected),
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender {
            inner: self.inner.clone(),
        }
    }
}

impl<T> Clone for SyncSender<T> {
    fn clone(&self) -> SyncSender<T> {
        SyncSender {
            inner: self.inner.clone(),
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SyncSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncSender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// Waits for each message, until there are no more to come; made by [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    rx: &'a Receiver<T>,
}

/// Takes the messages that are there; made by [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T> {
    rx: &'a Receiver<T>,
}

/// As [`Iter`], and has the receiver; made by its `into_iter`.
#[derive(Debug)]
pub struct IntoIter<T> {
    rx: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[track_caller]
    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        self.rx.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    #[track_caller]
    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        self.rx.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[track_caller]
    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        self.rx.recv().ok()
    }
}

impl<T> FusedIterator for Iter<'_, T> {}
impl<T> FusedIterator for IntoIter<T> {}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { rx: self }
    }
}
