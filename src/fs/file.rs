//! `File`: std's, whose operations suspend the calling green thread only.
//!
//! What a file does besides transfers (`transfer.rs`) is done on the blocking pool. A call that is under way there holds the open
//! file, so a descriptor that the program drops meanwhile is closed when that call has ended, and never reused under it.
//!
//! Any thread, green or not, may use a file; any number at once.

use std::fmt;
use std::fs::{FileTimes, Metadata, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::OpenOptions;
use crate::io::file::kept::Kept;
use crate::io::file::traffic::{Handle, Traffic};
use crate::runtime::blocking;
use crate::runtime::io::source::{Kind, Source};
use crate::sys::file::Nature;
use crate::sys::sock;

/// The open file, and what is remembered of it.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) traffic: Traffic,
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
    fn traffic(&self) -> Option<&Traffic> {
        Some(&self.traffic)
    }

    fn source(&self) -> Option<&Source> {
        // The reactor forgets a descriptor by its number: these three may become other files meanwhile.
        Some(&self.source).filter(|source| !sock::is_standard(source.fd()))
    }

    fn kept(&self) -> Option<&Kept> {
        self.traffic.kept().map(|kept| &**kept)
    }

    fn kept_for_good(&self) -> &Kept {
        self.traffic.kept_for_good()
    }
}

