//! `File`: std's, with operations that suspend only the calling green thread.
//!
//! Operations other than transfers (`transfer.rs`) are done on the blocking pool. A running call
//! holds the open file, so a descriptor that the program drops meanwhile is closed when that call
//! has ended, and is not reused before.
//!
//! Any thread, green or not, may use a file; any number of them at once.

use std::fmt;
use std::fs::{FileTimes, Metadata, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::OpenOptions;
use crate::io::file::file_state::{FileState, Handle};
use crate::io::file::unclaimed::Unclaimed;
use crate::runtime::blocking;
use crate::runtime::io::source::{Source, SourceKind};
use crate::sys::file::FileKind;
use crate::sys::sock;

/// The open file and its cached state.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) file_state: FileState,
    source: Source,
}

impl Open {
    pub(super) fn file(&self) -> &std::fs::File {
        self.source.file()
    }
}

impl AsFd for Open {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.fd()
    }
}

impl Handle for Arc<Open> {
    fn file_state(&self) -> Option<&FileState> {
        Some(&self.file_state)
    }

    fn source(&self) -> Option<&Source> {
        // The reactor forgets a descriptor by its number: these three may become other files
        // meanwhile.
        Some(&self.source).filter(|source| !sock::is_standard(source.fd()))
    }

    fn unclaimed(&self) -> Option<&Unclaimed> {
        self.file_state.unclaimed().map(|unclaimed| &**unclaimed)
    }

    fn unclaimed_or_init(&self) -> &Unclaimed {
        self.file_state.unclaimed_or_init()
    }
}

/// An open file: [`std::fs::File`] for green threads.
///
/// Every operation suspends the calling green thread while the disk is busy, and blocks an OS
/// thread, as in std. The work is done on the runtime's pool of blocking OS threads (see
/// [`unblock`](crate::unblock)); data in the page cache is read without the pool, where the system
/// supports that (Linux, on most file systems on disks). Files that are *not* on a disk (FIFOs,
/// terminals, and on Linux inotify, eventfd, timerfd, signalfd and so on) wait in the reactor, like
/// sockets, and occupy no thread of the pool; nor does opening a FIFO, until its other end is
/// opened.
///
/// One read or write moves at most 2 MiB through the pool, so longer ones are short reads and
/// writes; [`read_exact`](io::Read::read_exact), [`write_all`](io::Write::write_all),
/// [`read_to_end`](io::Read::read_to_end) and so on continue until all is done. Use
/// [`BufReader`](io::BufReader) and [`BufWriter`](io::BufWriter) for small pieces, as with std;
/// each trip to the pool costs some microseconds.
///
/// # Cancellation
///
/// Every operation may unwind, and then has had no effect: no byte was read or written, no position
/// moved, no file was created or truncated. In detail:
///
/// - while an operation waits for a thread of the pool, a cancellation withdraws it and unwinds at
///   once;
/// - an operation without effects ([`metadata`](File::metadata), opening an existing file, a read
///   at a position) runs to its end on the pool, and its result is dropped;
/// - an operation with effects (a read or write that moves the position,
///   [`set_len`](File::set_len), [`sync_all`](File::sync_all), creating a file, a lock) completes
///   once it has begun, and the next wait unwinds. Disks answer soon;
/// - a FIFO or another stream is left at once, with nothing taken from it. A write of which it has
///   taken a part returns the length of that part;
/// - a terminal, or another device that cannot be read without blocking, is left at once, too. The
///   data of that read is kept for the next read of this file or its clones; it is lost if the file
///   is converted into a descriptor. Data that a write has begun to send counts as written, up to 4
///   KiB, and its error is returned by the next write.
///
/// In a thread that is unwinding already (a `BufWriter<File>` that is dropped), operations on disks
/// wait for their end and so take effect.
///
/// # Closing
///
/// The descriptor is closed when the file is dropped, in place, as in std; if an operation of a
/// cancelled thread is still running, when it has ended. Errors of closing are ignored: call
/// [`sync_all`](File::sync_all) to see them.
///
/// # Examples
///
/// ```
/// use rustlet::fs::File;
/// use rustlet::io::{Read, Write};
///
/// # let dir = std::env::temp_dir().join(format!("rustlet-doc-file-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir)?;
/// # let path = dir.join("greeting");
/// rustlet::run(|| {
///     File::create(&path)?.write_all(b"hello")?;
///     let mut text = String::new();
///     File::open(&path)?.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///     std::io::Result::Ok(())
/// })?;
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct File {
    pub(super) open: Arc<Open>,
}

