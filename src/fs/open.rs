//! Opening a file: what the pool does of it, and what would hold up a thread of the pool.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::fifo::Fifo;
use super::file::File;
use super::options::OpenOptions;
use crate::runtime::blocking;
use crate::runtime::io::source::Way;

impl OpenOptions {
    /// Opens the file at `path`. Suspends while the disk is asked.
    ///
    /// A FIFO is opened when both ends are: within some milliseconds after the other one. It holds no thread of the pool until then.
    ///
    /// # Cancellation
    ///
    /// A cancelled caller unwinds at once. Only if the file may be made or emptied, and that has begun, is it waited for;
    /// so none is made or emptied for a caller that has left. To this end it is first asked whether there is a FIFO or a device, which may
    /// keep a caller waiting for ever; these are opened without being made or emptied, for which they have no meaning.
    ///
    /// # Errors
    ///
    /// As std's: [`NotFound`](io::ErrorKind::NotFound), [`PermissionDenied`](io::ErrorKind::PermissionDenied), [`AlreadyExists`](io::ErrorKind::AlreadyExists)
    /// with `create_new`, [`InvalidInput`](io::ErrorKind::InvalidInput) for wishes that contradict each other, and more of the system's.
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

    /// What the pool does of [`open`](OpenOptions::open): all of it, unless that might take for ever.
    pub(super) fn begin(
        &self,
        path: PathBuf,
    ) -> impl FnOnce() -> io::Result<Begun> + Send + 'static {
        let (options, may_wait) = (self.clone(), self.may_wait());
        move || {
            let file_type = std::fs::metadata(&path).map(|metadata| metadata.file_type());
            match file_type {
                Ok(file_type) if may_wait && file_type.is_fifo() => {
                    let way = if options.read { Way::Read } else { Way::Write };
                    // Both ends of it: that waits for nobody.
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
                    // A writer that comes and goes is an end to a reader: it is opened by a call that is waited for.
                    let begun = match way {
                        Way::Read => Fifo::begin(options, path, way)?,
                        Way::Write => Fifo::unopened(options, path, way),
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
