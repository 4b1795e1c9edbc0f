//! The locks and the condition variable.

pub(super) mod condvar;
pub(super) mod mutex;
mod poison;
pub(super) mod rwlock;
mod timed;
