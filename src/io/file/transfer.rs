//! Reading and writing through descriptors whose flags are not ours to change: files, pipes, terminals, the three
//! standard streams.
//!
//! On an OS thread a transfer is the plain call, which a stream is waited for before if there is a limit around it. On a green thread, in steps:
//!
//! 1. A call that does not wait (`sys::file`). What is in the page cache, in a pipe, or fits into one, is served so.
//! 2. If that would wait: for a file on a disk the pool makes the call; for a stream the reactor says when to try again.
//! 3. If there is no such call for this file (terminals; files in memory; old kernels): for a stream the reactor says when
//!    it is ready, and the pool makes the call, which somebody else who reads the same stream may still hold up.
//!
//! What a cancellation does: in steps 1 and 2 of a stream nothing has been transferred, and the caller unwinds. On a disk, a call that a pool
//! thread has claimed is waited for; it ends soon. In step 3 the call may block for ever: the caller leaves it, and what it gives is
//! kept for the next (`kept.rs`). A write that has moved a part returns how much, and the cancellation is raised at the next wait.
//!
//! - **TR1** `O_NONBLOCK` is never set or cleared here.
//! - **TR2** The reactor watches the descriptor of a file itself, which needs no second one. It watches a duplicate of a standard stream, which may
//!   become another file at any time; when there is no descriptor for that, `poll(2)` is asked after pauses.
//! - **TR3** is in `traffic.rs`.
//!
//! Any thread may use any of this at any time.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use super::bounce::Bounce;
use super::device::{READY_ROOM, read_device, write_device};
use super::kept::Kept;
use super::traffic::{Handle, Traffic, UnderWay, read_plain, write_plain};
use crate::green::park::is_limited_os;
use crate::green::{Home, Reason};
use crate::retry::{self, Mode, Pauses, rest};
use crate::runtime::blocking;
use crate::runtime::io::source::{Kind, Source, Way};
use crate::sys::clock::NEVER;
use crate::sys::file::{self, HERE, Nature, Now};
use crate::sys::sock;

/// Which of a file's two ways, and what may be found out about it.
fn remembers_no(traffic: Option<&Traffic>, way: Way) -> Option<&AtomicBool> {
    traffic.map(|traffic| {
        if way == Way::Read {
            &traffic.no_read_now
        } else {
            &traffic.no_write_now
        }
    })
}

/// What to do when the call that does not wait has not done it.
enum Next {
    Done(usize),
    /// The pool makes the call, which ends soon.
    Pool,
    /// The pool makes the call, which may block for ever.
    Device,
    /// It does not block.
    InPlace,
    /// The reactor says when to try again.
    Await,
    /// The reactor says when, and then the pool makes the call.
    AwaitThenPool,
}

/// Steps 1 to 3, as far as they do not wait.
fn begin<H: Handle>(
    handle: &H,
    way: Way,
    at: u64,
    now: impl FnOnce(BorrowedFd<'_>) -> io::Result<Now>,
) -> io::Result<Next> {
    let fd = handle.as_fd();
    let traffic = handle.traffic();
    let refuses = remembers_no(traffic, way);
    let is_free = at != HERE || traffic.is_none_or(Traffic::is_free);
    let found = if is_free && !refuses.is_some_and(|refuses| refuses.load(Ordering::Relaxed)) {
        now(fd)?
    } else {
        Now::Unknown
    };
    let nature = || traffic.map_or_else(|| file::nature(fd), |traffic| traffic.nature(fd));
    Ok(match found {
        // Linux 5.9 and 5.10 say 0 where they mean that they would wait; if so it is read once more, in place.
        Now::Done(0) if way == Way::Read && nature() == Nature::Disk => Next::InPlace,
        Now::Done(count) => Next::Done(count),
        Now::WouldWait | Now::Unknown | Now::Invalid => {
            let nature = nature();
            // A device calls a request invalid that is so by itself, and may take the next.
            let is_invalid = matches!(found, Now::Invalid) && nature == Nature::Device;
            let unknown = !matches!(found, Now::WouldWait);
            if unknown
                && !is_invalid
                && is_free
                && let Some(refuses) = refuses
            {
                refuses.store(true, Ordering::Relaxed);
            }
            match nature {
                Nature::Disk => Next::Pool,
                Nature::Memory => Next::InPlace,
                // As std's, an open file that somebody has made `O_NONBLOCK` says that it would block.
                Nature::Stream | Nature::Device
                    if traffic.is_some() && sock::is_nonblocking(fd).unwrap_or(false) =>
                {
                    Next::InPlace
                }
                // A file position means nothing to it: the plain call says so, and does not wait.
                Nature::Stream if at != HERE => Next::InPlace,
                // If it means something, the call takes nothing from others.
                Nature::Device if at != HERE => Next::Pool,
                // The true error is to be had at once.
                Nature::Device if is_invalid => Next::Device,
                Nature::Stream | Nature::Device if unknown => Next::AwaitThenPool,
                Nature::Stream | Nature::Device => Next::Await,
            }
        }
    })
}

/// Lets the reactor say when `attempt` succeeds. None: it cannot watch such a file.
#[track_caller]
fn when_ready<H: Handle, T>(
    handle: &H,
    way: Way,
    mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
) -> io::Result<Option<T>> {
    let mut pauses = Pauses::default();
    loop {
        let duplicate;
        let source = match handle.source() {
            Some(source) => source,
            None => match sock::duplicate(handle.as_fd()) {
                Ok(fd) => {
                    duplicate = Source::new(fd, Kind::Other);
                    &duplicate
                }
                Err(error) if retry::is_out_of_descriptors(&error) => {
                    match attempt(handle.as_fd()) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        result => return result.map(Some),
                    }
                    pauses.wait(reason(way), NEVER)?;
                    continue;
                }
                Err(error) => return Err(error),
            },
        };
        let mode = Mode::default();
        let result = if way == Way::Read {
            retry::read(source, reason(way), mode, attempt, |_| false)
        } else {
            retry::write(source, reason(way), mode, attempt)
        };
        return match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
        };
    }
}

