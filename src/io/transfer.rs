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
//! - **TR1** `O_NONBLOCK` is never set or cleared here.
//! - **TR2** The reactor watches a duplicate of the descriptor, which is closed with the file, or at the end of the wait.
//! - **TR3** Nothing that takes the lock on the file's position is called in place while a call of ours that holds it is under way
//!   on the pool: `under_way` counts those.
//!
//! Any thread may use any of this at any time.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::Location;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use super::bounce::Bounce;
use crate::green::park::is_limited_os;
use crate::green::{Home, Reason};
use crate::retry::{self, Mode, rest};
use crate::runtime::blocking;
use crate::runtime::source::{Kind, Source, Way};
use crate::sys::file::{self, HERE, Nature, Now};
use crate::sys::sock;

/// How much a pipe that says it is ready takes without waiting (`PIPE_BUF`, where it is smallest among ours, and a terminal's).
const READY_ROOM: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

/// What is remembered of an open file. Each atomic stands alone: what they say is found out again when it is missing.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// 0 is unknown.
    nature: AtomicU8,
    no_read_now: AtomicBool,
    no_write_now: AtomicBool,
    under_way: AtomicUsize,
    source: OnceLock<Source>,
}

/// A descriptor that can be taken along to the pool, and what is remembered of its file.
pub(crate) trait Handle: AsFd + Clone + Send + 'static {
    /// None for the standard streams, which may become other files at any time.
    fn traffic(&self) -> Option<&Traffic>;
}

impl Traffic {
    pub(crate) fn nature(&self, fd: BorrowedFd<'_>) -> Nature {
        match self.nature.load(Ordering::Relaxed) {
            1 => Nature::Disk,
            2 => Nature::Memory,
            3 => Nature::Stream,
            _ => {
                let nature = file::nature(fd);
                self.set_nature(nature);
                nature
            }
        }
    }

    fn set_nature(&self, nature: Nature) {
        let number = match nature {
            Nature::Disk => 1,
            Nature::Memory => 2,
            Nature::Stream => 3,
        };
        self.nature.store(number, Ordering::Relaxed);
    }

    /// TR3.
    pub(crate) fn is_free(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }
}

/// TR3, for as long as it lives.
pub(crate) struct UnderWay<H: Handle>(H);

impl<H: Handle> UnderWay<H> {
    pub(crate) fn new(handle: &H) -> UnderWay<H> {
        if let Some(traffic) = handle.traffic() {
            traffic.under_way.fetch_add(1, Ordering::Relaxed);
        }
        UnderWay(handle.clone())
    }

    pub(crate) fn handle(&self) -> &H {
        &self.0
    }
}

impl<H: Handle> Drop for UnderWay<H> {
    fn drop(&mut self) {
        if let Some(traffic) = self.0.traffic() {
            traffic.under_way.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

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
    /// The pool makes the call.
    Pool,
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
        Now::WouldWait | Now::Unknown => {
            let unknown = matches!(found, Now::Unknown);
            if unknown
                && is_free
                && let Some(refuses) = refuses
            {
                refuses.store(true, Ordering::Relaxed);
            }
            match nature() {
                Nature::Disk => Next::Pool,
                Nature::Memory => Next::InPlace,
                // As std's, an open file that somebody has made `O_NONBLOCK` says that it would block.
                Nature::Stream
                    if traffic.is_some() && sock::is_nonblocking(fd).unwrap_or(false) =>
                {
                    Next::InPlace
                }
                // A file position means nothing to it: the plain call says so, and does not wait.
                Nature::Stream if at != HERE => Next::InPlace,
                Nature::Stream if unknown => Next::AwaitThenPool,
                Nature::Stream => Next::Await,
            }
        }
    })
}

