//! Directory iteration: read on the pool, many entries at a time.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::runtime::blocking;
use crate::shim::lock;

/// Sizes of the first and of the largest batch of entries; each batch is twice as large as the
/// last.
const FIRST_BATCH: usize = 32;
const MAX_BATCH: usize = 1024;

/// Iterator over the entries of a directory, returned by [`read_dir`](super::read_dir).
///
/// Entries are read ahead, so entries created or removed during the iteration may or may not be
/// seen, as in std. `next` suspends occasionally.
///
/// # Errors
///
/// Yields an error if the system cannot read an entry; the iteration ends after it.
///
/// # Examples
///
/// ```
/// let entries: rustlet::fs::ReadDir = rustlet::fs::read_dir("/")?;
/// assert!(entries.count() > 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct ReadDir {
    root: Arc<Path>,
    batch: VecDeque<io::Result<DirEntry>>,
    /// Where to continue; `None` at the end. The pool takes it while the calling thread waits.
    entries: Arc<Mutex<Option<std::fs::ReadDir>>>,
    size: usize,
}

impl ReadDir {
    #[track_caller]
    pub(super) fn of(path: &Path) -> io::Result<ReadDir> {
        let root = path.to_owned();
        let (batch, entries) =
            blocking::on_file(move || Ok(take(std::fs::read_dir(root)?, FIRST_BATCH)))?;
        Ok(ReadDir {
            root: path.into(),
            batch,
            entries: Arc::new(Mutex::new(entries)),
            size: FIRST_BATCH,
        })
    }
}

type Batch = (VecDeque<io::Result<DirEntry>>, Option<std::fs::ReadDir>);

/// Returns the next `size` entries, and where to continue if there may be more.
fn take(mut entries: std::fs::ReadDir, size: usize) -> Batch {
    let mut batch = VecDeque::new();
    while batch.len() < size {
        match entries.next() {
            Some(entry) => batch.push_back(entry.map(DirEntry::new)),
            None => return (batch, None),
        }
    }
    (batch, Some(entries))
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        if self.batch.is_empty() && lock(&self.entries).is_some() {
            let size = (self.size * 2).min(MAX_BATCH);
            let slot = Arc::clone(&self.entries);
            // A call that is never made leaves `entries` in place, to be read by the next call.
            let batch = blocking::on_file_shielded(move || {
                let entries = lock(&slot).take();
                let Some((batch, entries)) = entries.map(|entries| take(entries, size)) else {
                    return Ok(VecDeque::new());
                };
                *lock(&slot) = entries;
                Ok(batch)
            });
            match batch {
                Ok(batch) => (self.batch, self.size) = (batch, size),
                Err(error) => return Some(Err(error)),
            }
        }
        self.batch.pop_front()
    }
}

// The remaining state is consistent between any two calls: std's type has these impls
// automatically.
impl UnwindSafe for ReadDir {}
impl RefUnwindSafe for ReadDir {}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadDir").field(&self.root).finish()
    }
}

/// An entry of a directory: [`std::fs::DirEntry`] for green threads. std's trait [`DirEntryExt`]
/// gives its inode number.
///
/// # Examples
///
/// ```
/// let entry: rustlet::fs::DirEntry = rustlet::fs::read_dir("/")?.next().unwrap()?;
/// println!("{}", entry.path().display());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct DirEntry {
    entry: Arc<std::fs::DirEntry>,
    /// The type from the directory; if it has none, the disk was asked, on the pool. `None` if that
    /// failed.
    file_type: Option<FileType>,
}

impl DirEntry {
    /// Called on the pool, or where blocking is allowed.
    fn new(entry: std::fs::DirEntry) -> DirEntry {
        DirEntry {
            file_type: entry.file_type().ok(),
            entry: Arc::new(entry),
        }
    }

    /// Returns the path given to [`read_dir`](super::read_dir), joined with the name.
    ///
    /// # Examples
    ///
    /// ```
    /// for entry in rustlet::fs::read_dir("/")? {
    ///     assert!(entry?.path().is_absolute());
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.entry.path()
    }

    /// Returns the type of the entry. A symbolic link is not followed.
    ///
    /// # Errors
    ///
    /// The system's, if the entry is gone and the directory does not record types.
    ///
    /// # Suspends
    ///
    /// Only in the rare case that the type could not be read with the directory.
    ///
    /// # Examples
    ///
    /// ```
    /// for entry in rustlet::fs::read_dir("/proc/self/fd")? {
    ///     assert!(entry?.file_type()?.is_symlink());
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn file_type(&self) -> io::Result<FileType> {
        match self.file_type {
            Some(file_type) => Ok(file_type),
            None => {
                let entry = Arc::clone(&self.entry);
                blocking::on_file(move || entry.file_type())
            }
        }
    }

    /// Returns the metadata of the entry. A symbolic link is not followed.
    ///
    /// # Errors
    ///
    /// The system's, if the entry is gone.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// for entry in rustlet::fs::read_dir("/dev")? {
    ///     println!("{:?}", entry?.metadata()?.permissions());
    /// #   break;
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn metadata(&self) -> io::Result<Metadata> {
        let entry = Arc::clone(&self.entry);
        blocking::on_file(move || entry.metadata())
    }

    /// Returns the name, without a path.
    ///
    /// # Examples
    ///
    /// ```
    /// for entry in rustlet::fs::read_dir("/")? {
    ///     assert_ne!(entry?.file_name(), "..");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.entry.file_name()
    }
}

impl DirEntryExt for DirEntry {
    fn ino(&self) -> u64 {
        self.entry.ino()
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entry.fmt(f)
    }
}
