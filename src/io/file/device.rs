//! Transfers on the pool whose callers may leave, because they may block for ever: those of terminals and other devices.
//!
//! A read or write of such a file is made on a pool thread, one at a time each way. A caller that a cancellation ends meanwhile leaves
//! at once, and the call goes on. What it gives is kept for the next call on the same file (`kept.rs`), as tokio's `File` does:
//!
//! - a read: its bytes (none is an end), which the next reads get first;
//! - a write: its caller was told that all was taken; an error that comes afterwards is the next write's.
//!
//! - **KE1** A [`Transfer`] exists exactly while its way is `busy`. It ends by being dropped, wherever that happens: with the closure of a
//!   call that was never made, by the caller, or on the pool when the caller has left. What it still has then is kept.
//!
//! Any thread may use any of this at any time.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem;

use super::bounce::Bounce;
use super::kept::index;
use super::traffic::{Handle, UnderWay, read_plain, write_plain};
use crate::runtime::blocking;
use crate::runtime::io::source::Way;
use crate::sys::file::HERE;

/// How much a pipe that says it is ready takes without waiting (`PIPE_BUF`, where it is smallest among ours, and a terminal's).
pub(super) const READY_ROOM: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

/// What a call finds that wants to begin.
pub(crate) enum Begun<H: Handle> {
    Transfer(Transfer<H>),
    /// Another one is under way: `Kept::wait` for its end.
    Busy,
    /// There is something to be taken first.
    Kept,
}

/// A read or write that is under way: see KE1.
pub(crate) struct Transfer<H: Handle> {
    under_way: UnderWay<H>,
    way: Way,
    read: Option<(Bounce, usize)>,
    /// How much was written.
    written: usize,
    error: Option<io::Error>,
}

impl<H: Handle> Transfer<H> {
    pub(crate) fn begin(handle: &H, way: Way) -> Begun<H> {
        let kept = handle.kept_for_good();
        let begun = kept.change(|state| {
            if mem::replace(&mut state.is_busy[index(way)], true) {
                return Some(Begun::Busy);
            }
            let is_kept = match way {
                Way::Read => state.read.is_some(),
                Way::Write => state.write_error.is_some(),
            };
            is_kept.then(|| {
                state.is_busy[index(way)] = false;
                Begun::Kept
            })
        });
        begun.unwrap_or_else(|| {
            Begun::Transfer(Transfer {
                under_way: UnderWay::new(handle),
                way,
                read: None,
                written: 0,
                error: None,
            })
        })
    }

    /// Reads up to `size` bytes, by a call that may block.
    pub(crate) fn read(mut self, size: usize) -> Transfer<H> {
        let mut bounce = Bounce::of(size);
        let buf = &mut [IoSliceMut::new(bounce.as_mut())];
        match read_plain(self.under_way.handle().as_fd(), buf, HERE) {
            Ok(count) => self.read = Some((bounce, count)),
            Err(error) => self.error = Some(error),
        }
        self
    }

    /// Writes all of `bounce`, by calls that may block.
    pub(crate) fn write(mut self, bounce: &Bounce) -> Transfer<H> {
        let bytes = bounce.as_ref();
        while self.written < bytes.len() {
            let rest = IoSlice::new(&bytes[self.written..]);
            match write_plain(self.under_way.handle().as_fd(), &[rest], HERE) {
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

    /// What was read, for the caller that has waited for it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(crate) fn take_read(mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let Some((bounce, count)) = self.read.take() else {
            return Err(self.take_error());
        };
        bounce.scatter(count, bufs);
        Ok(count)
    }

    /// How much was written, for the caller that has waited for it.
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
        let kept = self.under_way.handle().kept_for_good();
        let waiters = kept.change(|state| {
            state.is_busy[index(self.way)] = false;
            if let Some((bounce, count)) = self.read.take() {
                state.read = Some((bounce.as_ref()[..count].to_vec(), 0));
            }
            // An error of a read has taken nothing: the next read meets it by itself.
            if self.way == Way::Write {
                state.write_error = self.error.take();
            }
            mem::take(&mut state.waiters)
        });
        for (_, waiter) in waiters {
            waiter.unpark();
        }
    }
}