impl File {
    pub(super) fn new(file: std::fs::File) -> File {
        File::with(file, FileState::default())
    }

    fn with(file: std::fs::File, file_state: FileState) -> File {
        File {
            open: Arc::new(Open {
                file_state,
                source: Source::new(file.into(), SourceKind::Other),
            }),
        }
    }

    /// Calls `f`, which changes the file, on the pool.
    #[track_caller]
    fn on_pool<T: Send + 'static>(
        &self,
        f: impl FnOnce(&std::fs::File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let open = Arc::clone(&self.open);
        blocking::on_file_shielded(move || f(open.file()))
    }

    /// Opens a file for reading. A FIFO is opened when another process opens it for writing.
    ///
    /// # Errors
    ///
    /// The same as for [`OpenOptions::open`].
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::fs::File;
    ///
    /// let missing = rustlet::run(|| File::open("/no/such/file")).unwrap_err();
    /// assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    /// ```
    #[track_caller]
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file for writing: creates it if it does not exist, and truncates it if it does.
    ///
    /// # Errors
    ///
    /// The same as for [`OpenOptions::open`].
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::fs::File;
    ///
    /// let refused = rustlet::run(|| File::create("/")).unwrap_err();
    /// assert_eq!(refused.kind(), std::io::ErrorKind::IsADirectory);
    /// ```
    #[track_caller]
    pub fn create<P: AsRef<Path>>(path: P) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).open(path)
    }

    /// Creates a file, which must not exist, and opens it for reading and writing.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if it exists; otherwise as
    /// [`OpenOptions::open`].
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::fs::File;
    ///
    /// let there = rustlet::run(|| File::create_new("/dev/null")).unwrap_err();
    /// assert_eq!(there.kind(), std::io::ErrorKind::AlreadyExists);
    /// ```
    #[track_caller]
    pub fn create_new<P: AsRef<Path>>(path: P) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).open(path)
    }

    /// Returns new options for opening a file, as [`OpenOptions::new`].
    ///
    /// # Examples
    ///
    /// ```
    /// let null = rustlet::fs::File::options().write(true).open("/dev/null")?;
    /// # drop(null);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Waits until all written data and metadata of the file are on the disk.
    ///
    /// # Errors
    ///
    /// Returns the errors of the disk, including failures of writes since the last call.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// rustlet::run(|| rustlet::fs::File::create("ledger")?.sync_all())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn sync_all(&self) -> io::Result<()> {
        self.on_pool(std::fs::File::sync_all)
    }

    /// Waits until all written data is on the disk, as [`sync_all`](File::sync_all), but only the
    /// metadata that is needed to read it back.
    ///
    /// # Errors
    ///
    /// The same as for [`sync_all`](File::sync_all).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// rustlet::run(|| rustlet::fs::File::create("ledger")?.sync_data())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn sync_data(&self) -> io::Result<()> {
        self.on_pool(std::fs::File::sync_data)
    }

    /// Truncates the file to `size` bytes, or extends it with zeros. The position does not move.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the file is not open for writing, or for a
    /// size that the system cannot express.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// rustlet::run(|| rustlet::fs::File::create("space")?.set_len(4096))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        self.on_pool(move |file| file.set_len(size))
    }

    /// Returns the metadata of the file.
    ///
    /// # Errors
    ///
    /// The system's.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::fs::File;
    ///
    /// rustlet::run(|| {
    ///     assert!(File::open("/")?.metadata()?.is_dir());
    ///     std::io::Result::Ok(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn metadata(&self) -> io::Result<Metadata> {
        let open = Arc::clone(&self.open);
        blocking::on_file(move || open.file().metadata())
    }

    /// Creates a second handle to the same open file: the two share the position. Does not wait.
    ///
    /// # Errors
    ///
    /// Returns an error if the process is out of descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::fs::File;
    ///
    /// let null = File::open("/dev/null")?;
    /// let again = null.try_clone()?;
    /// # drop(again);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn try_clone(&self) -> io::Result<File> {
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        let file = self.open.file().try_clone()?;
        let open = &self.open;
        // Data that arrived too late for one of them is kept for the other.
        if open.file_state.file_kind(open.as_fd()) == FileKind::Device
            || open.file_state.unclaimed().is_some()
        {
            let unclaimed = Arc::clone(open.file_state.unclaimed_or_init());
            return Ok(File::with(file, FileState::with_unclaimed(unclaimed)));
        }
        Ok(File::new(file))
    }

    /// Changes the permissions of the file.
    ///
    /// # Errors
    ///
    /// The system's, for example if the file has another owner.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::fs::File;
    ///
    /// rustlet::run(|| {
    ///     let file = File::open("ledger")?;
    ///     let mut permissions = file.metadata()?.permissions();
    ///     permissions.set_readonly(true);
    ///     file.set_permissions(permissions)
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn set_permissions(&self, perm: Permissions) -> io::Result<()> {
        self.on_pool(move |file| file.set_permissions(perm))
    }

    /// Changes the access, modification or creation time of the file.
    ///
    /// # Errors
    ///
    /// The system's, also for times that it cannot express.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::fs::{File, FileTimes};
    /// use rustlet::time::SystemTime;
    ///
    /// rustlet::run(|| {
    ///     let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
    ///     File::options().write(true).open("ledger")?.set_times(times)
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.on_pool(move |file| file.set_times(times))
    }

    /// Changes the modification time of the file.
    ///
    /// # Errors
    ///
    /// The same as for [`set_times`](File::set_times).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::fs::File;
    /// use rustlet::time::SystemTime;
    ///
    /// let time = SystemTime::UNIX_EPOCH;
    /// rustlet::run(|| File::options().write(true).open("ledger")?.set_modified(time))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }

    /// Converts into std's file with the same descriptor; with a duplicate if an operation of a
    /// cancelled thread is still running.
    fn into_std(self) -> std::fs::File {
        match Arc::try_unwrap(self.open) {
            Ok(open) => open.source.into_fd().into(),
            Err(open) => match open.file().try_clone() {
                Ok(file) => file,
                Err(error) => {
                    panic!("cannot duplicate a file that a cancelled operation still uses: {error}")
                }
            },
        }
    }
}