/// An open file: [`std::fs::File`] for green threads.
///
/// Every operation suspends the calling green thread while the disk is at it, and blocks an ordinary OS thread, as std's does. The work is done
/// on the runtime's pool of blocking OS threads (see [`unblock`](crate::unblock)); what is in the page cache already is read without the trip, where the
/// system can (Linux, on most file systems on disks). Files that are *not* on a disk (FIFOs, terminals, and on Linux inotify, eventfd, timerfd,
/// signalfd and the like) wait in the reactor, like sockets, and hold no thread of the pool; nor does opening a FIFO, until somebody opens the
/// other end.
///
/// One read or write carries at most 2 MiB through the pool, so longer ones are short reads and writes; [`read_exact`](io::Read::read_exact),
/// [`write_all`](io::Write::write_all), [`read_to_end`](io::Read::read_to_end) and the like go on until all is done. Small pieces are best gathered in
/// [`BufReader`](io::BufReader) and [`BufWriter`](io::BufWriter), as with std, all the more since a trip costs some microseconds.
///
/// # Cancellation
///
/// Every operation may unwind, and then has not happened: no byte was read or written, no position moved, no file was made or
/// emptied. In detail:
///
/// - while an operation waits for a thread of the pool, a cancellation takes it back and unwinds at once;
/// - one that only asks ([`metadata`](File::metadata), opening a file that is there, a read at a position) is left to its end, and nobody is told how it
///   went;
/// - one that changes something (a read or write that moves the position, [`set_len`](File::set_len), [`sync_all`](File::sync_all), making a file, a lock) is waited for
///   once it has begun, and the cancellation comes at the next wait. Disks answer soon;
/// - a FIFO or another stream is left at once, with nothing taken from it. A write that it has taken a part of returns how much;
/// - a terminal, or another device that knows no read without waiting, is left at once, too. What the read would have got is kept for the next
///   read of this file or its clones; it is lost to the descriptor if the file is converted into one. What a write has begun with counts
///   as written, up to 4 KiB, and an error that comes of it is the next write's.
///
/// In a thread that is unwinding already (a `BufWriter<File>` that is dropped) operations on disks wait for their end, and so do what they should.
///
/// # Closing
///
/// The descriptor is closed when the file is dropped, in place, as std's is; if an operation of a cancelled thread is still under way, when that
/// has ended. Errors of closing are ignored: call [`sync_all`](File::sync_all) to see them.
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
        File::with(file, Traffic::default())
    }

    fn with(file: std::fs::File, traffic: Traffic) -> File {
        File {
            open: Arc::new(Open {
                traffic,
                source: Source::new(file.into(), Kind::Other),
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

    /// Opens a file to read it. Opening a FIFO waits, on a thread of the pool, until somebody opens it to write.
    ///
    /// # Errors
    ///
    /// As [`OpenOptions::open`].
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

    /// Opens a file to write it: makes it if it is not there, empties it if it is.
    ///
    /// # Errors
    ///
    /// As [`OpenOptions::open`].
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

    /// Makes a file, which must not be there yet, and opens it to read and write.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists); and as [`OpenOptions::open`].
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

    /// The same as [`OpenOptions::new`].
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

    /// Waits until everything that was written, and what the system notes about the file, is on the disk.
    ///
    /// # Errors
    ///
    /// What the disk says, such as a write that has failed since the last call.
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

    /// As [`sync_all`](File::sync_all), but what the system notes about the file may come later, except what is needed to read it back.
    ///
    /// # Errors
    ///
    /// As [`sync_all`](File::sync_all).
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

    /// Cuts the file off at `size` bytes, or lengthens it with zeros. The position stays where it is.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the file is not open for writing, or for a size that the system cannot express.
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

    /// What the system notes about the file.
    ///
    /// # Errors
    ///
    /// The system's.
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

    /// A second handle to the same open file: the two share the position.
    ///
    /// Immediate.
    ///
    /// # Errors
    ///
    /// The process is out of descriptors.
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
        crate::green::budget::spend_quietly(std::panic::Location::caller());
        let file = self.open.file().try_clone()?;
        let open = &self.open;
        // What one of them was too late for is there for the other.
        if open.traffic.nature(open.as_fd()) == Nature::Device || open.traffic.kept().is_some() {
            let kept = Arc::clone(open.traffic.kept_for_good());
            return Ok(File::with(file, Traffic::with_kept(kept)));
        }
        Ok(File::new(file))
    }

    /// Changes who may do what with the file.
    ///
    /// # Errors
    ///
    /// The system's: the file is somebody else's.
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

    /// Changes when the file says it was read, written or made.
    ///
    /// # Errors
    ///
    /// The system's, and for times that it cannot express.
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

    /// Changes when the file says it was written.
    ///
    /// # Errors
    ///
    /// As [`set_times`](File::set_times).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::fs::File;
    /// use rustlet::time::SystemTime;
    ///
    /// rustlet::run(|| File::options().write(true).open("ledger")?.set_modified(SystemTime::UNIX_EPOCH))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }

    /// Std's file of the same descriptor; of a duplicate if an operation of a cancelled thread is still under way.
    fn into_std(self) -> std::fs::File {
        match Arc::try_unwrap(self.open) {
            Ok(open) => open.source.into_fd().into(),
            Err(open) => match open.file().try_clone() {
                Ok(file) => file,
                Err(error) => panic!(
                    "the file is in use by an operation whose caller was cancelled, and cannot be duplicated: {error}"
                ),
            },
        }
    }
}

/// As std's: the descriptor, and where the system tells, the path and the access.
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

/// The same descriptor. Only while an operation of a cancelled thread is still under way it is a duplicate, and this panics if
/// there cannot be one.
impl From<File> for std::fs::File {
    fn from(file: File) -> std::fs::File {
        file.into_std()
    }
}

/// As the conversion into std's file.
impl From<File> for OwnedFd {
    fn from(file: File) -> OwnedFd {
        file.into_std().into()
    }
}

/// As the conversion into std's file.
impl From<File> for std::process::Stdio {
    fn from(file: File) -> std::process::Stdio {
        file.into_std().into()
    }
}

/// As the conversion into std's file.
impl IntoRawFd for File {
    fn into_raw_fd(self) -> RawFd {
        self.into_std().into_raw_fd()
    }
}

/// As [`From<OwnedFd>`].
#[allow(unsafe_code, reason = "the trait's method is unsafe")]
impl FromRawFd for File {
    unsafe fn from_raw_fd(fd: RawFd) -> File {
        // SAFETY: the caller promises that `fd` is open and his to give, as std's contract asks.
        File::from(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

// What is remembered of a file is whole between any two calls: std's type has these by itself.
impl std::panic::UnwindSafe for File {}
impl std::panic::RefUnwindSafe for File {}
