//! Errors of sending, receiving and selecting: crossbeam-channel's types, messages and conversions.

use std::error::Error;
use std::fmt;

/// Error of [`Sender::send`](super::Sender::send): all receivers were dropped. Holds the message.
///
/// # Examples
///
/// ```
/// use rustlet::channel::{unbounded, SendError};
///
/// let (sender, receiver) = unbounded();
/// drop(receiver);
/// assert_eq!(sender.send(1), Err(SendError(1)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// Error of [`Sender::try_send`](super::Sender::try_send). Holds the message.
///
/// # Examples
///
/// ```
/// use rustlet::channel::{bounded, TrySendError};
///
/// let (sender, _receiver) = bounded(0);
/// assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// The channel is full, or, at capacity 0, no receiver is waiting.
    Full(T),
    /// All receivers were dropped.
    Disconnected(T),
}

/// Error of [`Sender::send_timeout`](super::Sender::send_timeout). Holds the message.
///
/// # Examples
///
/// ```
/// use rustlet::channel::{bounded, SendTimeoutError};
/// use std::time::Duration;
///
/// let (sender, _receiver) = bounded(0);
/// let late = sender.send_timeout(1, Duration::ZERO);
/// assert_eq!(late, Err(SendTimeoutError::Timeout(1)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendTimeoutError<T> {
    /// The time has passed before there was room, or, at capacity 0, a receiver.
    Timeout(T),
    /// All receivers were dropped.
    Disconnected(T),
}

/// Error of [`Receiver::recv`](super::Receiver::recv): the channel is empty and all senders were
/// dropped.
///
/// # Examples
///
/// ```
/// use rustlet::channel::{unbounded, RecvError};
///
/// let (sender, receiver) = unbounded::<u8>();
/// drop(sender);
/// assert_eq!(receiver.recv(), Err(RecvError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError;

/// Error of [`Receiver::try_recv`](super::Receiver::try_recv).
///
/// # Examples
///
/// ```
/// use rustlet::channel::{unbounded, TryRecvError};
///
/// let (_sender, receiver) = unbounded::<u8>();
/// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// There is no message now.
    Empty,
    /// There is no message, and all senders were dropped.
    Disconnected,
}

/// Error of [`Receiver::recv_timeout`](super::Receiver::recv_timeout).
///
/// # Examples
///
/// ```
/// use rustlet::channel::{unbounded, RecvTimeoutError};
/// use std::time::Duration;
///
/// let (_sender, receiver) = unbounded::<u8>();
/// assert_eq!(receiver.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// The time has passed before a message arrived.
    Timeout,
    /// There is no message, and all senders were dropped.
    Disconnected,
}

/// Error of [`Select::try_select`](super::Select::try_select): no operation is ready.
///
/// # Examples
///
/// ```
/// use rustlet::channel::{Select, TrySelectError, never};
///
/// let receiver = never::<()>();
/// let mut select = Select::new();
/// select.recv(&receiver);
/// assert_eq!(select.try_select().err(), Some(TrySelectError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrySelectError;

/// Error of [`Select::select_timeout`](super::Select::select_timeout): no operation became ready in
/// time.
///
/// # Examples
///
/// ```
/// use rustlet::channel::{Select, SelectTimeoutError, never};
/// use std::time::Duration;
///
/// let receiver = never::<()>();
/// let mut select = Select::new();
/// select.recv(&receiver);
/// assert_eq!(select.select_timeout(Duration::ZERO).err(), Some(SelectTimeoutError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectTimeoutError;

/// Error of [`Select::try_ready`](super::Select::try_ready): no operation is ready.
///
/// # Examples
///
/// ```
/// use rustlet::channel::{Select, TryReadyError, never};
///
/// let receiver = never::<()>();
/// let mut select = Select::new();
/// select.recv(&receiver);
/// assert_eq!(select.try_ready(), Err(TryReadyError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryReadyError;

/// Error of [`Select::ready_timeout`](super::Select::ready_timeout): no operation became ready in
/// time.
///
/// # Examples
///
/// ```
/// use rustlet::channel::{ReadyTimeoutError, Select, never};
/// use std::time::Duration;
///
/// let receiver = never::<()>();
/// let mut select = Select::new();
/// select.recv(&receiver);
/// assert_eq!(select.ready_timeout(Duration::ZERO), Err(ReadyTimeoutError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyTimeoutError;

const NO_RECEIVER: &str = "sending on a disconnected channel";
const NO_SENDER: &str = "receiving on an empty and disconnected channel";

// With quotes, as crossbeam-channel prints them.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt("SendError(..)", f)
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            TrySendError::Full(_) => "Full(..)",
            TrySendError::Disconnected(_) => "Disconnected(..)",
        };
        fmt::Debug::fmt(text, f)
    }
}

impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt("SendTimeoutError(..)", f)
    }
}

