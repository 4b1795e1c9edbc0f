//! Files and directories for green threads: the types and functions of [`std::fs`], with the same
//! names, signatures, errors and traits.
//!
//! Disks have no readiness events, so operations run on the runtime's pool of blocking OS threads
//! and suspend the calling green thread meanwhile; on an OS thread they block, as in std.
//! [`Builder::blocking_threads`](crate::Builder::blocking_threads) limits the number of
//! simultaneous operations; further ones are queued. Plain data ([`Metadata`], [`Permissions`], …)
//! is std's own, reexported. std's extension traits for Unix
//! ([`OpenOptionsExt`](std::os::unix::fs::OpenOptionsExt), [`FileExt`](std::os::unix::fs::FileExt),
//! [`DirBuilderExt`](std::os::unix::fs::DirBuilderExt),
//! [`DirEntryExt`](std::os::unix::fs::DirEntryExt)) are implemented for the types here: import
//! std's traits.
//!
//! Differences from std that signatures do not show:
//!
//! - one read or write moves at most 2 MiB ([`File`]);
//! - [`Path`]'s own methods (`path.exists()`, `path.metadata()`) are std's and block the worker for
//!   a short time: use [`exists`] and [`metadata`] here;
//! - `Read`, `Write` and `Seek` are not implemented for `Arc<File>`, which only std can do:
//!   `&*file` has them.
//!
//! # Cancellation
//!
//! An operation without effects unwinds at once when its green thread is cancelled. An operation
//! with effects (on a file, a directory, a position) does so only while it is queued; once it has
//! begun it completes, and the next wait unwinds. [`File`] has the details.
//!
//! # Examples
//!
//! ```
//! use rustlet::fs;
//!
//! # let dir = std::env::temp_dir().join(format!("rustlet-doc-fs-{}", std::process::id()));
//! rustlet::run(|| {
//!     fs::create_dir_all(&dir)?;
//!     fs::write(dir.join("note"), "remember")?;
//!     assert_eq!(fs::read_to_string(dir.join("note"))?, "remember");
//!     fs::remove_dir_all(&dir)
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod dir;
mod fifo;
mod file;
mod lock;
mod open;
mod options;
mod transfer;

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

pub use std::fs::{FileTimes, FileType, Metadata, Permissions};

pub use self::dir::{DirEntry, ReadDir};
pub use self::file::File;
pub use self::lock::TryLockError;
pub use self::options::{DirBuilder, OpenOptions};

use self::open::Begun;
use crate::io::file::bounce_buffer::MAX_TRANSFER;
use crate::runtime::blocking;

