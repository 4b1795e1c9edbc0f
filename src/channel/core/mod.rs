//! The one channel behind all capacities, without its handles: model-checked on threads that are not ours.

pub(crate) mod chan;
pub(crate) mod meeting;
pub(crate) mod outcome;
pub(crate) mod queue;
pub(crate) mod sleep;
pub(crate) mod slot;

#[cfg(all(test, loom))]
mod models;
