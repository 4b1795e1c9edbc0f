//! Channels with many senders and one receiver: [`std::sync::mpsc`] for green threads.
//!
//! They are built on [`crate::channel`], which also has channels with many receivers. Sending and
//! receiving suspends the calling green thread where it has to wait, and blocks an OS thread.
//!
//! # Examples
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

/// Sending side of [`channel()`], which never waits; see [`std::sync::mpsc::Sender`].
///
/// # Examples
///
/// ```
/// let (sender, receiver) = rustlet::sync::mpsc::channel();
/// let second = sender.clone();
/// sender.send(1).unwrap();
/// second.send(2).unwrap();
/// assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Ok(2)));
/// ```
pub struct Sender<T> {
    inner: channel::Sender<T>,
}

/// Sending side of [`sync_channel`], which waits while the channel is full; see
/// [`std::sync::mpsc::SyncSender`].
///
/// # Examples
///
/// ```
/// let (sender, receiver) = rustlet::sync::mpsc::sync_channel(1);
/// sender.send(1).unwrap();
/// assert_eq!(receiver.recv(), Ok(1));
/// ```
pub struct SyncSender<T> {
    inner: channel::Sender<T>,
}

/// Receiving side of a channel, which cannot be cloned; see [`std::sync::mpsc::Receiver`].
///
/// Like std's, it is not `Sync`:
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<rustlet::sync::mpsc::Receiver<i32>>();
/// ```
pub struct Receiver<T> {
    inner: channel::Receiver<T>,
    /// Makes it `!Sync`, as in std.
    not_sync: PhantomData<Cell<()>>,
}

/// Creates a channel without a capacity limit.
///
/// # Examples
///
/// ```
/// let (sender, receiver) = rustlet::sync::mpsc::channel();
/// sender.send(1).unwrap();
/// assert_eq!(receiver.recv(), Ok(1));
/// ```
#[doc(alias = "unbounded_channel")]
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = channel::unbounded();
    (Sender { inner: sender }, Receiver::new(receiver))
}