/// Functions of one path: `on_file` (without effects) or `on_file_shielded` (with effects).
macro_rules! of_one_path {
    ($($(#[doc = $text:literal])+ $name:ident -> $result:ty, $call:ident;)+) => {$(
        $(#[doc = $text])+
        #[track_caller]
        pub fn $name<P: AsRef<Path>>(path: P) -> io::Result<$result> {
            let path = path.as_ref().to_owned();
            blocking::$call(move || std::fs::$name(path))
        }
    )+};
}

/// Functions that change two paths.
macro_rules! of_two_paths {
    ($($(#[$attribute:meta])+ $name:ident($one:ident, $two:ident) -> $result:ty;)+) => {$(
        $(#[$attribute])+
        #[track_caller]
        pub fn $name<P: AsRef<Path>, Q: AsRef<Path>>($one: P, $two: Q) -> io::Result<$result> {
            let ($one, $two) = ($one.as_ref().to_owned(), $two.as_ref().to_owned());
            blocking::on_file_shielded(move || std::fs::$name($one, $two))
        }
    )+};
}

of_one_path! {
    /// Returns the absolute path without links, `.` and `..`.
    ///
    /// # Errors
    ///
    /// As in std: a component is missing or not a directory.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// let path = rustlet::run(|| rustlet::fs::canonicalize("/dev/../dev/null"))?;
    /// assert!(path.ends_with("dev/null"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    canonicalize -> PathBuf, on_file;

    /// Creates a directory in an existing one.
    ///
    /// # Errors
    ///
    /// As in std: it exists, its parent is missing, or permissions do not allow it.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// let there = rustlet::run(|| rustlet::fs::create_dir("/")).unwrap_err();
    /// assert_eq!(there.kind(), std::io::ErrorKind::AlreadyExists);
    /// ```
    create_dir -> (), on_file_shielded;

    /// Creates a directory and its missing parents. Succeeds if all exist.
    ///
    /// # Errors
    ///
    /// As in std: a component is not a directory, or permissions do not allow it.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| rustlet::fs::create_dir_all("/"))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    create_dir_all -> (), on_file_shielded;

    /// Returns `true` if `path` exists; a link is followed.
    ///
    /// # Errors
    ///
    /// As in std: permissions of a directory do not allow the check.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(rustlet::run(|| rustlet::fs::exists("/"))?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    exists -> bool, on_file;

    /// Returns the metadata of `path`; a link is followed.
    ///
    /// # Errors
    ///
    /// As in std: `path` does not exist, or permissions of a directory do not allow it.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(rustlet::run(|| rustlet::fs::metadata("/"))?.is_dir());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    metadata -> Metadata, on_file;

    /// Returns the metadata of `path`; a link is not followed.
    ///
    /// # Errors
    ///
    /// As [`metadata`].
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(rustlet::run(|| rustlet::fs::symlink_metadata("/proc/self"))?.is_symlink());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    symlink_metadata -> Metadata, on_file;

    /// Returns the target of a symbolic link.
    ///
    /// # Errors
    ///
    /// As in std: `path` does not exist or is not a link.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// let file = rustlet::run(|| rustlet::fs::read_link("/")).unwrap_err();
    /// assert_eq!(file.kind(), std::io::ErrorKind::InvalidInput);
    /// ```
    read_link -> PathBuf, on_file;

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// As in std: it does not exist, is not a directory, or is not empty.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(rustlet::run(|| rustlet::fs::remove_dir("/dev/null")).is_err());
    /// ```
    remove_dir -> (), on_file_shielded;

    /// Removes a directory with its contents; links are not followed.
    ///
    /// # Errors
    ///
    /// As in std. Entries that were removed before an error stay removed.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// let missing = rustlet::run(|| rustlet::fs::remove_dir_all("/no/such")).unwrap_err();
    /// assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    /// ```
    remove_dir_all -> (), on_file_shielded;

    /// Removes a file or a link.
    ///
    /// # Errors
    ///
    /// As in std: it does not exist or is a directory.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// let missing = rustlet::run(|| rustlet::fs::remove_file("/no/such")).unwrap_err();
    /// assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    /// ```
    remove_file -> (), on_file_shielded;
}

of_two_paths! {
    /// Creates another name (a hard link) for a file, on the same file system.
    ///
    /// # Errors
    ///
    /// As in std: `original` does not exist, `link` does, or they are on different file systems.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(rustlet::run(|| rustlet::fs::hard_link("/no/such", "/no/such/either")).is_err());
    /// ```
    hard_link(original, link) -> ();

    /// Renames a file or a directory, replacing an existing target.
    ///
    /// # Errors
    ///
    /// As in std: `from` does not exist, or `to` is on another file system.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(rustlet::run(|| rustlet::fs::rename("/no/such", "/no/such/either")).is_err());
    /// ```
    rename(from, to) -> ();

    /// Creates a symbolic link. Deprecated as in std: use `std::os::unix::fs::symlink`.
    ///
    /// # Errors
    ///
    /// As in std: `link` exists.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[allow(deprecated)]
    /// let failed = rustlet::run(|| rustlet::fs::soft_link("/dev/null", "/dev/null"));
    /// assert!(failed.is_err());
    /// ```
    #[deprecated(since = "0.1.0", note = "as in std: use `std::os::unix::fs::symlink`")]
    #[allow(deprecated, reason = "deprecated in std too")]
    soft_link(original, link) -> ();
}

/// Copies the contents and the permissions of a file to another, which is created if necessary, and
/// returns the number of bytes. The kernel copies where possible.
///
/// # Errors
///
/// As in std: `from` does not exist or is not a regular file, or `to` cannot be written.
///
/// # Suspends
///
/// Suspends the calling green thread until all is copied; blocks an OS thread.
///
/// # Cancellation
///
/// A copy that has begun completes, unless the target is a FIFO or a device: then a part is copied.
///
/// # Examples
///
/// ```
/// let missing = rustlet::run(|| rustlet::fs::copy("/no/such", "/no/such/either")).unwrap_err();
/// assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
/// ```
#[track_caller]
pub fn copy<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<u64> {
    let paths = (from.as_ref().to_owned(), to.as_ref().to_owned());
    let copied = blocking::on_file_shielded(move || {
        let (from, to) = paths;
        if !waits_when_opened(&from) && !waits_when_opened(&to) {
            return std::fs::copy(from, to).map(Some);
        }
        // std's error, which it returns after the file is open.
        if !std::fs::metadata(&from)?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the source path is neither a regular file nor a symlink to a regular file",
            ));
        }
        Ok(None)
    })?;
    match copied {
        Some(count) => Ok(count),
        None => crate::io::copy(&mut File::open(from)?, &mut File::create(to)?),
    }
}

/// Changes the permissions of `path`.
///
/// # Errors
///
/// As in std: it does not exist, or has another owner.
///
/// # Suspends
///
/// Suspends the calling green thread; blocks an OS thread.
///
/// # Examples
///
/// ```no_run
/// use std::os::unix::fs::PermissionsExt;
///
/// rustlet::run(|| rustlet::fs::set_permissions("ledger", PermissionsExt::from_mode(0o600)))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn set_permissions<P: AsRef<Path>>(path: P, perm: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    blocking::on_file_shielded(move || std::fs::set_permissions(path, perm))
}