/// Reads what may block for ever. What a caller that has left would have got is the next one's.
#[track_caller]
pub(super) fn read_device<H: Handle>(
    handle: &H,
    bufs: &mut [IoSliceMut<'_>],
    size: usize,
) -> io::Result<usize> {
    let kept = handle.kept_for_good();
    loop {
        if let Some(count) = kept.take_read(bufs) {
            return Ok(count);
        }
        match Transfer::begin(handle, Way::Read) {
            Begun::Transfer(transfer) => {
                let transfer = blocking::on_file(move || Ok(transfer.read(size)))?;
                return transfer.take_read(bufs);
            }
            Begun::Busy => kept.wait(Way::Read),
            Begun::Kept => {}
        }
    }
}

/// Writes what may block for ever, a little of it: a caller that leaves has written that.
#[track_caller]
pub(super) fn write_device<H: Handle>(handle: &H, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let kept = handle.kept_for_good();
    loop {
        kept.settle_write()?;
        match Transfer::begin(handle, Way::Write) {
            Begun::Transfer(transfer) => {
                let first = bufs.iter().find(|buf| !buf.is_empty());
                let first = first.map_or(&[][..], |buf| &buf[..buf.len().min(READY_ROOM)]);
                let bounce = Bounce::gather(&[IoSlice::new(first)]);
                return match blocking::on_stream(move || transfer.write(&bounce))? {
                    Some(transfer) => transfer.take_written(),
                    None => Ok(first.len()),
                };
            }
            Begun::Busy => kept.wait(Way::Write),
            Begun::Kept => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kept::Kept;
    use super::super::traffic::Traffic;
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

    /// An end of a pipe that is taken for a device: each transfer is one that may block for ever.
    #[derive(Clone)]
    struct Device {
        fd: Arc<OwnedFd>,
        kept: Arc<Kept>,
    }

    impl Device {
        fn new(fd: impl Into<OwnedFd>) -> Device {
            Device {
                fd: Arc::new(fd.into()),
                kept: Arc::new(Kept::new()),
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
        fn traffic(&self) -> Option<&Traffic> {
            None
        }
        fn source(&self) -> Option<&Source> {
            None
        }
        fn kept(&self) -> Option<&Kept> {
            Some(&self.kept)
        }
        fn kept_for_good(&self) -> &Kept {
            &self.kept
        }
    }

    fn runtime() -> Runtime {
        let builder = Builder::new().workers(1).blocking_threads(1);
        builder.build().unwrap()
    }

    /// Until a pool thread is at a transfer of `device`.
    fn until_claimed(runtime: &Runtime, device: &Device, way: Way) {
        while !lock(&device.kept.state).is_busy[index(way)] || runtime.metrics().blocking_queued > 0
        {
            yield_now();
        }
    }

    fn assert_cancelled<T: std::fmt::Debug>(thread: JoinHandle<T>) {
        thread.cancel();
        assert!(thread.join().unwrap_err().is::<Cancelled>());
    }

    #[test]
    fn what_a_cancelled_reader_would_have_got_is_the_next_ones() {
        let runtime = runtime();
        runtime.run(|| {
            let (reader, mut writer) = io::pipe().unwrap();
            let device = Device::new(reader);
            let theirs = device.clone();
            let reader = spawn_local(move || theirs.read(100));
            until_claimed(&runtime, &device, Way::Read);
            assert_cancelled(reader);
            // The next one waits for the same call, and may be cancelled, too.
            let theirs = device.clone();
            let reader = spawn_local(move || theirs.read(100));
            yield_now();
            assert_cancelled(reader);
            assert!(lock(&device.kept.state).waiters.is_empty());
            let theirs = device.clone();
            let reader = spawn_local(move || theirs.read(2).unwrap());
            yield_now();
            writer.write_all(b"abc").unwrap();
            assert_eq!(reader.join().unwrap(), b"ab");
            assert_eq!(device.read(2).unwrap(), b"c");
            assert!(!device.kept.is_used.load(Ordering::Relaxed));
            writer.write_all(b"d").unwrap();
            assert_eq!(device.read(2).unwrap(), b"d");
        });
    }

    #[test]
    fn an_end_that_a_cancelled_reader_has_met_is_met_again() {
        let runtime = runtime();
        runtime.run(|| {
            let (reader, writer) = io::pipe().unwrap();
            let device = Device::new(reader);
            let theirs = device.clone();
            let reader = spawn_local(move || theirs.read(100));
            until_claimed(&runtime, &device, Way::Read);
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
            assert_eq!(lock(&device.kept.state).is_busy, [false; 2]);
            drop(open);
            assert!(blocked.join().unwrap());
            assert_eq!(device.read(100).unwrap(), b"abc");
        });
    }

    #[test]
    fn what_a_cancelled_writer_has_written_is_written_once() {
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
            until_claimed(&runtime, &device, Way::Write);
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
    fn the_error_of_a_cancelled_write_is_the_next_ones() {
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
            until_claimed(&runtime, &device, Way::Write);
            assert_cancelled(writer);
            drop(reader);
            let error = device.write(b"next").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            assert!(!device.kept.is_used.load(Ordering::Relaxed));
        });
    }
}
