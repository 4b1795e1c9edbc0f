//! Pool transfers that callers may leave, because they may block forever: those of terminals and
//! other devices.
//!
//! A read or write of such a file runs on a pool thread, one at a time in each direction. A caller
//! that is cancelled meanwhile leaves at once, and the call goes on. Its result is kept for the
//! next call on the same file (`unclaimed.rs`), as in tokio's `File`:
//!
//! - a read: its bytes (none at the end of file), which the next reads get first;
//! - a write: its caller got `Ok` for all bytes; a later error is returned by the next write.
//!
//! - **KE1** A [`Transfer`] exists exactly while its direction is `busy`. It ends by being dropped,
//!   wherever that happens: with the closure of a call that was never made, by the caller, or on
//!   the pool when the caller has left. Its remaining result is kept then.
//!
//! Any thread may use any of this at any time.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem;

use super::bounce_buffer::BounceBuffer;
use super::file_state::{Handle, InFlight, read_plain, write_plain};
use super::unclaimed::index;
use crate::runtime::blocking;
use crate::runtime::io::source::Interest;
use crate::sys::file::CURRENT_POS;

/// The number of bytes that a ready pipe takes without waiting (the minimum `PIPE_BUF` of our
/// systems, and that of a terminal).
pub(super) const READY_PIPE_BYTES: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

/// The result of starting a transfer.
pub(crate) enum Begun<H: Handle> {
    Transfer(Transfer<H>),
    /// Another one is running: `Unclaimed::wait` for its end.
    Busy,
    /// There is a kept result to take first.
    Unclaimed,
}

/// A running read or write: see KE1.
pub(crate) struct Transfer<H: Handle> {
    in_flight: InFlight<H>,
    interest: Interest,
    read: Option<(BounceBuffer, usize)>,
    /// The number of bytes written.
    written: usize,
    error: Option<io::Error>,
}

impl<H: Handle> Transfer<H> {
    pub(crate) fn begin(handle: &H, interest: Interest) -> Begun<H> {
        let unclaimed = handle.unclaimed_or_init();
        let begun = unclaimed.change(|state| {
            if mem::replace(&mut state.is_busy[index(interest)], true) {
                return Some(Begun::Busy);
            }
            let is_kept = match interest {
                Interest::Read => state.read.is_some(),
                Interest::Write => state.write_error.is_some(),
            };
            is_kept.then(|| {
                state.is_busy[index(interest)] = false;
                Begun::Unclaimed
            })
        });
        begun.unwrap_or_else(|| {
            Begun::Transfer(Transfer {
                in_flight: InFlight::new(handle),
                interest,
                read: None,
                written: 0,
                error: None,
            })
        })
    }

    /// Reads up to `size` bytes, with a call that may block.
    pub(crate) fn read(mut self, size: usize) -> Transfer<H> {
        let mut bounce_buffer = BounceBuffer::of(size);
        let buf = &mut [IoSliceMut::new(bounce_buffer.as_mut())];
        match read_plain(self.in_flight.handle().as_fd(), buf, CURRENT_POS) {
            Ok(count) => self.read = Some((bounce_buffer, count)),
            Err(error) => self.error = Some(error),
        }
        self
    }

    /// Writes all of `bounce_buffer`, with calls that may block.
    pub(crate) fn write(mut self, bounce_buffer: &BounceBuffer) -> Transfer<H> {
        let bytes = bounce_buffer.as_ref();
        while self.written < bytes.len() {
            let rest = IoSlice::new(&bytes[self.written..]);
            match write_plain(self.in_flight.handle().as_fd(), &[rest], CURRENT_POS) {
                Ok(0) => break,
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            }
        }
        self
    }

    /// Returns the data to the caller that has waited for it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(crate) fn take_read(mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let Some((bounce_buffer, count)) = self.read.take() else {
            return Err(self.take_error());
        };
        bounce_buffer.scatter(count, bufs);
        Ok(count)
    }

    /// Returns the number of bytes written to the caller that has waited for it.
    ///
    /// # Errors
    ///
    /// The system's, if nothing was written.
    pub(crate) fn take_written(mut self) -> io::Result<usize> {
        match self.error.take() {
            Some(error) if self.written == 0 => Err(error),
            _ => Ok(self.written),
        }
    }

    fn take_error(&mut self) -> io::Error {
        let error = self.error.take();
        error.unwrap_or_else(|| io::Error::other("the call was not made"))
    }
}

