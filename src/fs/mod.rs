//! Files and directories for green threads: the types and functions of [`std::fs`], with the same names, signatures, errors and traits.
//!
//! Disks have no "ready", so what is here is done on the runtime's pool of blocking OS threads, and suspends the calling green thread
//! meanwhile; from ordinary OS threads it blocks, as std's does. How many operations go on at once is
//! [`Builder::blocking_threads`](crate::Builder::blocking_threads); further ones wait their turn. Plain data ([`Metadata`], [`Permissions`], …) is std's own,
//! re-exported. What std has for Unix in extension traits ([`OpenOptionsExt`](std::os::unix::fs::OpenOptionsExt), [`FileExt`](std::os::unix::fs::FileExt),
//! [`DirBuilderExt`](std::os::unix::fs::DirBuilderExt), [`DirEntryExt`](std::os::unix::fs::DirEntryExt)) is implemented for the types here: import std's traits.
//!
//! What differs, and is not visible in signatures:
//!
//! - one read or write carries at most 2 MiB ([`File`]);
//! - an operation that only asks unwinds at once when its green thread is cancelled. One that changes something (a file, a directory, a
//!   position) does so while it waits for its turn; once it has begun it is waited for, and the cancellation comes at the next wait. [`File`] says more;
//! - [`Path`]'s own questions (`path.exists()`, `path.metadata()`) are std's and block the worker, shortly: ask [`exists`] and [`metadata`] here;
//! - `Read`, `Write` and `Seek` are not implemented for `Arc<File>`, which only std can do: `&*file` has them.
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
use crate::io::file::bounce::MOST;
use crate::runtime::blocking;

/// The functions that ask one thing about a path, or change one: `on_file` or `on_file_shielded` says which.
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

/// The functions that change two paths.
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
    /// The absolute path without links, `.` and `..`. Suspends.
    ///
    /// # Errors
    ///
    /// As std's: something on the way is missing, or is no directory.
    ///
    /// ```
    /// let path = rustlet::run(|| rustlet::fs::canonicalize("/dev/../dev/null"))?;
    /// assert!(path.ends_with("dev/null"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    canonicalize -> PathBuf, on_file;

    /// Makes a directory in one that is there. Suspends.
    ///
    /// # Errors
    ///
    /// As std's: it is there already, the one above is missing, or forbids it.
    ///
    /// ```
    /// let there = rustlet::run(|| rustlet::fs::create_dir("/")).unwrap_err();
    /// assert_eq!(there.kind(), std::io::ErrorKind::AlreadyExists);
    /// ```
    create_dir -> (), on_file_shielded;

    /// Makes a directory, and those above it that are missing. That all are there is fine. Suspends.
    ///
    /// # Errors
    ///
    /// As std's: something on the way is no directory, or forbids it.
    ///
    /// ```
    /// rustlet::run(|| rustlet::fs::create_dir_all("/"))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    create_dir_all -> (), on_file_shielded;

    /// Whether there is something at `path`; a link is followed. Suspends.
    ///
    /// # Errors
    ///
    /// As std's: it cannot be found out, because a directory on the way forbids it.
    ///
    /// ```
    /// assert!(rustlet::run(|| rustlet::fs::exists("/"))?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    exists -> bool, on_file;

    /// What the system notes about what is at `path`; a link is followed. Suspends.
    ///
    /// # Errors
    ///
    /// As std's: there is nothing, or a directory on the way forbids it.
    ///
    /// ```
    /// assert!(rustlet::run(|| rustlet::fs::metadata("/"))?.is_dir());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    metadata -> Metadata, on_file;

    /// As [`metadata`], of a link itself.
    ///
    /// # Errors
    ///
    /// As [`metadata`].
    ///
    /// ```
    /// assert!(rustlet::run(|| rustlet::fs::symlink_metadata("/proc/self"))?.is_symlink());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    symlink_metadata -> Metadata, on_file;

    /// Where a symbolic link leads. Suspends.
    ///
    /// # Errors
    ///
    /// As std's: there is nothing, or no link.
    ///
    /// ```
    /// let file = rustlet::run(|| rustlet::fs::read_link("/")).unwrap_err();
    /// assert_eq!(file.kind(), std::io::ErrorKind::InvalidInput);
    /// ```
    read_link -> PathBuf, on_file;

    /// Removes an empty directory. Suspends.
    ///
    /// # Errors
    ///
    /// As std's: it is not there, not a directory, or not empty.
    ///
    /// ```
    /// assert!(rustlet::run(|| rustlet::fs::remove_dir("/dev/null")).is_err());
    /// ```
    remove_dir -> (), on_file_shielded;

    /// Removes a directory and all that is in it; links are not followed. Suspends until all is gone.
    ///
    /// # Errors
    ///
    /// As std's. What was removed before an error is gone.
    ///
    /// ```
    /// let missing = rustlet::run(|| rustlet::fs::remove_dir_all("/no/such")).unwrap_err();
    /// assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    /// ```
    remove_dir_all -> (), on_file_shielded;

    /// Removes a file, or a link. Suspends.
    ///
    /// # Errors
    ///
    /// As std's: it is not there, or a directory.
    ///
    /// ```
    /// let missing = rustlet::run(|| rustlet::fs::remove_file("/no/such")).unwrap_err();
    /// assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    /// ```
    remove_file -> (), on_file_shielded;
}

