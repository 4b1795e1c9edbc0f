//! The part of a worker that green threads use: the running thread, the run queue, the remote
//! queue.

pub(crate) mod remote_queue;

#[cfg(not(loom))]
pub(crate) mod coop;
#[cfg(not(loom))]
pub(crate) mod remote;
#[cfg(not(loom))]
mod run_queue;
#[cfg(not(loom))]
pub(crate) mod worker_context;
