//! What is particular to Unix, or to one kind of it: [`std::os`] for green threads.
//!
//! Types that wait are ours, with std's names, and traits that std keeps for its own types have a counterpart here.
//! Everything else (descriptors, extensions of strings and paths, of metadata and permissions) is std's own,
//! re-exported, so that `std::os::` can be replaced by `rustlet::os::` throughout. Left out is what green threads do not
//! have: a `pthread_t`, for which std has `os::unix::thread`.

/// Owned and borrowed descriptors, which every socket converts from and into: std's own.
pub use std::os::fd;
/// The types of C, as [`std::os::raw`] has them.
pub use std::os::raw;

#[cfg(target_os = "linux")]
pub mod linux;
pub mod unix;
