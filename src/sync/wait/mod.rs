//! Waiting of threads: the wait queue, the wait itself, and the spin lock that guards both.

pub(crate) mod boxed_wait;
pub(crate) mod spin;
pub(crate) mod wait_in_queue;
pub(crate) mod wait_queue;
#[cfg(not(loom))]
pub(crate) mod waiting_thread;
