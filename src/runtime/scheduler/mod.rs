//! The workers: the loop that runs green threads, the queues of what has not started, sleeping and waking.

pub(crate) mod idle;
mod ring;

#[cfg(not(loom))]
pub(crate) mod context;
#[cfg(not(loom))]
mod linger;
#[cfg(not(loom))]
mod lull;
#[cfg(not(loom))]
mod sentinel;
#[cfg(not(loom))]
pub(crate) mod shared;
#[cfg(not(loom))]
pub(super) mod start_queue;
#[cfg(not(loom))]
mod timer;
#[cfg(not(loom))]
pub(crate) mod worker;
