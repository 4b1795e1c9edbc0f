//! Waiting for descriptors: a reactor for each worker, and the sources that are registered with one.

pub(crate) mod direction;
#[cfg(not(loom))]
pub(super) mod reactor;
#[cfg(not(loom))]
mod scheduled_io;
#[cfg(not(loom))]
pub(crate) mod source;
