//! Reading and writing through descriptors with flags that must not change: files, pipes,
//! terminals, the three standard streams.
//!
//! On an OS thread a transfer is the plain call; if there is a limit around it, a stream is waited
//! for before. On a green thread there are these steps:
//!
//! 1. A call that does not wait (`sys::file`). This serves data in the page cache or in a pipe, and
//!    writes that fit into a pipe.
//! 2. If it would wait: for a file on a disk the pool makes the call; for a stream the reactor says
//!    when to retry.
//! 3. If there is no such call for this file (terminals; files in memory; old kernels): for a
//!    stream the reactor says when it is ready, and the pool makes the call, which another reader
//!    of the same stream may still delay.
//!
//! Cancellation: in steps 1 and 2 of a stream nothing has been transferred, and the caller unwinds.
//! On a disk, a call that a pool thread has claimed is waited for; it ends soon. In step 3 the call
//! may block forever: the caller leaves it, and its result is kept for the next (`unclaimed.rs`). A
//! write that has moved a part returns the length of that part, and the next wait unwinds.
//!
//! - **TR1** `O_NONBLOCK` is never set or cleared here.
//! - **TR2** The reactor watches the descriptor of a file itself, which needs no second one. It
//!   watches a duplicate of a standard stream, which may become another file at any time; if there
//!   is no free descriptor for that, `poll(2)` is called after pauses.
//! - **TR3** is in `file_state.rs`.
//!
//! Any thread may use any of this at any time.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use super::bounce_buffer::BounceBuffer;
use super::device::{READY_PIPE_BYTES, read_device, write_device};
use super::file_state::{FileState, Handle, InFlight, read_plain, write_plain};
use super::unclaimed::Unclaimed;
use crate::green::park::is_limited_os;
use crate::green::{Reason, WorkerContext};
use crate::retry::{self, Mode, Pauses, advance_slices};
use crate::runtime::blocking;
use crate::runtime::io::source::{Interest, Source, SourceKind};
use crate::sys::clock::NEVER;
use crate::sys::file::{self, CURRENT_POS, FileKind, NonblockingResult};
use crate::sys::sock;

/// Returns the flag for a direction that says whether its nonwaiting call is missing.
fn remembers_no(file_state: Option<&FileState>, interest: Interest) -> Option<&AtomicBool> {
    file_state.map(|file_state| {
        if interest == Interest::Read {
            &file_state.no_read_now
        } else {
            &file_state.no_write_now
        }
    })
}

/// The action after the call that does not wait.
enum Next {
    Done(usize),
    /// The pool makes the call, which ends soon.
    Pool,
    /// The pool makes the call, which may block forever.
    Device,
    /// It does not block.
    InPlace,
    /// The reactor says when to retry.
    Await,
    /// The reactor says when, and then the pool makes the call.
    AwaitThenPool,
}

