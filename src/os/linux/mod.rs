//! Linux-only APIs: [`std::os::linux`] for green threads.

/// Metadata as `stat` returns it: std's own.
pub use std::os::linux::fs;

pub mod net;
