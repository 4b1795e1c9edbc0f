//! `JoinError`: what `join` gives of a thread that did not return, as an error.
//!
//! Owns the payload. May be used from any thread.

use std::any::Any;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};

use crate::green::Cancelled;

/// Why a thread did not return: it panicked, or it was cancelled. [`join`](super::JoinHandle::join) gives std's payload, which is no
/// [`Error`](std::error::Error); this is one, and `?` makes it.
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
/// let error = JoinError::from(spawn(|| std::panic::resume_unwind(Box::new("oh"))).join().unwrap_err());
/// assert!(error.is_panic());
/// assert_eq!(error.to_string(), "the thread panicked: oh");
/// ```
pub struct JoinError {
    /// Behind a lock nobody waits for: errors are `Sync`, payloads are not.
    payload: Mutex<Box<dyn Any + Send>>,
    text: Option<Box<str>>,
    is_cancelled: bool,
}

impl JoinError {
    /// Whether it was cancelled, by [`cancel`](super::JoinHandle::cancel) or at the end of its runtime.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled
    }

    /// Whether it panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        !self.is_cancelled
    }

    /// The payload, as `join` gave it.
    #[must_use]
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with the unwinding in the calling thread.
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
