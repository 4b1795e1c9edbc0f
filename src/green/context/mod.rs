//! What a worker has for its green threads: who runs, who is ready, where messages come in.

pub(crate) mod remote_queue;

#[cfg(not(loom))]
pub(crate) mod coop;
#[cfg(not(loom))]
pub(crate) mod remote;
#[cfg(not(loom))]
mod run_queue;
#[cfg(not(loom))]
pub(crate) mod worker_context;
