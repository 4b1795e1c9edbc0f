//! The scheduler: the worker loop that runs green threads, the queues of unstarted threads, and how
//! workers sleep and are woken.

pub(crate) mod idle;
mod ring;

#[cfg(not(loom))]
mod adaptive_spin;
#[cfg(not(loom))]
mod idle_wait;
#[cfg(not(loom))]
pub(crate) mod runtime_context;
#[cfg(not(loom))]
pub(crate) mod shared;
#[cfg(not(loom))]
mod stealer;
#[cfg(not(loom))]
mod timer;
#[cfg(not(loom))]
pub(super) mod unstarted_queue;
#[cfg(not(loom))]
mod wake_timer;
#[cfg(not(loom))]
pub(crate) mod worker;
