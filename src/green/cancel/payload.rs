//! What a wait that is ended before its time unwinds with, or gives: [`Cancelled`], [`Elapsed`].

use std::any::Any;
use std::fmt;
use std::io;
use std::num::NonZeroU64;

/// The payload with which a cancelled wait unwinds; what [`join`](crate::JoinHandle::join) gives of
/// a thread that was cancelled.
///
/// A green thread is cancelled by [`JoinHandle::cancel`](crate::JoinHandle::cancel), or when the
/// [`run`](crate::run) that it belongs to has ended. Up to a boundary, any thread is cancelled by
/// an elapsed [`timeout`](crate::timeout) or [`deadline`](crate::deadline), or a
/// [`scope_cancelling`](crate::thread::scope_cancelling) that has failed; then this payload ends
/// there.
///
/// It is no panic: no message is printed, and locks of this crate are not poisoned by it. Code that
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
    /// The number of the scope that catches it; none for the thread's own end.
    pub(super) scope: Option<NonZeroU64>,
    /// Kept for its drop.
    pub(super) _guard: Option<UnwindGuard>,
}

impl Cancelled {
    /// One that nobody was unwound with.
    pub(crate) const fn new() -> Cancelled {
        Cancelled {
            scope: None,
            _guard: None,
        }
    }

    /// Whether the payload of an unwinding, as [`catch_unwind`](std::panic::catch_unwind) or
    /// [`join`](crate::JoinHandle::join) gives it, is a cancellation and not a panic.
    ///
    /// ```
    /// let panicked = rustlet::spawn(|| std::panic::resume_unwind(Box::new("oh"))).join();
    /// assert!(!rustlet::Cancelled::is(&panicked.unwrap_err()));
    /// ```
    #[must_use]
    pub fn is(payload: &(dyn Any + Send)) -> bool {
        payload.is::<Cancelled>()
            // `&payload` of a `Box<dyn Any + Send>` coerces to the box as `Any`, not to what is in
            // it.
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

/// A part of every payload that a cancellation unwinds with. When it is dropped (`cancel.rs`)
/// the unwinding is over: it has been caught.
#[derive(Debug)]
pub(crate) enum UnwindGuard {
    Green { thread: NonZeroU64, number: u32 },
    Os { number: NonZeroU64 },
}

/// The time of a [`timeout`](crate::timeout) or a [`deadline`](crate::deadline) was up before the
/// work was done.
///
/// As an [`io::Error`] its kind is [`TimedOut`](io::ErrorKind::TimedOut), so `?` takes it in
/// functions that return `io::Result`:
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