/// The messages of crossbeam-channel.
macro_rules! texts {
    ($($error:ident $(<$t:ident>)?: $($pattern:pat => $text:expr),+;)+) => {$(
        impl $(<$t>)? fmt::Display for $error $(<$t>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self {
                    $($pattern => $text),+
                })
            }
        }

        impl $(<$t: Send>)? Error for $error $(<$t>)? {}
    )+};
}

texts! {
    SendError<T>: SendError(_) => NO_RECEIVER;
    TrySendError<T>:
        TrySendError::Full(_) => "sending on a full channel",
        TrySendError::Disconnected(_) => NO_RECEIVER;
    SendTimeoutError<T>:
        SendTimeoutError::Timeout(_) => "timed out waiting on send operation",
        SendTimeoutError::Disconnected(_) => NO_RECEIVER;
    RecvError: RecvError => NO_SENDER;
    TryRecvError:
        TryRecvError::Empty => "receiving on an empty channel",
        TryRecvError::Disconnected => NO_SENDER;
    RecvTimeoutError:
        RecvTimeoutError::Timeout => "timed out waiting on receive operation",
        RecvTimeoutError::Disconnected => "channel is empty and disconnected";
    TrySelectError: TrySelectError => "all operations in select would block";
    SelectTimeoutError: SelectTimeoutError => "timed out waiting on select";
    TryReadyError: TryReadyError => "all operations in select would block";
    ReadyTimeoutError: ReadyTimeoutError => "timed out waiting on select";
}

impl<T> SendError<T> {
    /// Returns the message.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(rustlet::channel::SendError(1).into_inner(), 1);
    /// ```
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> TrySendError<T> {
    /// Returns the message.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(rustlet::channel::TrySendError::Full(1).into_inner(), 1);
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            TrySendError::Full(message) | TrySendError::Disconnected(message) => message,
        }
    }

    /// Returns `true` for [`Full`](TrySendError::Full).
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(rustlet::channel::TrySendError::Full(1).is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        matches!(self, TrySendError::Full(_))
    }

    /// Returns `true` for [`Disconnected`](TrySendError::Disconnected).
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(rustlet::channel::TrySendError::Disconnected(1).is_disconnected());
    /// ```
    pub fn is_disconnected(&self) -> bool {
        matches!(self, TrySendError::Disconnected(_))
    }
}

impl<T> SendTimeoutError<T> {
    /// Returns the message.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(rustlet::channel::SendTimeoutError::Timeout(1).into_inner(), 1);
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            SendTimeoutError::Timeout(message) | SendTimeoutError::Disconnected(message) => message,
        }
    }

    /// Returns `true` for [`Timeout`](SendTimeoutError::Timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(rustlet::channel::SendTimeoutError::Timeout(1).is_timeout());
    /// ```
    pub fn is_timeout(&self) -> bool {
        matches!(self, SendTimeoutError::Timeout(_))
    }

    /// Returns `true` for [`Disconnected`](SendTimeoutError::Disconnected).
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(rustlet::channel::SendTimeoutError::Disconnected(1).is_disconnected());
    /// ```
    pub fn is_disconnected(&self) -> bool {
        matches!(self, SendTimeoutError::Disconnected(_))
    }
}

impl TryRecvError {
    /// Returns `true` for [`Empty`](TryRecvError::Empty).
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(rustlet::channel::TryRecvError::Empty.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        matches!(self, TryRecvError::Empty)
    }

    /// Returns `true` for [`Disconnected`](TryRecvError::Disconnected).
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(rustlet::channel::TryRecvError::Disconnected.is_disconnected());
    /// ```
    pub fn is_disconnected(&self) -> bool {
        matches!(self, TryRecvError::Disconnected)
    }
}

impl RecvTimeoutError {
    /// Returns `true` for [`Timeout`](RecvTimeoutError::Timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(rustlet::channel::RecvTimeoutError::Timeout.is_timeout());
    /// ```
    pub fn is_timeout(&self) -> bool {
        matches!(self, RecvTimeoutError::Timeout)
    }

    /// Returns `true` for [`Disconnected`](RecvTimeoutError::Disconnected).
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(rustlet::channel::RecvTimeoutError::Disconnected.is_disconnected());
    /// ```
    pub fn is_disconnected(&self) -> bool {
        matches!(self, RecvTimeoutError::Disconnected)
    }
}

impl<T> From<SendError<T>> for TrySendError<T> {
    fn from(error: SendError<T>) -> Self {
        TrySendError::Disconnected(error.0)
    }
}

impl<T> From<SendError<T>> for SendTimeoutError<T> {
    fn from(error: SendError<T>) -> Self {
        SendTimeoutError::Disconnected(error.0)
    }
}

impl From<RecvError> for TryRecvError {
    fn from(_: RecvError) -> Self {
        TryRecvError::Disconnected
    }
}

impl From<RecvError> for RecvTimeoutError {
    fn from(_: RecvError) -> Self {
        RecvTimeoutError::Disconnected
    }
}