impl<H: Handle> Drop for Transfer<H> {
    fn drop(&mut self) {
        let unclaimed = self.in_flight.handle().unclaimed_or_init();
        let waiters = unclaimed.change(|state| {
            state.is_busy[index(self.interest)] = false;
            if let Some((bounce_buffer, count)) = self.read.take() {
                state.read = Some((bounce_buffer.as_ref()[..count].to_vec(), 0));
            }
            // A failed read has taken nothing: the next read gets the error again.
            if self.interest == Interest::Write {
                state.write_error = self.error.take();
            }
            mem::take(&mut state.waiters)
        });
        for (_, waiter) in waiters {
            waiter.unpark();
        }
    }
}

/// Reads with a call that may block forever. Data for a caller that has left is kept for the next.
#[track_caller]
pub(super) fn read_device<H: Handle>(
    handle: &H,
    bufs: &mut [IoSliceMut<'_>],
    size: usize,
) -> io::Result<usize> {
    let unclaimed = handle.unclaimed_or_init();
    loop {
        if let Some(count) = unclaimed.take_read(bufs) {
            return Ok(count);
        }
        match Transfer::begin(handle, Interest::Read) {
            Begun::Transfer(transfer) => {
                let transfer = blocking::on_file(move || Ok(transfer.read(size)))?;
                return transfer.take_read(bufs);
            }
            Begun::Busy => unclaimed.wait(Interest::Read),
            Begun::Unclaimed => {}
        }
    }
}

/// Writes a little, with a call that may block forever: a caller that leaves has written that.
#[track_caller]
pub(super) fn write_device<H: Handle>(handle: &H, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let unclaimed = handle.unclaimed_or_init();
    loop {
        unclaimed.settle_write()?;
        match Transfer::begin(handle, Interest::Write) {
            Begun::Transfer(transfer) => {
                let first = bufs.iter().find(|buf| !buf.is_empty());
                let first = first.map_or(&[][..], |buf| &buf[..buf.len().min(READY_PIPE_BYTES)]);
                let bounce_buffer = BounceBuffer::gather(&[IoSlice::new(first)]);
                return match blocking::on_stream(move || transfer.write(&bounce_buffer))? {
                    Some(transfer) => transfer.take_written(),
                    None => Ok(first.len()),
                };
            }
            Begun::Busy => unclaimed.wait(Interest::Write),
            Begun::Unclaimed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::file_state::FileState;
    use super::super::unclaimed::Unclaimed;
    use super::*;
    use crate::green::Cancelled;
    use crate::runtime::io::source::Source;
    use crate::runtime::{Builder, Runtime};
    use crate::shim::lock;
    use crate::thread::{JoinHandle, park, spawn_local, yield_now};
    use std::cell::Cell;
    use std::io::{Read as _, Write as _};
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::rc::Rc;
    use std::sync::atomic::Ordering;
    use std::sync::{Arc, mpsc};

    /// One end of a pipe that is treated as a device: each transfer may block forever.
    #[derive(Clone)]
    struct Device {
        fd: Arc<OwnedFd>,
        unclaimed: Arc<Unclaimed>,
    }

    impl Device {
        fn new(fd: impl Into<OwnedFd>) -> Device {
            Device {
                fd: Arc::new(fd.into()),
                unclaimed: Arc::new(Unclaimed::new()),
            }
        }

        fn read(&self, size: usize) -> io::Result<Vec<u8>> {
            let mut buf = vec![0; size];
            let count = read_device(self, &mut [IoSliceMut::new(&mut buf)], size)?;
            buf.truncate(count);
            Ok(buf)
        }

        fn write(&self, bytes: &[u8]) -> io::Result<usize> {
            write_device(self, &[IoSlice::new(bytes)])
        }
    }

    impl AsFd for Device {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.fd.as_fd()
        }
    }

    impl Handle for Device {
        fn file_state(&self) -> Option<&FileState> {
            None
        }
        fn source(&self) -> Option<&Source> {
            None
        }
        fn unclaimed(&self) -> Option<&Unclaimed> {
            Some(&self.unclaimed)
        }
        fn unclaimed_or_init(&self) -> &Unclaimed {
            &self.unclaimed
        }
    }

    fn runtime() -> Runtime {
        let builder = Builder::new().workers(1).blocking_threads(1);
        builder.build().unwrap()
    }

    /// Waits until a pool thread runs a transfer of `device`.
    fn until_claimed(runtime: &Runtime, device: &Device, interest: Interest) {
        while !lock(&device.unclaimed.state).is_busy[index(interest)]
            || runtime.metrics().blocking_queued > 0
        {
            yield_now();
        }
    }

    fn assert_cancelled<T: std::fmt::Debug>(thread: JoinHandle<T>) {
        thread.cancel();
        assert!(thread.join().unwrap_err().is::<Cancelled>());
    }

    #[test]
    fn bytes_of_a_cancelled_read_go_to_the_next_read() {
        let runtime = runtime();
        runtime.run(|| {
            let (reader, mut writer) = io::pipe().unwrap();
            let device = Device::new(reader);
            let theirs = device.clone();
            let reader = spawn_local(move || theirs.read(100));
            until_claimed(&runtime, &device, Interest::Read);
            assert_cancelled(reader);
            // The next one waits for the same call, and may be cancelled, too.
            let theirs = device.clone();
            let reader = spawn_local(move || theirs.read(100));
            yield_now();
            assert_cancelled(reader);
            assert!(lock(&device.unclaimed.state).waiters.is_empty());
            let theirs = device.clone();
            let reader = spawn_local(move || theirs.read(2).unwrap());
            yield_now();
            writer.write_all(b"abc").unwrap();
            assert_eq!(reader.join().unwrap(), b"ab");
            assert_eq!(device.read(2).unwrap(), b"c");
            assert!(!device.unclaimed.is_used.load(Ordering::Relaxed));
            writer.write_all(b"d").unwrap();
            assert_eq!(device.read(2).unwrap(), b"d");
        });
    }

    #[test]
    fn end_of_file_of_a_cancelled_read_is_seen_again() {
        let runtime = runtime();
        runtime.run(|| {
            let (reader, writer) = io::pipe().unwrap();
            let device = Device::new(reader);
            let theirs = device.clone();
            let reader = spawn_local(move || theirs.read(100));
            until_claimed(&runtime, &device, Interest::Read);
            assert_cancelled(reader);
            drop(writer);
            assert_eq!(device.read(2).unwrap(), b"");
        });
    }

    #[test]
    fn a_read_that_was_never_made_takes_nothing() {
        let runtime = runtime();
        runtime.run(|| {
            let (open, gate) = mpsc::channel::<()>();
            let blocked = spawn_local(move || crate::thread::unblock(move || gate.recv().is_err()));
            let (reader, mut writer) = io::pipe().unwrap();
            writer.write_all(b"abc").unwrap();
            let device = Device::new(reader);
            yield_now();
            let theirs = device.clone();
            let reader = spawn_local(move || theirs.read(100));
            while runtime.metrics().blocking_queued == 0 {
                yield_now();
            }
            assert_cancelled(reader);
            assert_eq!(lock(&device.unclaimed.state).is_busy, [false; 2]);
            drop(open);
            assert!(blocked.join().unwrap());
            assert_eq!(device.read(100).unwrap(), b"abc");
        });
    }

    #[test]
    fn cancelled_write_is_written_once() {
        let runtime = runtime();
        runtime.run(|| {
            let (mut reader, writer) = io::pipe().unwrap();
            let full = {
                rustix::io::ioctl_fionbio(&writer, true).unwrap();
                let mut full = 0;
                while let Ok(count) = (&writer).write(&[b'-'; 4096]) {
                    full += count;
                }
                rustix::io::ioctl_fionbio(&writer, false).unwrap();
                full
            };
            let device = Device::new(writer);
            let told = Rc::new(Cell::new(0));
            let (theirs, tell) = (device.clone(), Rc::clone(&told));
            let writer = spawn_local(move || {
                tell.set(theirs.write(b"once").unwrap());
                park();
            });
            until_claimed(&runtime, &device, Interest::Write);
            assert_cancelled(writer);
            assert_eq!(told.get(), 4);
            let mut all = vec![0; full];
            reader.read_exact(&mut all).unwrap();
            assert_eq!(device.write(b"twice").unwrap(), 5);
            let mut last = [0; 9];
            reader.read_exact(&mut last).unwrap();
            assert_eq!(&last, b"oncetwice");
        });
    }

    #[test]
    fn error_of_a_cancelled_write_goes_to_the_next_write() {
        let runtime = runtime();
        runtime.run(|| {
            let (reader, writer) = io::pipe().unwrap();
            rustix::io::ioctl_fionbio(&writer, true).unwrap();
            while (&writer).write(&[b'-'; 4096]).is_ok() {}
            rustix::io::ioctl_fionbio(&writer, false).unwrap();
            let device = Device::new(writer);
            let theirs = device.clone();
            let writer = spawn_local(move || {
                theirs.write(b"lost").unwrap();
                park();
            });
            until_claimed(&runtime, &device, Interest::Write);
            assert_cancelled(writer);
            drop(reader);
            let error = device.write(b"next").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            assert!(!device.unclaimed.is_used.load(Ordering::Relaxed));
        });
    }
}