fn reason(way: Way) -> Reason {
    match way {
        Way::Read => Reason::Read,
        Way::Write => Reason::Write,
    }
}

/// `now`, until it has done something.
fn attempt_now(found: io::Result<Now>) -> io::Result<Option<usize>> {
    match found? {
        Now::Done(count) => Ok(Some(count)),
        Now::WouldWait => Err(retry::would_block()),
        // It knew the call a moment ago.
        Now::Unknown | Now::Invalid => Ok(None),
    }
}

#[track_caller]
fn until_ready<H: Handle>(handle: &H, way: Way) -> io::Result<()> {
    if retry::is_ready(handle.as_fd(), way)? {
        return Ok(());
    }
    let ready = |fd: BorrowedFd<'_>| match retry::is_ready(fd, way)? {
        true => Ok(()),
        false => Err(retry::would_block()),
    };
    when_ready(handle, way, ready).map(drop)
}

/// Whether a plain call of the calling OS thread may have to wait for longer than a limit around it allows.
fn is_limited_stream<H: Handle>(handle: &H) -> bool {
    let fd = handle.as_fd();
    let nature = || {
        let traffic = handle.traffic();
        traffic.map_or_else(|| file::nature(fd), |traffic| traffic.nature(fd))
    };
    is_limited_os()
        && matches!(nature(), Nature::Stream | Nature::Device)
        && !sock::is_nonblocking(fd).unwrap_or(false)
}

/// What [`write`] does on an OS thread with a limit around it: what the stream is sure to take.
#[track_caller]
fn write_limited<H: Handle>(handle: &H, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let Some(buf) = bufs.iter().find(|buf| !buf.is_empty()) else {
        return write_plain(handle.as_fd(), bufs, HERE);
    };
    until_ready(handle, Way::Write)?;
    let some = IoSlice::new(&buf[..buf.len().min(READY_ROOM)]);
    write_plain(handle.as_fd(), &[some], HERE)
}

