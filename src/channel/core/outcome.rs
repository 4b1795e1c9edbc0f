//! Results of channel operations, for their callers and for a select.

use super::channel_thread::ChannelThread;
use crate::sync::wait::wait_queue::Dequeued;

/// The operation of a select.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Send,
    Recv,
}

/// The work that is left when the lock is released.
#[must_use]
#[derive(Debug)]
pub(crate) struct PostUnlock<S: ChannelThread> {
    pub(super) waker: Option<S::Waker>,
    pub(super) has_observers: bool,
}

/// The result of a receive attempt.
#[derive(Debug)]
pub(super) enum RecvOutcome<S: ChannelThread> {
    /// The item is in its place.
    Done(PostUnlock<S>),
    Nothing,
    Disconnected,
    /// A deferred sender, which was claimed.
    Rendezvous(Dequeued<'static, S>),
}

/// The result of a send attempt.
#[derive(Debug)]
pub(super) enum SendOutcome<S: ChannelThread> {
    /// Its value was taken.
    Done(PostUnlock<S>),
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
