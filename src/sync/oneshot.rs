//! Channels for a single value: [`channel()`] returns the two sides.
//!
//! [`Receiver::receiver`] makes one an arm of `select!`.
//!
//! # Examples
//!
//! ```
//! use rustlet::sync::oneshot;
//!
//! rustlet::run(|| {
//!     let (sender, receiver) = oneshot::channel();
//!     rustlet::spawn(move || sender.send(6 * 7).unwrap());
//!     assert_eq!(receiver.recv(), Ok(42));
//! });
//! ```

use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, TryRecvError};

use super::raw::oneshot::{RawOneshot, Received};
use super::wait::waiting_thread::WaitingThread;
use crate::channel::{self, Latch};
use crate::green::budget::poll_budget_quietly;
use crate::green::park::unwind_if_cancelled;
use crate::green::{OnCancel, Reason, Wait};
use crate::sys::clock::{self, NEVER, Tick};

struct Shared<T> {
    raw: RawOneshot<T, WaitingThread>,
    /// Latch for the waiters of a select, if any; set when no value can follow. A thread that
    /// creates it looks at `raw` afterwards, and a thread that changes `raw` looks here afterwards.
    done: OnceLock<Latch>,
}

impl<T> Shared<T> {
    /// Called when the sender is done or the receiver is closed.
    fn close(&self) {
        self.raw.close();
        self.set_done();
    }

    fn set_done(&self) {
        if let Some(latch) = self.done.get() {
            latch.set();
        }
    }
}

/// Sending side of a oneshot channel. Dropping it without sending disconnects the receiver.
///
/// # Examples
///
/// ```
/// use rustlet::sync::oneshot;
///
/// let (sender, receiver) = oneshot::channel::<u8>();
/// drop(sender);
/// assert!(receiver.recv().is_err());
/// ```
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// Receiving side of a oneshot channel.
///
/// # Cancellation
///
/// A green thread that is [cancelled](crate::Cancelled) while it receives unwinds; the value stays
/// in the channel as long as the receiver lives.
///
/// # Examples
///
/// ```
/// let (sender, receiver) = rustlet::sync::oneshot::channel();
/// sender.send(1).unwrap();
/// assert_eq!(receiver.recv(), Ok(1));
/// ```
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

/// Creates a channel for one value.
///
/// # Examples
///
/// ```
/// let (sender, receiver) = rustlet::sync::oneshot::channel();
/// std::thread::spawn(move || sender.send("done"));
/// assert_eq!(receiver.recv(), Ok("done"));
/// ```
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        raw: RawOneshot::new(),
        done: OnceLock::new(),
    });
    let sender = Sender {
        shared: Arc::clone(&shared),
    };
    (sender, Receiver { shared })
}

impl<T> Sender<T> {
    /// Sends the value. Does not wait. `Ok` does not mean that it was received: the receiver may
    /// still be dropped.
    ///
    /// # Errors
    ///
    /// Returns the value if the receiver was dropped or closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::oneshot::channel();
    /// drop(receiver);
    /// assert_eq!(sender.send(1), Err(1));
    /// ```
    pub fn send(self, value: T) -> Result<(), T> {
        // The drop that follows wakes only the waiters of a select.
        self.shared.raw.send(value)
    }

    /// Returns `true` if the receiver was dropped or closed, so that sending would fail. Does not
    /// wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::oneshot::channel::<u8>();
    /// assert!(!sender.is_closed());
    /// drop(receiver);
    /// assert!(sender.is_closed());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn is_closed(&self) -> bool {
        poll_budget_quietly(Location::caller());
        self.shared.raw.is_closed()
    }
}

