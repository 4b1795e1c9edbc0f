//! The one channel behind all capacities, without its handles: model-checked with other threads
//! than ours.

pub(crate) mod chan;
pub(crate) mod channel_thread;
pub(crate) mod outcome;
pub(crate) mod queue;
pub(crate) mod select_channel;
pub(crate) mod slot;
pub(crate) mod task;

#[cfg(all(test, loom))]
mod models;