/// Performs steps 1 to 3, as far as they do not wait.
fn begin<H: Handle>(
    handle: &H,
    interest: Interest,
    at: u64,
    now: impl FnOnce(BorrowedFd<'_>) -> io::Result<NonblockingResult>,
) -> io::Result<Next> {
    let fd = handle.as_fd();
    let file_state = handle.file_state();
    let refuses = remembers_no(file_state, interest);
    let is_free = at != CURRENT_POS || file_state.is_none_or(FileState::is_free);
    let found = if is_free && !refuses.is_some_and(|refuses| refuses.load(Ordering::Relaxed)) {
        now(fd)?
    } else {
        NonblockingResult::Unknown
    };
    let file_kind = || {
        file_state.map_or_else(
            || file::file_kind(fd),
            |file_state| file_state.file_kind(fd),
        )
    };
    Ok(match found {
        // Linux 5.9 and 5.10 return 0 when they would wait; so it is read once more, in place.
        NonblockingResult::Done(0)
            if interest == Interest::Read && file_kind() == FileKind::Disk =>
        {
            Next::InPlace
        }
        NonblockingResult::Done(count) => Next::Done(count),
        NonblockingResult::WouldWait | NonblockingResult::Unknown | NonblockingResult::Invalid => {
            let file_kind = file_kind();
            // A device may call a request invalid that is invalid in itself, and accept the next.
            let is_invalid =
                matches!(found, NonblockingResult::Invalid) && file_kind == FileKind::Device;
            let unknown = !matches!(found, NonblockingResult::WouldWait);
            if unknown
                && !is_invalid
                && is_free
                && let Some(refuses) = refuses
            {
                refuses.store(true, Ordering::Relaxed);
            }
            match file_kind {
                FileKind::Disk => Next::Pool,
                FileKind::Memory => Next::InPlace,
                // As in std, an open file that other code has made `O_NONBLOCK` returns
                // `WouldBlock`.
                FileKind::Stream | FileKind::Device
                    if file_state.is_some() && sock::is_nonblocking(fd).unwrap_or(false) =>
                {
                    Next::InPlace
                }
                // A file position means nothing to it: the plain call returns that error without
                // waiting.
                FileKind::Stream if at != CURRENT_POS => Next::InPlace,
                // If it means something, the call takes nothing from others.
                FileKind::Device if at != CURRENT_POS => Next::Pool,
                // The true error is available at once.
                FileKind::Device if is_invalid => Next::Device,
                FileKind::Stream | FileKind::Device if unknown => Next::AwaitThenPool,
                FileKind::Stream | FileKind::Device => Next::Await,
            }
        }
    })
}

/// Waits with the reactor until `attempt` succeeds. Returns `None` if the reactor cannot watch such
/// a file.
#[track_caller]
fn when_ready<H: Handle, T>(
    handle: &H,
    interest: Interest,
    mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
) -> io::Result<Option<T>> {
    let mut pauses = Pauses::default();
    loop {
        let duplicate;
        let source = match handle.source() {
            Some(source) => source,
            None => match sock::duplicate(handle.as_fd()) {
                Ok(fd) => {
                    duplicate = Source::new(fd, SourceKind::Other);
                    &duplicate
                }
                Err(error) if retry::is_out_of_descriptors(&error) => {
                    match attempt(handle.as_fd()) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        result => return result.map(Some),
                    }
                    pauses.wait(reason(interest), NEVER)?;
                    continue;
                }
                Err(error) => return Err(error),
            },
        };
        let mode = Mode::default();
        let result = if interest == Interest::Read {
            retry::read(source, reason(interest), mode, attempt, |_| false)
        } else {
            retry::write(source, reason(interest), mode, attempt)
        };
        return match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
        };
    }
}

fn reason(interest: Interest) -> Reason {
    match interest {
        Interest::Read => Reason::Read,
        Interest::Write => Reason::Write,
    }
}

/// Retries `now` until it has done something.
fn attempt_now(found: io::Result<NonblockingResult>) -> io::Result<Option<usize>> {
    match found? {
        NonblockingResult::Done(count) => Ok(Some(count)),
        NonblockingResult::WouldWait => Err(retry::would_block()),
        // The call was known a moment ago.
        NonblockingResult::Unknown | NonblockingResult::Invalid => Ok(None),
    }
}

/// Waits until the plain call would return at once.
#[track_caller]
fn until_ready<H: Handle>(handle: &H, interest: Interest) -> io::Result<()> {
    if retry::is_ready(handle.as_fd(), interest)? {
        return Ok(());
    }
    // A file that refuses the call would never be ready for it.
    match interest {
        Interest::Read => file::check_read(handle.as_fd())?,
        Interest::Write => file::check_write(handle.as_fd())?,
    }
    let ready = |fd: BorrowedFd<'_>| match retry::is_ready(fd, interest)? {
        true => Ok(()),
        false => Err(retry::would_block()),
    };
    when_ready(handle, interest, ready).map(drop)
}

/// Returns whether a plain call of the calling OS thread may wait for longer than a limit around it
/// allows.
fn is_limited_stream<H: Handle>(handle: &H) -> bool {
    let fd = handle.as_fd();
    let file_kind = || {
        let file_state = handle.file_state();
        file_state.map_or_else(
            || file::file_kind(fd),
            |file_state| file_state.file_kind(fd),
        )
    };
    is_limited_os()
        && matches!(file_kind(), FileKind::Stream | FileKind::Device)
        && !sock::is_nonblocking(fd).unwrap_or(false)
}

