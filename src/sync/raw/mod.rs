//! The protocols of the locks, without what they guard and without poisoning: who gets in, who waits, whom a release wakes.
//!
//! Each is written for any [`Sleep`](crate::sync::wait::stand::Sleep), and model-checked on this very source.

pub(crate) mod condvar;
pub(crate) mod mutex;
pub(crate) mod once;
pub(crate) mod oneshot;
pub(crate) mod rwlock;
pub(crate) mod semaphore;