/// Lets the reactor say when `attempt` succeeds. None: it cannot watch such a file.
#[track_caller]
fn when_ready<H: Handle, T>(
    handle: &H,
    way: Way,
    attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
) -> io::Result<Option<T>> {
    let duplicate = || -> io::Result<Source> {
        let fd = handle.as_fd().try_clone_to_owned()?;
        Ok(Source::new(fd, Kind::Other))
    };
    let fresh;
    let source = match handle.traffic() {
        None => {
            fresh = duplicate()?;
            &fresh
        }
        Some(traffic) => {
            if traffic.source.get().is_none() {
                // If somebody else was faster, his is as good.
                let _ours = traffic.source.set(duplicate()?);
            }
            match traffic.source.get() {
                Some(source) => source,
                None => return Ok(None),
            }
        }
    };
    let mode = Mode::default();
    let result = if way == Way::Read {
        retry::read(source, Reason::Read, mode, attempt, |_| false)
    } else {
        retry::write(source, Reason::Write, mode, attempt)
    };
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) => {
            if let Some(traffic) = handle.traffic() {
                traffic.set_nature(Nature::Disk);
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// `now`, until it has done something.
fn attempt_now(found: io::Result<Now>) -> io::Result<Option<usize>> {
    match found? {
        Now::Done(count) => Ok(Some(count)),
        Now::WouldWait => Err(retry::would_block()),
        // It knew the call a moment ago.
        Now::Unknown => Ok(None),
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
    is_limited_os() && nature() == Nature::Stream && !sock::is_nonblocking(fd).unwrap_or(false)
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
    let Some(home) = Home::get() else {
        // What asks for nothing has nothing to wait for.
        if at == HERE && is_limited_stream(handle) && bufs.iter().any(|buf| !buf.is_empty()) {
            until_ready(handle, Way::Read)?;
        }
        return read_plain(handle.as_fd(), bufs, at);
    };
    let size = bufs
        .iter()
        .fold(0, |sum: usize, buf| sum.saturating_add(buf.len()));
    if size == 0 {
        return read_plain(handle.as_fd(), bufs, at);
    }
    home.spend(Location::caller());
    loop {
        let next = begin(handle, Way::Read, at, |fd| file::read_now(fd, bufs, at))?;
        match next {
            Next::Done(count) => return Ok(count),
            Next::InPlace => return read_plain(handle.as_fd(), bufs, at),
            Next::Pool => {}
            Next::Await => {
                let attempt = |fd: BorrowedFd<'_>| attempt_now(file::read_now(fd, bufs, at));
                if let Some(Some(count)) = when_ready(handle, Way::Read, attempt)? {
                    return Ok(count);
                }
            }
            Next::AwaitThenPool => until_ready(handle, Way::Read)?,
        }
        let mut bounce = Bounce::of(size);
        let under_way = UnderWay::new(handle);
        let (result, bounce) = blocking::on_file(move || {
            let buf = &mut [IoSliceMut::new(bounce.as_mut())];
            let result = read_plain(under_way.handle().as_fd(), buf, at);
            Ok((result, bounce))
        })?;
        match result {
            Ok(count) => {
                bounce.scatter(count, bufs);
                return Ok(count);
            }
            // Somebody else has made a standard stream `O_NONBLOCK`: that is nothing to the program.
            Err(error) if is_refused_wait(handle, &error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_refused_wait<H: Handle>(handle: &H, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock && handle.traffic().is_none()
}

fn read_plain(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>], at: u64) -> io::Result<usize> {
    Ok(match (at, bufs) {
        (HERE, [buf]) => rustix::io::read(fd, &mut **buf)?,
        (HERE, bufs) => rustix::io::readv(fd, bufs)?,
        (at, [buf]) => rustix::io::pread(fd, &mut **buf, at)?,
        (at, bufs) => rustix::io::preadv(fd, bufs, at)?,
    })
}

pub(super) fn write_plain(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
    Ok(match (at, bufs) {
        (HERE, [buf]) => rustix::io::write(fd, buf)?,
        (HERE, bufs) => rustix::io::writev(fd, bufs)?,
        (at, [buf]) => rustix::io::pwrite(fd, buf, at)?,
        (at, bufs) => rustix::io::pwritev(fd, bufs, at)?,
    })
}

/// Writes what is in `bufs`, at `at` or where the file is: to a disk what one trip carries, to a stream all of the first buffers
/// that are not empty, as a blocking call does, unless an error or a cancellation comes in between.
#[track_caller]
pub(crate) fn write<H: Handle>(handle: &H, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
    let Some(home) = Home::get() else {
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
        match write_some(handle, bufs, sent, at) {
            Ok((count, Nature::Stream)) if count > 0 && sent + count < size => {
                sent += count;
                home.spend(Location::caller());
            }
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
        let most = match next {
            // Whether it is a disk's or not: what is left is tried again, and only then can it be known.
            Next::Done(count) => return Ok((count, Nature::Stream)),
            Next::InPlace => return Ok((write_plain(handle.as_fd(), bufs, at)?, Nature::Memory)),
            Next::Pool => usize::MAX,
            Next::Await => {
                let attempt = |fd: BorrowedFd<'_>| attempt_now(file::write_now(fd, bufs, at));
                if let Some(Some(count)) = when_ready(handle, Way::Write, attempt)? {
                    return Ok((count, Nature::Stream));
                }
                usize::MAX
            }
            Next::AwaitThenPool => {
                until_ready(handle, Way::Write)?;
                READY_ROOM
            }
        };
        let first;
        let bufs = if most == usize::MAX {
            bufs
        } else {
            let buf = bufs.iter().find(|buf| !buf.is_empty());
            let buf = buf.map_or(&[][..], |buf| &buf[..buf.len().min(most)]);
            first = [IoSlice::new(buf)];
            &first
        };
        let bounce = Bounce::gather(bufs);
        let under_way = UnderWay::new(handle);
        let (result, bounce) = blocking::on_file(move || {
            let buf = &[IoSlice::new(bounce.as_ref())];
            let result = write_plain(under_way.handle().as_fd(), buf, at);
            Ok((result, bounce))
        })?;
        bounce.keep();
        let nature = if most == usize::MAX {
            Nature::Disk
        } else {
            Nature::Stream
        };
        match result {
            Ok(count) => return Ok((count, nature)),
            Err(error) if is_refused_wait(handle, &error) => {}
            Err(error) => return Err(error),
        }
    }
}
