//! `JoinError`: the payload of a thread that did not return, as an error.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};

use crate::green::Cancelled;

/// Reason why a thread did not return, as an [`Error`](std::error::Error): it panicked or was
/// cancelled.
///
/// [`join`](super::JoinHandle::join) returns std's payload, which is not an `Error`; convert it
/// with `JoinError::from`. It converts into an [`io::Error`] with `?`.
///
/// # Examples
///
/// ```
/// use rustlet::thread::{JoinError, spawn};
///
/// fn total() -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
///     let one = spawn(|| 1);
///     let two = spawn(|| 2);
///     Ok(one.join().map_err(JoinError::from)? + two.join().map_err(JoinError::from)?)
/// }
/// assert_eq!(total().unwrap(), 3);
///
/// let failed = spawn(|| std::panic::resume_unwind(Box::new("oh")));
/// let error = JoinError::from(failed.join().unwrap_err());
/// assert!(error.is_panic());
/// assert_eq!(error.to_string(), "the thread panicked: oh");
/// ```
#[doc(alias = "JoinHandle")]
pub struct JoinError {
    /// Behind an uncontended lock: errors must be `Sync`, and payloads are not.
    payload: Mutex<Box<dyn Any + Send>>,
    text: Option<Box<str>>,
    is_cancelled: bool,
}

impl JoinError {
    /// Returns `true` if the thread was cancelled, by [`cancel`](super::JoinHandle::cancel) or at
    /// the end of its runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::thread::JoinError;
    ///
    /// rustlet::run(|| {
    ///     let thread = rustlet::spawn(rustlet::park);
    ///     thread.cancel();
    ///     let error = JoinError::from(thread.join().unwrap_err());
    ///     assert!(error.is_cancelled());
    /// });
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled
    }

    /// Returns `true` if the thread panicked.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::thread::JoinError;
    ///
    /// rustlet::run(|| {
    ///     let thread = rustlet::spawn(|| std::panic::resume_unwind(Box::new("no")));
    ///     let error = JoinError::from(thread.join().unwrap_err());
    ///     assert!(error.is_panic());
    /// });
    /// ```
    #[must_use]
    pub fn is_panic(&self) -> bool {
        !self.is_cancelled
    }

    /// Returns the payload, as `join` returned it.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::thread::JoinError;
    ///
    /// rustlet::run(|| {
    ///     let thread = rustlet::spawn(|| std::panic::resume_unwind(Box::new(7)));
    ///     let error = JoinError::from(thread.join().unwrap_err());
    ///     assert_eq!(error.into_payload().downcast_ref(), Some(&7));
    /// });
    /// ```
    #[must_use]
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Resumes unwinding with the payload in the calling thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::thread::JoinError;
    /// use std::panic::catch_unwind;
    ///
    /// let error = JoinError::from(Box::new("no") as Box<dyn std::any::Any + Send>);
    /// let payload = catch_unwind(std::panic::AssertUnwindSafe(|| error.resume())).unwrap_err();
    /// assert_eq!(payload.downcast_ref(), Some(&"no"));
    /// ```
    pub fn resume(self) -> ! {
        resume_unwind(self.into_payload())
    }
}

impl From<Box<dyn Any + Send>> for JoinError {
    fn from(payload: Box<dyn Any + Send>) -> JoinError {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .map(Box::from);
        JoinError {
            is_cancelled: Cancelled::is(&*payload),
            text,
            payload: Mutex::new(payload),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            _ if self.is_cancelled => f.write_str("the thread was cancelled"),
            Some(text) => write!(f, "the thread panicked: {text}"),
            None => f.write_str("the thread panicked"),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinError")
            .field("is_cancelled", &self.is_cancelled)
            .field("text", &self.text)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for JoinError {}

/// An error of the kind [`Other`](io::ErrorKind::Other) that has the [`JoinError`] inside.
///
/// # Examples
///
/// ```
/// use rustlet::thread::{JoinError, spawn};
/// use std::io;
///
/// fn total() -> io::Result<u32> {
///     let one = spawn(|| io::Result::Ok(1));
///     Ok(one.join().map_err(JoinError::from)?? + 1)
/// }
/// assert_eq!(total()?, 2);
/// # io::Result::Ok(())
/// ```
impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> io::Error {
        io::Error::other(error)
    }
}
