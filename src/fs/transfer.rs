//! Reading, writing and seeking: std's traits for [`File`] and `&File`.

use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::panic::Location;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use super::File;
use crate::green::WorkerContext;
use crate::green::budget::poll_budget_quietly;
use crate::io::file::bounce_buffer::MAX_TRANSFER;
use crate::io::file::file_state::InFlight;
use crate::io::file::{poll, transfer};
use crate::runtime::blocking;
use crate::runtime::io::source::Interest;
use crate::shim::lock;
use crate::sys::file::{CURRENT_POS, FileKind};

impl File {
    /// Polls for `async` code, for pipes: see `io/file/poll.rs`.
    #[track_caller]
    pub(crate) fn poll_ready(
        &self,
        interest: Interest,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        poll::poll_ready(&self.open, interest, context)
    }

    #[track_caller]
    pub(crate) fn poll_read(
        &self,
        context: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        poll::poll_read(&self.open, context, bufs)
    }

    #[track_caller]
    pub(crate) fn poll_write(
        &self,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll::poll_write(&self.open, context, bufs)
    }

    #[track_caller]
    fn read_here(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        transfer::read(&self.open, bufs, CURRENT_POS)
    }

    #[track_caller]
    fn write_here(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        transfer::write(&self.open, bufs, CURRENT_POS)
    }

    /// Reads the rest of the file and appends it to `vec`: from a disk in parts of [`MAX_TRANSFER`]
    /// bytes. If the caller is unwound between two of them, the data read before is in `vec`.
    #[track_caller]
    fn read_rest(&self, vec: &mut Vec<u8>) -> io::Result<usize> {
        let before = vec.len();
        if self.open.file_state.file_kind(self.open.as_fd()) != FileKind::Disk {
            /// Reads with the one system call alone: `read_to_end` is then std's own.
            struct SingleReads<'a>(&'a File);

            impl Read for SingleReads<'_> {
                #[track_caller]
                fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                    self.0.read_here(&mut [IoSliceMut::new(buf)])
                }
            }

            return SingleReads(self).read_to_end(vec);
        }
        let lent = LendGuard::new(vec);
        let mut is_first = true;
        loop {
            let slot = Arc::clone(&lent.slot);
            let in_flight = InFlight::new(&self.open);
            let count = blocking::on_file_shielded(move || {
                let mut file = in_flight.handle().file();
                let vec = &mut *lock(&slot);
                if is_first {
                    vec.try_reserve(bytes_left(file))?;
                }
                Read::take(&mut file, MAX_TRANSFER as u64).read_to_end(vec)
            })?;
            is_first = false;
            if count < MAX_TRANSFER {
                break;
            }
        }
        drop(lent);
        Ok(vec.len() - before)
    }

    #[track_caller]
    fn seek_to(&self, to: SeekFrom) -> io::Result<u64> {
        poll_budget_quietly(Location::caller());
        // Finding the end may need the disk; otherwise the position is a number.
        if WorkerContext::get().is_none()
            || (!matches!(to, SeekFrom::End(_)) && self.open.file_state.is_free())
        {
            return self.open.file().seek(to);
        }
        let in_flight = InFlight::new(&self.open);
        let seek = move || in_flight.handle().file().seek(to);
        if self.open.file_state.file_kind(self.open.as_fd()) == FileKind::Disk {
            blocking::on_file_shielded(seek)
        } else {
            // There is no position to move, and a running transfer may block forever.
            blocking::on_file(seek)
        }
    }
}

/// Returns the number of bytes from the position of `file` to its end, plus one to find the end
/// with; 0, if unknown.
fn bytes_left(mut file: &std::fs::File) -> usize {
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let here = file.stream_position().unwrap_or(size);
    match size.saturating_sub(here) {
        0 => 0,
        left => usize::try_from(left).unwrap_or(0).saturating_add(1),
    }
}

/// A vector that is sent to the pool and returned on every path.
struct LendGuard<'a> {
    vec: &'a mut Vec<u8>,
    slot: Arc<Mutex<Vec<u8>>>,
}

impl LendGuard<'_> {
    fn new(vec: &mut Vec<u8>) -> LendGuard<'_> {
        let slot = Arc::new(Mutex::new(std::mem::take(vec)));
        LendGuard { vec, slot }
    }
}

impl Drop for LendGuard<'_> {
    fn drop(&mut self) {
        *self.vec = std::mem::take(&mut *lock(&self.slot));
    }
}

/// Bytes that are to become text. If the reader is unwound before, they are read again, as far as
/// the file has a position.
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

/// Suspends while the disk is busy, or until there is data in a FIFO or a terminal. Data in the
/// page cache is read at once.
///
/// `read_to_end` and `read_to_string` read a file on a disk in parts of 2 MiB. If the thread is
/// cancelled between two of them, `read_to_end` leaves the data read before in `buf`, and
/// `read_to_string` has read nothing.
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
            // Of two errors the disk's is more informative.
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

/// Returns the error that std returns for text that is not UTF-8.
pub(super) fn not_utf8() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "stream did not contain valid UTF-8",
    )
}

/// Suspends until the system has taken the data, at most 2 MiB at once if the file is on a disk.
/// `flush` does nothing, as in std.
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

/// Suspends for a position relative to the end. A seek that has begun completes.
impl Seek for &File {
    #[track_caller]
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.seek_to(to)
    }
}

/// Reads like `&File`.
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

/// Writes like `&File`.
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

/// Seeks like `&File`.
impl Seek for File {
    #[track_caller]
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.seek_to(to)
    }
}

/// std's own trait, `std::os::unix::fs::FileExt`: transfers at a position, which do not move the
/// file's own.
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

/// Checks a position. The system rejects positions above its positive numbers itself, but one of
/// them means [`CURRENT_POS`] to it.
fn valid(offset: u64) -> io::Result<u64> {
    if offset > i64::MAX as u64 {
        return Err(rustix::io::Errno::INVAL.into());
    }
    Ok(offset)
}