/// Performs [`write`] on an OS thread with a limit around it: only bytes that the stream is sure to
/// take.
#[track_caller]
fn write_limited<H: Handle>(handle: &H, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let Some(buf) = bufs.iter().find(|buf| !buf.is_empty()) else {
        return write_plain(handle.as_fd(), bufs, CURRENT_POS);
    };
    until_ready(handle, Interest::Write)?;
    let some = IoSlice::new(&buf[..buf.len().min(READY_PIPE_BYTES)]);
    write_plain(handle.as_fd(), &[some], CURRENT_POS)
}

/// Reads into `bufs`, at `at` or at the file's position ([`CURRENT_POS`]).
#[track_caller]
pub(crate) fn read<H: Handle>(
    handle: &H,
    bufs: &mut [IoSliceMut<'_>],
    at: u64,
) -> io::Result<usize> {
    let size = bufs
        .iter()
        .fold(0, |sum: usize, buf| sum.saturating_add(buf.len()));
    if at == CURRENT_POS
        && size > 0
        && let Some(unclaimed) = handle.unclaimed()
        && let Some(count) = unclaimed.take_read(bufs)
    {
        return Ok(count);
    }
    let Some(cx) = WorkerContext::get() else {
        // A request for nothing has nothing to wait for.
        if at == CURRENT_POS && size > 0 && is_limited_stream(handle) {
            until_ready(handle, Interest::Read)?;
        }
        return read_plain(handle.as_fd(), bufs, at);
    };
    cx.poll_budget(Location::caller());
    if size == 0 {
        return read_nothing(handle, bufs, at);
    }
    loop {
        let next = begin(handle, Interest::Read, at, |fd| {
            file::read_now(fd, bufs, at)
        })?;
        match next {
            Next::Done(count) => return Ok(count),
            Next::InPlace => return read_plain(handle.as_fd(), bufs, at),
            Next::Pool => return read_on_pool(handle, bufs, size, at),
            Next::Await => {
                let attempt = |fd: BorrowedFd<'_>| attempt_now(file::read_now(fd, bufs, at));
                if let Some(Some(count)) = when_ready(handle, Interest::Read, attempt)? {
                    return Ok(count);
                }
            }
            Next::AwaitThenPool => until_ready(handle, Interest::Read)?,
            Next::Device => {}
        }
        match read_device(handle, bufs, size) {
            Ok(count) => return Ok(count),
            // Other code has made a standard stream `O_NONBLOCK`: that does not concern the
            // program.
            Err(error) if is_refused_wait(handle, &error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads zero bytes: the system may return an error all the same, and some devices wait before they
/// do.
#[track_caller]
fn read_nothing<H: Handle>(handle: &H, bufs: &mut [IoSliceMut<'_>], at: u64) -> io::Result<usize> {
    let fd = handle.as_fd();
    let file_kind = handle.file_state().map_or_else(
        || file::file_kind(fd),
        |file_state| file_state.file_kind(fd),
    );
    if file_kind != FileKind::Device || sock::is_nonblocking(fd).unwrap_or(false) {
        return read_plain(fd, bufs, at);
    }
    let in_flight = InFlight::new(handle);
    blocking::on_file(move || {
        let nothing = &mut [IoSliceMut::new(&mut [])];
        read_plain(in_flight.handle().as_fd(), nothing, at)
    })
}

/// Reads from a disk. The position of the file does not move for a caller that has left.
#[track_caller]
fn read_on_pool<H: Handle>(
    handle: &H,
    bufs: &mut [IoSliceMut<'_>],
    size: usize,
    at: u64,
) -> io::Result<usize> {
    let mut bounce_buffer = BounceBuffer::of(size);
    let in_flight = InFlight::new(handle);
    let read = move || {
        let buf = &mut [IoSliceMut::new(bounce_buffer.as_mut())];
        let count = read_plain(in_flight.handle().as_fd(), buf, at)?;
        Ok((count, bounce_buffer))
    };
    let (count, bounce_buffer) = if at == CURRENT_POS {
        blocking::on_file_shielded(read)?
    } else {
        blocking::on_file(read)?
    };
    bounce_buffer.scatter(count, bufs);
    Ok(count)
}

fn is_refused_wait<H: Handle>(handle: &H, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock && handle.file_state().is_none()
}

/// Writes `bufs`, at `at` or at the file's position: to a disk up to one transfer's maximum, to a
/// stream all of the first buffers that are not empty, as a blocking call does, unless an error or
/// a cancellation interrupts it.
#[track_caller]
pub(crate) fn write<H: Handle>(handle: &H, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
    let Some(cx) = WorkerContext::get() else {
        if at == CURRENT_POS
            && let Some(unclaimed) = handle.unclaimed()
        {
            unclaimed.settle_write()?;
        }
        if at == CURRENT_POS && is_limited_stream(handle) {
            return write_limited(handle, bufs);
        }
        return write_plain(handle.as_fd(), bufs, at);
    };
    let size = bufs
        .iter()
        .fold(0, |sum: usize, buf| sum.saturating_add(buf.len()));
    cx.poll_budget(Location::caller());
    if size == 0 {
        return write_plain(handle.as_fd(), bufs, at);
    }
    let mut sent = 0;
    loop {
        let at = if at == CURRENT_POS {
            CURRENT_POS
        } else {
            at + sent as u64
        };
        let result = if sent == 0 {
            write_some(handle, bufs, 0, at)
        } else {
            // The bytes that were sent must be reported.
            let next = retry::defer_cancel(|| {
                cx.poll_budget(Location::caller());
                write_some(handle, bufs, sent, at)
            });
            match next {
                Ok(result) => result,
                Err(_) => return Ok(sent),
            }
        };
        match result {
            Ok((count, FileKind::Stream)) if count > 0 && sent + count < size => sent += count,
            Ok((count, _)) => return Ok(sent + count),
            Err(_) if sent > 0 => return Ok(sent),
            Err(error) => return Err(error),
        }
    }
}

/// Performs one call of [`write`] and returns the kind of file.
#[track_caller]
fn write_some<H: Handle>(
    handle: &H,
    bufs: &[IoSlice<'_>],
    sent: usize,
    at: u64,
) -> io::Result<(usize, FileKind)> {
    let (whole, single);
    let bufs = match advance_slices(bufs, sent) {
        (bufs, 0) => {
            whole = bufs;
            whole
        }
        (bufs, skip) => {
            single = [IoSlice::new(&bufs[0][skip..])];
            &single
        }
    };
    loop {
        let next = begin(handle, Interest::Write, at, |fd| {
            file::write_now(fd, bufs, at)
        })?;
        match next {
            // Disk or not: the rest is tried again, and only then can that be known.
            Next::Done(count) => return Ok((count, FileKind::Stream)),
            Next::InPlace => return Ok((write_plain(handle.as_fd(), bufs, at)?, FileKind::Memory)),
            Next::Pool => return Ok((write_on_pool(handle, bufs, at)?, FileKind::Disk)),
            Next::Await => {
                let attempt = |fd: BorrowedFd<'_>| attempt_now(file::write_now(fd, bufs, at));
                if let Some(Some(count)) = when_ready(handle, Interest::Write, attempt)? {
                    return Ok((count, FileKind::Stream));
                }
            }
            Next::AwaitThenPool => {
                // An error of an earlier write comes first, also if there is no room.
                settle_write(handle)?;
                until_ready(handle, Interest::Write)?;
            }
            Next::Device => {}
        }
        match write_device(handle, bufs) {
            Ok(count) => return Ok((count, FileKind::Stream)),
            Err(error) if is_refused_wait(handle, &error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn settle_write<H: Handle>(handle: &H) -> io::Result<()> {
    handle.unclaimed().map_or(Ok(()), Unclaimed::settle_write)
}

/// Writes to a disk, up to one transfer's maximum; nothing for a caller that has left.
#[track_caller]
fn write_on_pool<H: Handle>(handle: &H, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
    let bounce_buffer = BounceBuffer::gather(bufs);
    let in_flight = InFlight::new(handle);
    let (result, bounce_buffer) = blocking::on_file_shielded(move || {
        let buf = &[IoSlice::new(bounce_buffer.as_ref())];
        let result = write_plain(in_flight.handle().as_fd(), buf, at);
        Ok((result, bounce_buffer))
    })?;
    bounce_buffer.keep();
    result
}
