//! Waiting for descriptors: a reactor for each worker, and the sources that are registered with
//! one.

#[cfg(all(test, loom))]
mod models;
#[cfg(not(loom))]
pub(super) mod reactor;
pub(crate) mod readiness;
#[cfg(not(loom))]
mod scheduled_io;
#[cfg(not(loom))]
pub(crate) mod source;