/// Creates a channel that holds at most `bound` messages. With 0, each send waits for a receive.
///
/// # Examples
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
    /// Sends a message. Never waits. The message is lost if the receiver is dropped before it
    /// receives it.
    ///
    /// # Errors
    ///
    /// Returns the message in the error if the receiver was dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::mpsc::channel();
    /// sender.send(1).unwrap();
    /// drop(receiver);
    /// assert_eq!(sender.send(2).unwrap_err().0, 2);
    /// ```
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
    /// Sends a message, waiting while the channel is full. With a bound of 0 it waits until the
    /// receiver takes the message.
    ///
    /// # Errors
    ///
    /// Returns the message in the error if the receiver was dropped, also during the wait.
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
    /// use rustlet::sync::mpsc::sync_channel;
    ///
    /// rustlet::run(|| {
    ///     let (sender, receiver) = sync_channel(1);
    ///     rustlet::spawn(move || (0..3).for_each(|n| sender.send(n).unwrap()));
    ///     assert_eq!(receiver.iter().collect::<Vec<_>>(), [0, 1, 2]);
    /// });
    /// ```
    #[track_caller]
    #[inline(always)]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        match self.inner.send(message) {
            Ok(()) => Ok(()),
            Err(channel::SendError(message)) => Err(SendError(message)),
        }
    }

    /// Sends a message if there is room; with a bound of 0, if the receiver is waiting.
    ///
    /// # Errors
    ///
    /// Returns the message in the error if the channel is full (the receiver is not waiting) or the
    /// receiver was dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::mpsc::{sync_channel, TrySendError};
    ///
    /// let (sender, _receiver) = sync_channel(1);
    /// assert_eq!(sender.try_send(1), Ok(()));
    /// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    /// ```
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
            not_sync: PhantomData,
        }
    }

    /// Receives a message if there is one.
    ///
    /// # Errors
    ///
    /// `Empty`: there is no message. `Disconnected`: there is none, and all senders were dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::mpsc::{channel, TryRecvError};
    ///
    /// let (sender, receiver) = channel();
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// sender.send(1).unwrap();
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// ```
    #[track_caller]
    #[inline(always)]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        match self.inner.try_recv() {
            Ok(message) => Ok(message),
            Err(channel::TryRecvError::Empty) => Err(TryRecvError::Empty),
            Err(channel::TryRecvError::Disconnected) => Err(TryRecvError::Disconnected),
        }
    }

    /// Receives a message, waiting for one if there is none.
    ///
    /// # Errors
    ///
    /// Returns an error if the channel is empty and all senders were dropped, also during the wait.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread while the channel is empty; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; no message has been taken.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::mpsc::channel();
    /// std::thread::spawn(move || sender.send(1).unwrap());
    /// assert_eq!(receiver.recv(), Ok(1));
    /// assert!(receiver.recv().is_err());
    /// ```
    #[track_caller]
    #[inline(always)]
    pub fn recv(&self) -> Result<T, RecvError> {
        match self.inner.recv() {
            Ok(message) => Ok(message),
            Err(channel::RecvError) => Err(RecvError),
        }
    }

    /// Receives a message, waiting for at most `timeout`; otherwise like [`recv`](Receiver::recv).
    /// [`Duration::MAX`] means no limit.
    ///
    /// # Errors
    ///
    /// `Timeout`: the time has passed. `Disconnected`: the channel is empty and all senders were
    /// dropped.
    ///
    /// # Examples
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

    /// Receives a message, waiting until `deadline` at the latest; otherwise like
    /// [`recv`](Receiver::recv).
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Receiver::recv_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::mpsc::{channel, RecvTimeoutError};
    /// use std::time::Instant;
    ///
    /// let (_sender, receiver) = channel::<()>();
    /// let late = receiver.recv_deadline(Instant::now());
    /// assert_eq!(late, Err(RecvTimeoutError::Timeout));
    /// ```
    #[track_caller]
    #[inline(always)]
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        timed(self.inner.recv_deadline(deadline))
    }

    /// Returns an iterator over messages that waits for each, until the channel is empty and all
    /// senders were dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::mpsc::channel();
    /// std::thread::spawn(move || (1..=3).for_each(|n| sender.send(n).unwrap()));
    /// assert_eq!(receiver.iter().sum::<i32>(), 6);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { rx: self }
    }

    /// Returns an iterator over the messages that are in the channel; it does not wait.
    ///
    /// # Examples
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

    /// Returns the receiver in the form that `select!` takes. It can be cloned and shared.
    ///
    /// # Examples
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

/// Iterator that waits for each message; returned by [`Receiver::iter`].
///
/// # Examples
///
/// ```
/// let (sender, receiver) = rustlet::sync::mpsc::channel();
/// rustlet::run(move || {
///     rustlet::spawn(move || (0..3).for_each(|n| sender.send(n).unwrap()));
///     let mut messages: rustlet::sync::mpsc::Iter<'_, u32> = receiver.iter();
///     assert_eq!(messages.next(), Some(0));
///     assert!(messages.eq([1, 2]));
/// });
/// ```
#[derive(Debug)]
pub struct Iter<'a, T> {
    rx: &'a Receiver<T>,
}

/// Iterator over the messages in the channel; returned by [`Receiver::try_iter`].
///
/// # Examples
///
/// ```
/// let (sender, receiver) = rustlet::sync::mpsc::channel();
/// sender.send(1).unwrap();
/// sender.send(2).unwrap();
/// let messages: rustlet::sync::mpsc::TryIter<'_, u32> = receiver.try_iter();
/// assert!(messages.eq([1, 2]));
/// assert_eq!(receiver.try_iter().next(), None);
/// ```
#[derive(Debug)]
pub struct TryIter<'a, T> {
    rx: &'a Receiver<T>,
}

/// Owning iterator that waits for each message; returned by `Receiver::into_iter`.
///
/// # Examples
///
/// ```
/// let (sender, receiver) = rustlet::sync::mpsc::channel();
/// sender.send(1).unwrap();
/// drop(sender);
/// let messages: rustlet::sync::mpsc::IntoIter<u32> = receiver.into_iter();
/// assert!(messages.eq([1]));
/// ```
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
