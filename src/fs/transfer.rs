//! Reading, writing and seeking: the traits of std for [`File`], and for `&File`.

use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

use super::File;
use crate::green::Home;
use crate::io::file::bounce::MOST;
use crate::io::file::traffic::UnderWay;
use crate::io::file::transfer;
use crate::runtime::blocking;
use crate::shim::lock;
use crate::sys::file::{HERE, Nature};

impl File {
    #[track_caller]
    fn read_here(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        transfer::read(&self.open, bufs, HERE)
    }

    #[track_caller]
    fn write_here(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        transfer::write(&self.open, bufs, HERE)
    }

    /// Reads all that is left onto the end of `vec`: from a disk in trips of [`MOST`] bytes. What has been read is there also if the
    /// caller is unwound between two of them.
    #[track_caller]
    fn read_rest(&self, vec: &mut Vec<u8>) -> io::Result<usize> {
        let before = vec.len();
        if self.open.traffic.nature(self.open.as_fd()) != Nature::Disk {
            /// Reads by the one system call alone: `read_to_end` is then std's own.
            struct Plain<'a>(&'a File);

            impl Read for Plain<'_> {
                #[track_caller]
                fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                    self.0.read_here(&mut [IoSliceMut::new(buf)])
                }
            }

            return Plain(self).read_to_end(vec);
        }
        let lent = Lent::new(vec);
        let mut is_first = true;
        loop {
            let slot = Arc::clone(&lent.slot);
            let under_way = UnderWay::new(&self.open);
            let count = blocking::on_file_shielded(move || {
                let mut file = under_way.handle().file();
                let vec = &mut *lock(&slot);
                if is_first {
                    vec.try_reserve(left(file))?;
                }
                Read::take(&mut file, MOST as u64).read_to_end(vec)
            })?;
            is_first = false;
            if count < MOST {
                break;
            }
        }
        drop(lent);
        Ok(vec.len() - before)
    }

    #[track_caller]
    fn seek_to(&self, to: SeekFrom) -> io::Result<u64> {
        // Where the end is, the disk may have to say; the rest is a number.
        if Home::get().is_none() || (!matches!(to, SeekFrom::End(_)) && self.open.traffic.is_free())
        {
            return self.open.file().seek(to);
        }
        let under_way = UnderWay::new(&self.open);
        let seek = move || under_way.handle().file().seek(to);
        if self.open.traffic.nature(self.open.as_fd()) == Nature::Disk {
            blocking::on_file_shielded(seek)
        } else {
            // There is no position to move, and a transfer that is under way may block for ever.
            blocking::on_file(seek)
        }
    }
}

/// How much there is from the position of `file` to its end, and a byte to find the end with; 0, if that is unknown.
fn left(mut file: &std::fs::File) -> usize {
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let here = file.stream_position().unwrap_or(size);
    match size.saturating_sub(here) {
        0 => 0,
        left => usize::try_from(left).unwrap_or(0).saturating_add(1),
    }
}

/// A vector that goes to the pool and comes back, on every way out.
struct Lent<'a> {
    vec: &'a mut Vec<u8>,
    slot: Arc<Mutex<Vec<u8>>>,
}

impl Lent<'_> {
    fn new(vec: &mut Vec<u8>) -> Lent<'_> {
        let slot = Arc::new(Mutex::new(std::mem::take(vec)));
        Lent { vec, slot }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        *self.vec = std::mem::take(&mut *lock(&self.slot));
    }
}

/// Bytes that are to become text. Those that have not when the reader is unwound are read again, as far as the file has a position.
struct Text<'a> {
    file: &'a File,
    bytes: Vec<u8>,
}

impl Drop for Text<'_> {
    fn drop(&mut self) {
        if let Ok(count) = i64::try_from(self.bytes.len())
            && count > 0
        {
            let _without_position = self.file.open.file().seek(SeekFrom::Current(-count));
        }
    }
}

/// Suspends while the disk is asked, or until there is something to read from a FIFO or a terminal. What is in the page cache is read at once.
///
/// `read_to_end` and `read_to_string` read a file on a disk in trips of 2 MiB. If the thread is cancelled between two of them, `read_to_end`
/// leaves in `buf` what was read, and `read_to_string` has read nothing.
impl Read for &File {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_here(&mut [IoSliceMut::new(buf)])
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.read_here(bufs)
    }

    #[track_caller]
    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.read_rest(buf)
    }

    #[track_caller]
    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        let mut text = Text {
            file: self,
            bytes: Vec::new(),
        };
        let result = self.read_rest(&mut text.bytes);
        let bytes = std::mem::take(&mut text.bytes);
        let Ok(text) = String::from_utf8(bytes) else {
            // Of two errors the disk's says more.
            result?;
            return Err(not_utf8());
        };
        if buf.is_empty() {
            *buf = text;
        } else {
            buf.push_str(&text);
        }
        result
    }
}

/// The error of std.
pub(super) fn not_utf8() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "stream did not contain valid UTF-8",
    )
}

/// Suspends until the system has taken what was given, at most 2 MiB of it at once if the file is on a disk. `flush` does nothing, as in std.
impl Write for &File {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_here(&[IoSlice::new(buf)])
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_here(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Suspends for a position that counts from the end. A seek that has begun is waited for.
impl Seek for &File {
    #[track_caller]
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.seek_to(to)
    }
}

/// As for `&File`.
impl Read for File {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }

    #[track_caller]
    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buf)
    }

    #[track_caller]
    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buf)
    }
}

/// As for `&File`.
impl Write for File {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As for `&File`.
impl Seek for File {
    #[track_caller]
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.seek_to(to)
    }
}

/// std's own trait, `std::os::unix::fs::FileExt`: transfers at a position, which leave the file's own where it is.
impl FileExt for File {
    #[track_caller]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        transfer::read(&self.open, &mut [IoSliceMut::new(buf)], valid(offset)?)
    }

    #[track_caller]
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        transfer::write(&self.open, &[IoSlice::new(buf)], valid(offset)?)
    }
}

/// No position lies past the positive numbers of the system; it says so itself, but one of them means [`HERE`] to it.
fn valid(offset: u64) -> io::Result<u64> {
    if offset > i64::MAX as u64 {
        return Err(rustix::io::Errno::INVAL.into());
    }
    Ok(offset)
}