/// Formats as std does: the descriptor, and if known, the path and the access mode.
impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.open.file().fmt(f)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.open.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.open.file().as_raw_fd()
    }
}

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> File {
        File::new(file)
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File::new(fd.into())
    }
}

/// Keeps the descriptor. Only if an operation of a cancelled thread is still running, it is a
/// duplicate, and this panics if there is no free descriptor for it.
impl From<File> for std::fs::File {
    fn from(file: File) -> std::fs::File {
        file.into_std()
    }
}

/// Converts like the conversion into std's `File`.
impl From<File> for OwnedFd {
    fn from(file: File) -> OwnedFd {
        file.into_std().into()
    }
}

/// Converts like the conversion into std's `File`.
impl From<File> for std::process::Stdio {
    fn from(file: File) -> std::process::Stdio {
        file.into_std().into()
    }
}

/// Converts like the conversion into std's `File`.
impl IntoRawFd for File {
    fn into_raw_fd(self) -> RawFd {
        self.into_std().into_raw_fd()
    }
}

/// Creates a file like [`From<OwnedFd>`].
#[allow(unsafe_code, reason = "the trait's method is unsafe")]
impl FromRawFd for File {
    unsafe fn from_raw_fd(fd: RawFd) -> File {
        // SAFETY: the caller promises that `fd` is open and owned, as std's contract requires.
        File::from(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

// Cached state is consistent between any two calls: std's type has these impls automatically.
impl std::panic::UnwindSafe for File {}
impl std::panic::RefUnwindSafe for File {}
