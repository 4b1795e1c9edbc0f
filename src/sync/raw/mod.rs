//! The protocols of the locks, without the value and without poisoning: which thread enters, which
//! waits, and which waiter a release wakes.
//!
//! Each is generic over [`Sleep`](crate::sync::wait::wait_in_queue::Sleep) and is model-checked on
//! this very source.

pub(crate) mod condvar;
pub(crate) mod mutex;
pub(crate) mod once;
pub(crate) mod oneshot;
pub(crate) mod rwlock;
pub(crate) mod semaphore;
