//! APIs of Unix, or of one kind of it: [`std::os`] for green threads.
//!
//! Types that wait are ours, with std's names, and traits that std seals for its own types have a
//! counterpart here. Everything else (descriptors, extensions of strings and paths, of metadata and
//! permissions) is std's own, reexported, so that `std::os::` can be replaced by `rustlet::os::`
//! throughout. Only `os::unix::thread` is missing, because green threads have no `pthread_t`.

/// Owned and borrowed descriptors, which every socket converts from and into: std's own.
pub use std::os::fd;
/// C types, as in [`std::os::raw`].
pub use std::os::raw;

#[cfg(target_os = "linux")]
pub mod linux;
pub mod unix;
