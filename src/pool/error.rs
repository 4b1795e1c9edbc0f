//! [`GetError`].

use std::fmt;

/// Error of [`Pool::get`](super::Pool::get) and its variants.
///
/// # Examples
///
/// ```
/// use rustlet::pool::{GetError, Pool};
///
/// let pool = Pool::new(1, || Err::<(), _>("refused"));
/// assert_eq!(pool.get().unwrap_err(), GetError::Manager("refused"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetError<E> {
    /// No value became free before the time limit.
    Timeout,
    /// The pool was closed.
    Closed,
    /// The manager could not create a value; this is its error.
    Manager(E),
}

impl<E: fmt::Display> fmt::Display for GetError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GetError::Timeout => f.write_str("no value of the pool became free in time"),
            GetError::Closed => f.write_str("the pool is closed"),
            GetError::Manager(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error> std::error::Error for GetError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            GetError::Timeout | GetError::Closed => None,
            GetError::Manager(error) => error.source(),
        }
    }
}