of_two_paths! {
    /// One more name for a file, on the same file system. Suspends.
    ///
    /// # Errors
    ///
    /// As std's: `original` is not there, `link` is, or they are on different file systems.
    ///
    /// ```
    /// assert!(rustlet::run(|| rustlet::fs::hard_link("/no/such", "/no/such/either")).is_err());
    /// ```
    hard_link(original, link) -> ();

    /// Renames a file or a directory; what was there under the new name is replaced. Suspends.
    ///
    /// # Errors
    ///
    /// As std's: `from` is not there, or `to` is on another file system.
    ///
    /// ```
    /// assert!(rustlet::run(|| rustlet::fs::rename("/no/such", "/no/such/either")).is_err());
    /// ```
    rename(from, to) -> ();

    /// Makes a symbolic link. Deprecated in std too: `std::os::unix::fs::symlink` says what it makes.
    ///
    /// # Errors
    ///
    /// As std's: `link` is there already.
    #[deprecated(since = "0.1.0", note = "as in std: use `std::os::unix::fs::symlink`")]
    #[allow(deprecated, reason = "std's, for those who still call it")]
    soft_link(original, link) -> ();
}

/// Copies what is in a file, and its permissions, over another, which is made if it is not there. Gives the number of bytes. Suspends
/// until all is copied; the system copies without a detour through the program where it can.
///
/// A copy that has begun is waited for, unless it goes to a FIFO or a device: then a cancellation leaves a part.
///
/// # Errors
///
/// As std's: `from` is not there or not a regular file, `to` cannot be written.
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
        // std's error, which it gives once the file is open.
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

/// Changes who may do what with what is at `path`. Suspends.
///
/// # Errors
///
/// As std's: it is not there, or somebody else's.
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

/// The entries of a directory, without `.` and `..`, in no particular order. Suspends, and so does the iteration now and then.
///
/// # Errors
///
/// As std's: it is not there, not a directory, or forbids it.
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

/// All that is in a file. Suspends.
///
/// # Errors
///
/// As std's: it is not there, may not be read, or is a directory.
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
        // It may never end, and must not hold a thread of the pool.
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

/// All that is in a file, which must be UTF-8. Suspends.
///
/// # Errors
///
/// [`InvalidData`](io::ErrorKind::InvalidData) if it is not; else as [`read`].
///
/// ```
/// assert_eq!(rustlet::run(|| rustlet::fs::read_to_string("/dev/null"))?, "");
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn read_to_string<P: AsRef<Path>>(path: P) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| transfer::not_utf8())
}

/// Writes a file: makes it if it is not there, replaces what is in it if it is. Suspends.
///
/// Up to 2 MiB are written as one call, which is waited for once it has begun. Of more, a cancellation leaves a part.
///
/// # Errors
///
/// As std's: it may not be written, is a directory, or the disk is full.
///
/// ```
/// rustlet::run(|| rustlet::fs::write("/dev/null", "gone"))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn write<P: AsRef<Path>, C: AsRef<[u8]>>(path: P, contents: C) -> io::Result<()> {
    let contents = contents.as_ref();
    if contents.len() <= MOST {
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

/// Whether opening what is at `path`, or reading or writing it then, may wait for somebody else: a FIFO or a device.
///
/// What is there may change before it is opened. Then a call that should be short waits, for as long as the other end of
/// the FIFO does not come.
fn waits_when_opened(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| {
        let file_type = metadata.file_type();
        file_type.is_fifo() || file_type.is_char_device()
    })
}
