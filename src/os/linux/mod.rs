//! What Linux has beyond other Unix systems: [`std::os::linux`] for green threads.

/// Metadata as `stat` gives it: std's own.
pub use std::os::linux::fs;

pub mod net;
