//! System calls on files, typed, each a single call.
//!
//! Any thread may call any of these functions.
//!
//! - **FI1** [`read_now`] and [`write_now`] do not wait: not for a disk, not for the other end of a
//!   pipe. They do not need `O_NONBLOCK`, which belongs to the open file and would affect every
//!   holder of it. Where the system or the kind of file has no such call, they return
//!   [`NonblockingResult::Unknown`] and have done nothing.
//! - **FI2** [`check_read`] and [`check_write`] transfer nothing and do not wait. Linux looks at
//!   the mode and the kind of the file first, and does not call into the file when the buffers are
//!   empty.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

use rustix::fs::FileType;

/// The result of a call that does not wait.
#[derive(Debug)]
pub(crate) enum NonblockingResult {
    Done(usize),
    /// The call would have to wait.
    WouldWait,
    /// This file has no such call.
    Unknown,
    /// The file rejects the request as invalid. The plain call most likely does too, and returns
    /// the true error.
    Invalid,
}

/// The position of a transfer that means the file's own current position.
pub(crate) const CURRENT_POS: u64 = u64::MAX;

/// Reads the data that is available without waiting.
///
/// # Errors
///
/// The system's.
#[cfg(target_os = "linux")]
pub(crate) fn read_now(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    at: u64,
) -> io::Result<NonblockingResult> {
    judge(|| rustix::io::preadv2(fd, bufs, at, rustix::io::ReadWriteFlags::NOWAIT))
}

/// Writes as much as the file accepts without waiting.
///
/// # Errors
///
/// The system's.
#[cfg(target_os = "linux")]
pub(crate) fn write_now(
    fd: BorrowedFd<'_>,
    bufs: &[IoSlice<'_>],
    at: u64,
) -> io::Result<NonblockingResult> {
    judge(|| rustix::io::pwritev2(fd, bufs, at, rustix::io::ReadWriteFlags::NOWAIT))
}

#[cfg(target_os = "linux")]
fn judge(mut call: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<NonblockingResult> {
    use rustix::io::Errno;
    loop {
        return match call() {
            Ok(count) => Ok(NonblockingResult::Done(count)),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Ok(NonblockingResult::WouldWait),
            // Some kinds of file reject the flag, or an offset, as invalid; others have nothing to
            // read, or refuse the size.
            Err(Errno::INVAL) => Ok(NonblockingResult::Invalid),
            // Seccomp filters that were written before the call existed answer EPERM.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => Ok(NonblockingResult::Unknown),
            Err(error) => Err(error.into()),
        };
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn read_now(
    _: BorrowedFd<'_>,
    _: &mut [IoSliceMut<'_>],
    _: u64,
) -> io::Result<NonblockingResult> {
    Ok(NonblockingResult::Unknown)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn write_now(
    _: BorrowedFd<'_>,
    _: &[IoSlice<'_>],
    _: u64,
) -> io::Result<NonblockingResult> {
    Ok(NonblockingResult::Unknown)
}

/// Fails as a read does if nothing can ever be read from `fd`: it is open for writing only, or of
/// a kind that has no reads (an epoll instance, a pidfd).
///
/// # Errors
///
/// `EBADF` and `EINVAL`.
#[cfg(target_os = "linux")]
pub(crate) fn check_read(fd: BorrowedFd<'_>) -> io::Result<()> {
    refusal(rustix::io::readv(fd, &mut [IoSliceMut::new(&mut [])]))
}

/// Fails as a write does if nothing can ever be written to `fd`.
///
/// # Errors
///
/// The same as for [`check_read`].
#[cfg(target_os = "linux")]
pub(crate) fn check_write(fd: BorrowedFd<'_>) -> io::Result<()> {
    refusal(rustix::io::writev(fd, &[IoSlice::new(&[])]))
}

/// Ignores all but these two errors. Others do not predict the next call: a sandbox may know no
/// vectored calls.
#[cfg(target_os = "linux")]
fn refusal(result: rustix::io::Result<usize>) -> io::Result<()> {
    use rustix::io::Errno;
    match result {
        Err(error @ (Errno::BADF | Errno::INVAL)) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Reports success: on other systems a call with empty buffers may wait.
#[cfg(not(target_os = "linux"))]
pub(crate) fn check_read(_: BorrowedFd<'_>) -> io::Result<()> {
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn check_write(_: BorrowedFd<'_>) -> io::Result<()> {
    Ok(())
}

/// The kind of a file, by how its operations wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// Its operations may block, but end soon: regular files, directories, block devices.
    Disk,
    /// Its operations never block: `/dev/null` and the like.
    Memory,
    /// Its operations wait for the other end, possibly forever: pipes and sockets. It has no
    /// position.
    Stream,
    /// Its operations may wait forever, too: character devices (terminals), anonymous inodes
    /// (inotify, eventfd, timerfd, signalfd, …), and regular files without a position
    /// (`trace_pipe`).
    Device,
}

/// Returns the kind of `fd`. A file that cannot be examined counts as a disk's: its operations
/// return the error.
pub(crate) fn file_kind(fd: BorrowedFd<'_>) -> FileKind {
    let Ok(stat) = rustix::fs::fstat(fd) else {
        return FileKind::Disk;
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo | FileType::Socket => FileKind::Stream,
        FileType::CharacterDevice if is_memory(stat.st_rdev as _) => FileKind::Memory,
        // Linux gives anonymous inodes no type.
        FileType::CharacterDevice | FileType::Unknown => FileKind::Device,
        FileType::RegularFile if !has_position(fd) => FileKind::Device,
        _ => FileKind::Disk,
    }
}

fn has_position(fd: BorrowedFd<'_>) -> bool {
    let here = rustix::fs::SeekFrom::Current(0);
    rustix::fs::seek(fd, here) != Err(rustix::io::Errno::SPIPE)
}

#[cfg(target_os = "linux")]
fn is_memory(device: u64) -> bool {
    // `/dev/null`, `zero`, `full`, `random`, `urandom`; not 11, `kmsg`, whose readers wait.
    rustix::fs::major(device) == 1 && matches!(rustix::fs::minor(device), 3 | 5 | 7..=9)
}

#[cfg(not(target_os = "linux"))]
fn is_memory(_: u64) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::event::epoll;
    use rustix::io::Errno;
    use std::os::fd::AsFd;

    #[test]
    fn a_file_refuses_what_it_can_never_do() {
        let (reader, writer) = io::pipe().unwrap();
        let set = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let errno =
            |result: io::Result<()>| result.map_err(|error| Errno::from_io_error(&error).unwrap());
        for (fd, read, write) in [
            // The pipe is empty: a read would wait.
            (reader.as_fd(), Ok(()), Err(Errno::BADF)),
            (writer.as_fd(), Err(Errno::BADF), Ok(())),
            (set.as_fd(), Err(Errno::INVAL), Err(Errno::INVAL)),
        ] {
            assert_eq!(errno(check_read(fd)), read);
            assert_eq!(errno(check_write(fd)), write);
        }
    }
}
