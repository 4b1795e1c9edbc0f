//! A channel for one value: [`channel()`] gives its two ends. Its protocol is `raw/oneshot.rs`.
//!
//! To wait for it among other things, there is [`Receiver::receiver`].
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
use super::wait::waiting::Thread;
use crate::channel::{self, Latch};
use crate::green::budget::spend_quietly;
use crate::green::park::raise_if_cancelled;
use crate::green::{OnCancel, Reason, Wait};
use crate::sys::clock::{self, NEVER, Tick};

struct Shared<T> {
    raw: RawOneshot<T, Thread>,
    /// For those who wait in a select, if there are any. Set when nothing more can come: whoever makes it looks at `raw` after that, and whoever
    /// changes `raw` looks here after that.
    settled: OnceLock<Latch>,
}

impl<T> Shared<T> {
    /// The sender has done its deed, or the receiver is closed.
    fn close(&self) {
        self.raw.close();
        self.settle();
    }

    fn settle(&self) {
        if let Some(latch) = self.settled.get() {
            latch.set();
        }
    }
}

/// The end that sends one value. Dropped without that, the receiver gets an error.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The end that receives it.
///
/// A green thread that is [cancelled](crate::Cancelled) while it receives unwinds; the value is not lost, as long as the receiver lives.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

/// A new channel.
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        raw: RawOneshot::new(),
        settled: OnceLock::new(),
    });
    let sender = Sender {
        shared: Arc::clone(&shared),
    };
    (sender, Receiver { shared })
}

impl<T> Sender<T> {
    /// Sends the value. Does not wait.
    ///
    /// # Errors
    ///
    /// The receiver is gone, or closed; the value comes back. It can also be lost after this has returned `Ok`, if the receiver goes
    /// without having received.
    ///
    /// ```
    /// let (sender, receiver) = rustlet::sync::oneshot::channel();
    /// drop(receiver);
    /// assert_eq!(sender.send(1), Err(1));
    /// ```
    pub fn send(self, value: T) -> Result<(), T> {
        // The drop that follows finds nobody to wake but those who select.
        self.shared.raw.send(value)
    }

    /// Whether the receiver is gone, or closed: sending would fail. Does not wait.
    #[must_use]
    #[track_caller]
    pub fn is_closed(&self) -> bool {
        spend_quietly(Location::caller());
        self.shared.raw.is_closed()
    }
}

impl<T> Receiver<T> {
    /// Waits for the value. Suspends the calling green thread, or blocks the calling OS thread.
    ///
    /// # Errors
    ///
    /// The sender is gone, or its value was received before.
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        match self.receive(NEVER, Location::caller()) {
            Received::Value(value) => Ok(value),
            _ => Err(RecvError),
        }
    }

    /// As [`recv`](Receiver::recv), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// `Timeout`: the time was up. `Disconnected`: as `recv`.
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

    /// Takes the value if it is there. A green thread that tries in vain again and again gives way from time to time.
    ///
    /// # Errors
    ///
    /// `Empty`: it has not been sent. `Disconnected`: as `recv`.
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
        spend_quietly(Location::caller());
        match self.shared.raw.try_receive() {
            Received::Value(value) => Ok(value),
            Received::Nothing => Err(TryRecvError::Empty),
            _ => Err(TryRecvError::Disconnected),
        }
    }

    /// Lets the sender know that nothing is wanted any more. A value that was sent before can still be received. Does not wait.
    #[track_caller]
    pub fn close(&self) {
        spend_quietly(Location::caller());
        self.shared.close();
    }

    /// A receiver for [`select!`](crate::channel::select), of `()` once [`recv`](Receiver::recv) has nothing to wait for: the value has been sent, or will never
    /// be. It takes nothing out, stays ready from then on, and may outlive this one. Does not wait.
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
        spend_quietly(Location::caller());
        let latch = self.shared.settled.get_or_init(Latch::new);
        if self.shared.raw.is_settled() {
            latch.set();
        }
        latch.receiver()
    }

    fn receive(&self, deadline: Tick, at: &'static Location<'static>) -> Received<T> {
        spend_quietly(at);
        let wait = Wait::at(Reason::Oneshot, at)
            .until(deadline)
            .on_cancel(OnCancel::Defer);
        loop {
            match self.shared.raw.receive(&wait) {
                Received::Cancelled => raise_if_cancelled(),
                found => return found,
            }
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.raw.abandon();
        self.shared.settle();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.close();
        // A value that nobody will receive goes now, not with the sender.
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
