//! The payload that a cancelled wait unwinds with, [`Cancelled`], and the error of a timeout,
//! [`Elapsed`].

use std::any::Any;
use std::fmt;
use std::io;
use std::num::NonZeroU64;

/// The payload with which a cancelled wait unwinds, and the error that
/// [`join`](crate::JoinHandle::join) returns for a thread that was cancelled.
///
/// A green thread is cancelled by [`JoinHandle::cancel`](crate::JoinHandle::cancel), or when the
/// [`run`](crate::run) that it belongs to has ended. An elapsed [`timeout`](crate::timeout) or
/// [`deadline`](crate::deadline), or a failed
/// [`scope_cancelling`](crate::thread::scope_cancelling), cancels any thread up to its own call,
/// which catches the payload.
///
/// It is no panic: no message is printed, and it does not poison locks of this crate. Code that
/// catches panics should let it pass. If it does not, the next wait raises it again.
///
/// ```
/// use std::panic::{catch_unwind, resume_unwind};
///
/// let thread = rustlet::spawn(|| {
///     if let Err(payload) = catch_unwind(rustlet::park) {
///         if rustlet::Cancelled::is(&payload) {
///             resume_unwind(payload);
///         }
///         println!("a panic, which we survive");
///     }
/// });
/// thread.cancel();
/// assert!(rustlet::Cancelled::is(&thread.join().unwrap_err()));
/// ```
pub struct Cancelled {
    /// The number of the scope that catches it; `None` for the cancellation of the thread itself.
    pub(super) scope: Option<NonZeroU64>,
    /// Kept for its `Drop`.
    pub(super) _guard: Option<UnwindGuard>,
}

impl Cancelled {
    /// Creates a payload that was not used to unwind.
    pub(crate) const fn new() -> Cancelled {
        Cancelled {
            scope: None,
            _guard: None,
        }
    }

    /// Returns whether the payload of an unwinding, as returned by
    /// [`catch_unwind`](std::panic::catch_unwind) or [`join`](crate::JoinHandle::join), is a
    /// cancellation and not a panic.
    ///
    /// ```
    /// let panicked = rustlet::spawn(|| std::panic::resume_unwind(Box::new("oh"))).join();
    /// assert!(!rustlet::Cancelled::is(&panicked.unwrap_err()));
    /// ```
    #[must_use]
    pub fn is(payload: &(dyn Any + Send)) -> bool {
        payload.is::<Cancelled>()
            // `&payload` of a `Box<dyn Any + Send>` coerces to the box as `Any`, not to its
            // content.
            || payload
                .downcast_ref::<Box<dyn Any + Send>>()
                .is_some_and(|inner| inner.is::<Cancelled>())
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cancelled")
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the green thread was cancelled")
    }
}

impl std::error::Error for Cancelled {}

/// The part of every cancellation payload that marks its unwinding as active. Its drop (in
/// `cancel/mod.rs`) ends the unwinding: the payload was caught.
#[derive(Debug)]
pub(crate) enum UnwindGuard {
    Green { thread: NonZeroU64, number: u32 },
    Os { number: NonZeroU64 },
}

/// Error returned when the time of a [`timeout`](crate::timeout) or a [`deadline`](crate::deadline)
/// was up before the work was done.
///
/// It converts to an [`io::Error`] of the kind [`TimedOut`](io::ErrorKind::TimedOut), so `?` works
/// in functions that return `io::Result`:
///
/// ```
/// use std::io;
/// use std::time::Duration;
///
/// fn wait() -> io::Result<()> {
///     rustlet::timeout(Duration::from_millis(1), rustlet::park)?;
///     Ok(())
/// }
/// let error = rustlet::run(wait).unwrap_err();
/// assert_eq!(error.kind(), io::ErrorKind::TimedOut);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}