impl<T> Receiver<T> {
    /// Waits for the value.
    ///
    /// # Errors
    ///
    /// Returns an error if the sender was dropped or the value has already been received.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; the value stays in the channel.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::oneshot::channel();
    /// std::thread::spawn(move || sender.send(1));
    /// assert_eq!(receiver.recv(), Ok(1));
    /// assert!(receiver.recv().is_err());
    /// ```
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        match self.receive(NEVER, Location::caller()) {
            Received::Value(value) => Ok(value),
            _ => Err(RecvError),
        }
    }

    /// Waits for the value, for at most `timeout`; otherwise like [`recv`](Receiver::recv).
    ///
    /// # Errors
    ///
    /// `Timeout`: the time has passed. `Disconnected`: as for `recv`.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::oneshot::{self, RecvTimeoutError};
    /// use std::time::Duration;
    ///
    /// let (sender, receiver) = oneshot::channel::<u8>();
    /// let short = Duration::from_millis(1);
    /// assert_eq!(receiver.recv_timeout(short), Err(RecvTimeoutError::Timeout));
    /// drop(sender);
    /// assert_eq!(receiver.recv_timeout(short), Err(RecvTimeoutError::Disconnected));
    /// ```
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        match self.receive(clock::after(timeout), Location::caller()) {
            Received::Value(value) => Ok(value),
            Received::Nothing => Err(RecvTimeoutError::Timeout),
            _ => Err(RecvTimeoutError::Disconnected),
        }
    }

    /// Takes the value if it has been sent. Does not wait.
    ///
    /// # Errors
    ///
    /// `Empty`: it has not been sent. `Disconnected`: as for [`recv`](Receiver::recv).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::oneshot::{self, TryRecvError};
    ///
    /// let (sender, receiver) = oneshot::channel();
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// sender.send(1).unwrap();
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    #[track_caller]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        poll_budget_quietly(Location::caller());
        match self.shared.raw.try_receive() {
            Received::Value(value) => Ok(value),
            Received::Nothing => Err(TryRecvError::Empty),
            _ => Err(TryRecvError::Disconnected),
        }
    }

    /// Closes the channel: later sends fail. A value that was sent before can still be received.
    /// Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::oneshot::channel();
    /// receiver.close();
    /// assert_eq!(sender.send(1), Err(1));
    /// ```
    #[track_caller]
    pub fn close(&self) {
        poll_budget_quietly(Location::caller());
        self.shared.close();
    }

    /// Returns a receiver for [`select!`](crate::channel::select) that is ready once
    /// [`recv`](Receiver::recv) would not wait. It takes nothing out, stays ready, and may outlive
    /// this receiver.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{after, select};
    /// use rustlet::sync::oneshot;
    /// use std::time::Duration;
    ///
    /// rustlet::run(|| {
    ///     let (sender, answer) = oneshot::channel();
    ///     rustlet::spawn(move || sender.send(6 * 7));
    ///     select! {
    ///         recv(answer.receiver()) -> _ => assert_eq!(answer.recv(), Ok(42)),
    ///         recv(after(Duration::from_secs(60))) -> _ => panic!("it takes too long"),
    ///     }
    /// });
    /// ```
    #[must_use]
    #[track_caller]
    pub fn receiver(&self) -> channel::Receiver<()> {
        poll_budget_quietly(Location::caller());
        let latch = self.shared.done.get_or_init(Latch::new);
        if self.shared.raw.is_done() {
            latch.set();
        }
        latch.receiver()
    }

    /// Returns a future of the value, for `async` code; otherwise like [`recv`](Receiver::recv).
    ///
    /// # Errors
    ///
    /// As [`recv`](Receiver::recv).
    ///
    /// # Cancellation
    ///
    /// A future that is dropped before it is ready has taken nothing: the value stays in the
    /// channel.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::oneshot::channel();
    /// std::thread::spawn(move || sender.send(1));
    /// assert_eq!(rustlet::block_on(receiver.recv_async()), Ok(1));
    /// ```
    pub async fn recv_async(&self) -> Result<T, RecvError> {
        loop {
            match self.shared.raw.try_receive() {
                Received::Value(value) => return Ok(value),
                Received::Nothing => {}
                Received::Never | Received::Cancelled => return Err(RecvError),
            }
            // It has no message of its own: it is ready when `recv` would not wait.
            self.receiver().recv_async().await.ok();
        }
    }

    fn receive(&self, deadline: Tick, at: &'static Location<'static>) -> Received<T> {
        poll_budget_quietly(at);
        let wait = Wait::at(Reason::Oneshot, at)
            .until(deadline)
            .on_cancel(OnCancel::Defer);
        loop {
            match self.shared.raw.receive(&wait) {
                Received::Cancelled => unwind_if_cancelled(),
                found => return found,
            }
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.raw.abandon();
        self.shared.set_done();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.close();
        // A value that will not be received is dropped now, not with the sender.
        drop(self.shared.raw.try_receive());
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
