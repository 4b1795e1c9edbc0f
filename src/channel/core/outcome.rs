//! Results of channel operations, for their callers and for a select.

use super::sleep::Waits;
use crate::sync::wait::line::Claimed;

/// The operation of a select.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Send,
    Recv,
}

/// The work that is left when the lock is released.
#[must_use]
#[derive(Debug)]
pub(crate) struct After<S: Waits> {
    pub(super) waker: Option<S::Waker>,
    pub(super) watched: bool,
}

/// The result of a receive attempt.
#[derive(Debug)]
pub(super) enum Take<S: Waits> {
    /// The item is in its place.
    Done(After<S>),
    Nothing,
    Disconnected,
    /// A lazy sender, which was claimed.
    Meet(Claimed<'static, S>),
}

/// The result of a send attempt.
#[derive(Debug)]
pub(super) enum Put<S: Waits> {
    /// Its value was taken.
    Done(After<S>),
    Full,
    Disconnected,
}

/// Reason why a value was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    Full,
    Disconnected,
}

/// Reason why none was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreceived {
    Empty,
    Disconnected,
}
