//! System calls on files, typed, each a single call.
//!
//! Owns nothing; any thread may call any of these.
//!
//! - **FI1** [`read_now`] and [`write_now`] do not wait: not for a disk, not for the other end of a
//!   pipe. They do not need `O_NONBLOCK`, which belongs to the open file and would be seen by
//!   everybody who shares it. Where the system or the kind of file has no such call they say so
//!   ([`NonblockingResult::Unknown`]) and have done nothing.
//! - **FI2** [`check_read`] and [`check_write`] transfer nothing and do not wait. Linux looks at
//!   the mode and the kind of the file first, and asks the file for nothing when the buffers are
//!   empty.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

use rustix::fs::FileType;

/// What a call that does not wait has found.
#[derive(Debug)]
pub(crate) enum NonblockingResult {
    Done(usize),
    /// It would have to wait.
    WouldWait,
    /// There is no such call for this file.
    Unknown,
    /// The file calls the request invalid. The plain call does too, most likely, and gives the true
    /// error.
    Invalid,
}

/// Where a transfer starts: what stands for "where the file is".
pub(crate) const CURRENT_POS: u64 = u64::MAX;

/// Reads what can be had without waiting.
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

/// Writes what can be taken without waiting.
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
            // Some kinds of file call the flag, or an offset, invalid; others have nothing to read,
            // or refuse the size.
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
/// As [`check_read`].
#[cfg(target_os = "linux")]
pub(crate) fn check_write(fd: BorrowedFd<'_>) -> io::Result<()> {
    refusal(rustix::io::writev(fd, &[IoSlice::new(&[])]))
}

/// Other errors say nothing about the next call: a sandbox may know no vectored calls.
#[cfg(target_os = "linux")]
fn refusal(result: rustix::io::Result<usize>) -> io::Result<()> {
    use rustix::io::Errno;
    match result {
        Err(error @ (Errno::BADF | Errno::INVAL)) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Elsewhere a call with empty buffers may wait.
#[cfg(not(target_os = "linux"))]
pub(crate) fn check_read(_: BorrowedFd<'_>) -> io::Result<()> {
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn check_write(_: BorrowedFd<'_>) -> io::Result<()> {
    Ok(())
}

/// What it takes to wait for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// Its operations may block, and end soon: regular files, directories, block devices.
    Disk,
    /// Its operations never block: `/dev/null` and the like.
    Memory,
    /// Its operations wait for somebody else, for ever perhaps: pipes and sockets. It has no
    /// position.
    Stream,
    /// Its operations may wait for ever, too: character devices (terminals), what the system calls
    /// an anonymous inode (inotify, eventfd, timerfd, signalfd, …), regular files without a
    /// position (`trace_pipe`).
    Device,
}

/// What `fd` is. What cannot be asked is taken for a disk's: its operations give the error.
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
            // It is empty: a read would wait.
            (reader.as_fd(), Ok(()), Err(Errno::BADF)),
            (writer.as_fd(), Err(Errno::BADF), Ok(())),
            (set.as_fd(), Err(Errno::INVAL), Err(Errno::INVAL)),
        ] {
            assert_eq!(errno(check_read(fd)), read);
            assert_eq!(errno(check_write(fd)), write);
        }
    }
}
