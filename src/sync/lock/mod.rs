//! The locks, and what is waited for under one.

pub(super) mod condvar;
pub(super) mod mutex;
mod poison;
pub(super) mod rwlock;