/// Returns an iterator over the entries of a directory, without `.` and `..`, in no particular
/// order. Suspends, and the iteration does so occasionally.
///
/// # Errors
///
/// As in std: it does not exist, is not a directory, or permissions do not allow it.
///
/// # Examples
///
/// ```
/// rustlet::run(|| {
///     for entry in rustlet::fs::read_dir("/")? {
///         println!("{}", entry?.path().display());
///     }
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn read_dir<P: AsRef<Path>>(path: P) -> io::Result<ReadDir> {
    ReadDir::of(path.as_ref())
}

/// Reads a whole file.
///
/// # Errors
///
/// As in std: it does not exist, may not be read, or is a directory.
///
/// # Suspends
///
/// Suspends the calling green thread; blocks an OS thread.
///
/// # Examples
///
/// ```
/// let nothing = rustlet::run(|| rustlet::fs::read("/dev/null"))?;
/// assert!(nothing.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn read<P: AsRef<Path>>(path: P) -> io::Result<Vec<u8>> {
    let begin = OpenOptions::new()
        .read(true)
        .begin(path.as_ref().to_owned());
    let found = blocking::on_file(move || match begin()? {
        Begun::File(mut file) => {
            let mut all = Vec::new();
            file.read_to_end(&mut all)?;
            Ok(Ok(all))
        }
        // It may never end, and must not occupy a thread of the pool.
        begun => Ok(Err(begun)),
    })?;
    match found {
        Ok(all) => Ok(all),
        Err(begun) => {
            let mut all = Vec::new();
            begun.finish()?.read_to_end(&mut all)?;
            Ok(all)
        }
    }
}

/// Reads a whole file, which must be UTF-8.
///
/// # Errors
///
/// [`InvalidData`](io::ErrorKind::InvalidData) if it is not UTF-8; otherwise as [`read`].
///
/// # Suspends
///
/// Suspends the calling green thread; blocks an OS thread.
///
/// # Examples
///
/// ```
/// assert_eq!(rustlet::run(|| rustlet::fs::read_to_string("/dev/null"))?, "");
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn read_to_string<P: AsRef<Path>>(path: P) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| transfer::not_utf8())
}

/// Writes a whole file: creates it if it does not exist, and replaces its contents if it does.
///
/// # Errors
///
/// As in std: it may not be written, is a directory, or the disk is full.
///
/// # Suspends
///
/// Suspends the calling green thread; blocks an OS thread.
///
/// # Cancellation
///
/// Up to 2 MiB are written in one call, which completes once it has begun. Of more, a part may be
/// written.
///
/// # Examples
///
/// ```
/// rustlet::run(|| rustlet::fs::write("/dev/null", "gone"))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn write<P: AsRef<Path>, C: AsRef<[u8]>>(path: P, contents: C) -> io::Result<()> {
    let contents = contents.as_ref();
    if contents.len() <= MAX_TRANSFER {
        let (path, contents) = (path.as_ref().to_owned(), contents.to_owned());
        let is_written = blocking::on_file_shielded(move || {
            let waits = waits_when_opened(&path);
            if !waits {
                std::fs::write(path, contents)?;
            }
            Ok(!waits)
        })?;
        if is_written {
            return Ok(());
        }
    }
    File::create(path)?.write_all(contents)
}

/// Returns whether opening `path`, or reading or writing it then, may wait for another program: a
/// FIFO or a device.
///
/// The file may be replaced before it is opened. Then a call that should be short waits until the
/// other end of the FIFO is opened.
fn waits_when_opened(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| {
        let file_type = metadata.file_type();
        file_type.is_fifo() || file_type.is_char_device()
    })
}
