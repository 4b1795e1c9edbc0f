//! Reading, writing and seeking: the traits of std for [`File`], and for `&File`.

use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use super::File;
use crate::green::Home;
use crate::io::transfer::{self, UnderWay};
use crate::runtime::blocking;
use crate::sys::file::{HERE, Nature};

/// Reads by the one system call alone: `read_to_end` is then std's own.
struct Plain<'a>(&'a File);

impl Read for Plain<'_> {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_here(&mut [IoSliceMut::new(buf)])
    }
}

impl File {
    #[track_caller]
    fn read_here(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        transfer::read(&self.open, bufs, HERE)
    }

    #[track_caller]
    fn write_here(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        transfer::write(&self.open, bufs, HERE)
    }

    /// All that is left, and the error that came after it, if one did: in one trip to the pool if the file is on a disk.
    #[track_caller]
    fn read_rest(&self, mut vec: Vec<u8>) -> (Vec<u8>, io::Result<usize>) {
        if self.open.traffic.nature(self.open.as_fd()) != Nature::Disk {
            let result = Plain(self).read_to_end(&mut vec);
            return (vec, result);
        }
        let under_way = UnderWay::new(&self.open);
        let all = blocking::on_file(move || {
            let result = (&under_way.handle().file).read_to_end(&mut vec);
            Ok((vec, result))
        });
        all.unwrap_or_else(|error| (Vec::new(), Err(error)))
    }

    #[track_caller]
    fn seek_to(&self, to: SeekFrom) -> io::Result<u64> {
        // Where the end is, the disk may have to say; the rest is a number.
        if Home::get().is_none() || (!matches!(to, SeekFrom::End(_)) && self.open.traffic.is_free())
        {
            return (&self.open.file).seek(to);
        }
        let under_way = UnderWay::new(&self.open);
        blocking::on_file(move || (&under_way.handle().file).seek(to))
    }
}

/// Suspends while the disk is asked, or until there is something to read from a FIFO or a terminal. What is in the page cache is read at once.
///
/// `read_to_end` and `read_to_string` read a file on a disk in one go. If the thread is cancelled meanwhile, what was read is lost, and an empty `buf` may
/// have lost its allocation.
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
        if buf.is_empty() {
            let (all, result) = self.read_rest(std::mem::take(buf));
            *buf = all;
            return result;
        }
        let (rest, result) = self.read_rest(Vec::new());
        buf.extend_from_slice(&rest);
        result
    }

    #[track_caller]
    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        let (rest, result) = self.read_rest(Vec::new());
        let Ok(text) = String::from_utf8(rest) else {
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

/// Suspends for a position that counts from the end.
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
