//! What a worker has for its green threads: who runs, who is ready, where messages come in.

pub(crate) mod mailbox;

#[cfg(not(loom))]
pub(super) mod coop;
#[cfg(not(loom))]
pub(crate) mod home;
#[cfg(not(loom))]
mod queue;
#[cfg(not(loom))]
pub(crate) mod remote;