/// Reads into `bufs`, at `at` or where the file is ([`HERE`]).
#[track_caller]
pub(crate) fn read<H: Handle>(
    handle: &H,
    bufs: &mut [IoSliceMut<'_>],
    at: u64,
) -> io::Result<usize> {
    let size = bufs
        .iter()
        .fold(0, |sum: usize, buf| sum.saturating_add(buf.len()));
    if at == HERE
        && size > 0
        && let Some(kept) = handle.kept()
        && let Some(count) = kept.take_read(bufs)
    {
        return Ok(count);
    }
    let Some(home) = Home::get() else {
        // What asks for nothing has nothing to wait for.
        if at == HERE && size > 0 && is_limited_stream(handle) {
            until_ready(handle, Way::Read)?;
        }
        return read_plain(handle.as_fd(), bufs, at);
    };
    if size == 0 {
        return read_nothing(handle, bufs, at);
    }
    home.spend(Location::caller());
    loop {
        let next = begin(handle, Way::Read, at, |fd| file::read_now(fd, bufs, at))?;
        match next {
            Next::Done(count) => return Ok(count),
            Next::InPlace => return read_plain(handle.as_fd(), bufs, at),
            Next::Pool => return read_on_pool(handle, bufs, size, at),
            Next::Await => {
                let attempt = |fd: BorrowedFd<'_>| attempt_now(file::read_now(fd, bufs, at));
                if let Some(Some(count)) = when_ready(handle, Way::Read, attempt)? {
                    return Ok(count);
                }
            }
            Next::AwaitThenPool => until_ready(handle, Way::Read)?,
            Next::Device => {}
        }
        match read_device(handle, bufs, size) {
            Ok(count) => return Ok(count),
            // Somebody else has made a standard stream `O_NONBLOCK`: that is nothing to the program.
            Err(error) if is_refused_wait(handle, &error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads into no room: the system may have something to say all the same, and some devices wait before they do.
#[track_caller]
fn read_nothing<H: Handle>(handle: &H, bufs: &mut [IoSliceMut<'_>], at: u64) -> io::Result<usize> {
    let fd = handle.as_fd();
    let nature = handle
        .traffic()
        .map_or_else(|| file::nature(fd), |traffic| traffic.nature(fd));
    if nature != Nature::Device || sock::is_nonblocking(fd).unwrap_or(false) {
        return read_plain(fd, bufs, at);
    }
    let under_way = UnderWay::new(handle);
    blocking::on_file(move || {
        let nothing = &mut [IoSliceMut::new(&mut [])];
        read_plain(under_way.handle().as_fd(), nothing, at)
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
    let mut bounce = Bounce::of(size);
    let under_way = UnderWay::new(handle);
    let read = move || {
        let buf = &mut [IoSliceMut::new(bounce.as_mut())];
        let count = read_plain(under_way.handle().as_fd(), buf, at)?;
        Ok((count, bounce))
    };
    let (count, bounce) = if at == HERE {
        blocking::on_file_shielded(read)?
    } else {
        blocking::on_file(read)?
    };
    bounce.scatter(count, bufs);
    Ok(count)
}

fn is_refused_wait<H: Handle>(handle: &H, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock && handle.traffic().is_none()
}

/// Writes what is in `bufs`, at `at` or where the file is: to a disk what one trip carries, to a stream all of the first buffers
/// that are not empty, as a blocking call does, unless an error or a cancellation comes in between.
#[track_caller]
pub(crate) fn write<H: Handle>(handle: &H, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
    let Some(home) = Home::get() else {
        if at == HERE
            && let Some(kept) = handle.kept()
        {
            kept.settle_write()?;
        }
        if at == HERE && is_limited_stream(handle) {
            return write_limited(handle, bufs);
        }
        return write_plain(handle.as_fd(), bufs, at);
    };
    let size = bufs
        .iter()
        .fold(0, |sum: usize, buf| sum.saturating_add(buf.len()));
    if size == 0 {
        return write_plain(handle.as_fd(), bufs, at);
    }
    home.spend(Location::caller());
    let mut sent = 0;
    loop {
        let at = if at == HERE { HERE } else { at + sent as u64 };
        let result = if sent == 0 {
            write_some(handle, bufs, 0, at)
        } else {
            // What was sent must be told.
            let next = retry::hold_up_cancel(|| {
                home.spend(Location::caller());
                write_some(handle, bufs, sent, at)
            });
            match next {
                Ok(result) => result,
                Err(_) => return Ok(sent),
            }
        };
        match result {
            Ok((count, Nature::Stream)) if count > 0 && sent + count < size => sent += count,
            Ok((count, _)) => return Ok(sent + count),
            Err(_) if sent > 0 => return Ok(sent),
            Err(error) => return Err(error),
        }
    }
}

/// One call of [`write`], and what kind of file took it.
#[track_caller]
fn write_some<H: Handle>(
    handle: &H,
    bufs: &[IoSlice<'_>],
    sent: usize,
    at: u64,
) -> io::Result<(usize, Nature)> {
    let (whole, single);
    let bufs = match rest(bufs, sent) {
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
        let next = begin(handle, Way::Write, at, |fd| file::write_now(fd, bufs, at))?;
        match next {
            // Whether it is a disk's or not: what is left is tried again, and only then can it be known.
            Next::Done(count) => return Ok((count, Nature::Stream)),
            Next::InPlace => return Ok((write_plain(handle.as_fd(), bufs, at)?, Nature::Memory)),
            Next::Pool => return Ok((write_on_pool(handle, bufs, at)?, Nature::Disk)),
            Next::Await => {
                let attempt = |fd: BorrowedFd<'_>| attempt_now(file::write_now(fd, bufs, at));
                if let Some(Some(count)) = when_ready(handle, Way::Write, attempt)? {
                    return Ok((count, Nature::Stream));
                }
            }
            Next::AwaitThenPool => {
                // An error of an earlier write comes first, also where there is no room.
                settle_write(handle)?;
                until_ready(handle, Way::Write)?;
            }
            Next::Device => {}
        }
        match write_device(handle, bufs) {
            Ok(count) => return Ok((count, Nature::Stream)),
            Err(error) if is_refused_wait(handle, &error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn settle_write<H: Handle>(handle: &H) -> io::Result<()> {
    handle.kept().map_or(Ok(()), Kept::settle_write)
}

/// Writes to a disk, as much as one trip carries; none of it for a caller that has left.
#[track_caller]
fn write_on_pool<H: Handle>(handle: &H, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
    let bounce = Bounce::gather(bufs);
    let under_way = UnderWay::new(handle);
    let (result, bounce) = blocking::on_file_shielded(move || {
        let buf = &[IoSlice::new(bounce.as_ref())];
        let result = write_plain(under_way.handle().as_fd(), buf, at);
        Ok((result, bounce))
    })?;
    bounce.keep();
    result
}
