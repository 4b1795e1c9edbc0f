//! What operations on a channel give, for those who make them and for a select.

use super::sleep::Waits;
use crate::sync::wait::line::Claimed;

/// What a select wants of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Send,
    Recv,
}

/// What is left to do when the lock is released.
#[must_use]
#[derive(Debug)]
pub(crate) struct After<S: Waits> {
    pub(super) waker: Option<S::Waker>,
    pub(super) watched: bool,
}

/// What was to be had.
#[derive(Debug)]
pub(super) enum Take<S: Waits> {
    /// It is in its place.
    Done(After<S>),
    Nothing,
    Disconnected,
    /// A lazy sender, which was claimed.
    Meet(Claimed<'static, S>),
}

/// What became of an offer.
#[derive(Debug)]
pub(super) enum Put<S: Waits> {
    /// Its value was taken.
    Done(After<S>),
    Full,
    Disconnected,
}

/// Why a value was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    Full,
    Disconnected,
}

/// Why none was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreceived {
    Empty,
    Disconnected,
}
