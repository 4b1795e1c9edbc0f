//! Locks and other meeting points of threads, with the names of [`std::sync`]: they suspend the calling green thread, or
//! block the calling OS thread, and join the two kinds.

pub(crate) mod line;
pub(crate) mod spin;

#[cfg(not(loom))]
pub(crate) mod waiting;
