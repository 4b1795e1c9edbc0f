//! APIs of all Unix systems: [`std::os::unix`] for green threads.
//!
//! # Examples
//!
//! ```
//! use rustlet::os::unix::net::UnixStream;
//! use rustlet::os::unix::prelude::*;
//!
//! let (one, other) = UnixStream::pair()?;
//! assert_ne!(one.as_raw_fd(), other.as_raw_fd());
//! # Ok::<(), std::io::Error>(())
//! ```

/// System strings as bytes: std's own.
pub use std::os::unix::ffi;
/// File extensions for Unix: std's own traits and functions; `rustlet`'s files implement the traits
/// too. The functions access the disk in place, for a short time: use `unblock` where that matters.
pub use std::os::unix::fs;
/// Descriptors: std's own.
pub use std::os::unix::io;

pub mod net;
pub mod process;

/// The traits of this module, for a glob import.
pub mod prelude {
    pub use super::ffi::{OsStrExt, OsStringExt};
    pub use super::fs::{
        DirEntryExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt,
    };
    pub use super::io::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
    pub use super::process::{CommandExt, ExitStatusExt};
}
