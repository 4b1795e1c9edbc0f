//! Opening a file: the part on the pool, and the part that would block a thread of the pool.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::fifo::Fifo;
use super::file::File;
use super::options::OpenOptions;
use crate::runtime::blocking;
use crate::runtime::io::source::Interest;

impl OpenOptions {
    /// Opens the file at `path`.
    ///
    /// A FIFO is opened when both ends are: within some milliseconds after the other one. It
    /// occupies no thread of the pool until then.
    ///
    /// # Errors
    ///
    /// As in std: [`NotFound`](io::ErrorKind::NotFound),
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied),
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) with `create_new`,
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for contradictory options, and others of the
    /// system.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds at once, unless an open that may create or truncate a file has begun:
    /// that completes, so that no file is created or truncated for a caller that has left. To this
    /// end the call first checks for a FIFO or a device, which may wait forever; these are opened
    /// without being created or truncated, which has no meaning for them.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::fs::OpenOptions;
    ///
    /// let file = rustlet::run(|| OpenOptions::new().read(true).open("/dev/null"))?;
    /// # drop(file);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn open<P: AsRef<Path>>(&self, path: P) -> io::Result<File> {
        let path = path.as_ref().to_owned();
        let begin = self.begin(path);
        let begun = if self.changes() {
            blocking::on_file_shielded(begin)?
        } else {
            blocking::on_file(begin)?
        };
        begun.finish()
    }

    /// The part of [`open`](OpenOptions::open) on the pool: all of it, unless it might wait
    /// forever.
    pub(super) fn begin(
        &self,
        path: PathBuf,
    ) -> impl FnOnce() -> io::Result<Begun> + Send + 'static {
        let (options, may_wait) = (self.clone(), self.may_wait());
        move || {
            let file_type = std::fs::metadata(&path).map(|metadata| metadata.file_type());
            match file_type {
                Ok(file_type) if may_wait && file_type.is_fifo() => {
                    let interest = if options.read {
                        Interest::Read
                    } else {
                        Interest::Write
                    };
                    // With both ends there is nothing to wait for.
                    let both = options.read && (options.write || options.append);
                    let more = if both {
                        OFlags::empty()
                    } else {
                        OFlags::NONBLOCK
                    };
                    let options = options.unchanging(more);
                    if both {
                        return options.open(path).map(Begun::File);
                    }
                    // A writer that comes and goes is an end of file for a reader: it is opened by
                    // a call that is waited for.
                    let begun = match interest {
                        Interest::Read => Fifo::begin(options, path, interest)?,
                        Interest::Write => Fifo::unopened(options, path, interest),
                    };
                    Ok(Begun::Fifo(begun))
                }
                Ok(file_type) if may_wait && file_type.is_char_device() => {
                    Ok(Begun::Device(options.unchanging(OFlags::empty()), path))
                }
                _ => options.theirs.open(path).map(Begun::File),
            }
        }
    }
}

/// An open that the pool has begun.
pub(super) enum Begun {
    File(std::fs::File),
    Fifo(Fifo),
    Device(std::fs::OpenOptions, PathBuf),
}

impl Begun {
    /// Waits for the other end, or for the device.
    #[track_caller]
    pub(super) fn finish(self) -> io::Result<File> {
        match self {
            Begun::File(file) => Ok(File::new(file)),
            Begun::Fifo(fifo) => fifo.finish(),
            Begun::Device(options, path) => {
                blocking::on_file(move || options.open(path)).map(File::new)
            }
        }
    }
}
