#![allow(
    unsafe_code,
    reason = "one option that emulators answer with another size, and descriptors by number"
)]
//! System calls on sockets, typed, each a single call (or the fewest that the platform allows).
//!
//! Any thread may call any of these functions.
//!
//! - **K1** No call here waits: transfers carry `MSG_DONTWAIT`, and sockets that this module opens
//!   or accepts are created with `O_NONBLOCK`. A transfer therefore never blocks a worker, even
//!   when another holder has cleared `O_NONBLOCK`, which belongs to the open file and not to our
//!   descriptor. `accept` has no such flag: `accept` is for sockets without other handles,
//!   `accept_shared` for all others.
//! - **K2** No call here raises `SIGPIPE`: `MSG_NOSIGNAL`, or `SO_NOSIGPIPE` where there is no such
//!   flag.
//! - **K3** Descriptors are created close-on-exec (on Apple systems: made so right afterwards,
//!   because there is no such call).
//! - **K4** [`describe`] gets a number, which may be closed or another file's at any moment. To
//!   duplicate a number gives an error, or a new descriptor that nothing else knows; only that one
//!   is used.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
#[cfg(target_os = "linux")]
use std::os::fd::FromRawFd;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::net::addr::SocketAddrArg;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketType};

/// The most buffers that one vectored call takes (`IOV_MAX`); std cuts off there too.
pub(crate) const MAX_BUFFERS: usize = 1024;

#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
#[cfg(target_vendor = "apple")]
const SEND: SendFlags = SendFlags::DONTWAIT;

/// Opens a socket of the address family of `addr`.
pub(crate) fn open(addr: &SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = if addr.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    open_of(family, kind)
}

pub(crate) fn open_of(family: AddressFamily, kind: SocketType) -> io::Result<OwnedFd> {
    #[cfg(not(target_vendor = "apple"))]
    {
        use rustix::net::SocketFlags;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        Ok(rustix::net::socket_with(family, kind, flags, None)?)
    }
    #[cfg(target_vendor = "apple")]
    {
        prepare(rustix::net::socket(family, kind, None)?)
    }
}

/// Opens two Unix sockets that are connected to each other.
pub(crate) fn open_pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::SocketFlags;
    #[cfg(not(target_vendor = "apple"))]
    {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        Ok(rustix::net::socketpair(
            AddressFamily::UNIX,
            kind,
            flags,
            None,
        )?)
    }
    #[cfg(target_vendor = "apple")]
    {
        let flags = SocketFlags::empty();
        let (one, other) = rustix::net::socketpair(AddressFamily::UNIX, kind, flags, None)?;
        Ok((prepare(one)?, prepare(other)?))
    }
}

/// Takes one connection from the queue of the listening socket.
pub(crate) fn accept(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    #[cfg(not(target_vendor = "apple"))]
    {
        use rustix::net::SocketFlags;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        Ok(rustix::net::acceptfrom_with(fd, flags)?)
    }
    #[cfg(target_vendor = "apple")]
    {
        let (stream, peer) = rustix::net::acceptfrom(fd)?;
        Ok((prepare(stream)?, peer))
    }
}

/// Does what [`accept`] does for a socket whose open file may be in blocking mode at any moment,
/// because others have handles to it.
///
/// No flag keeps `accept4` from waiting: only `O_NONBLOCK` does, which all holders share. The queue
/// is therefore polled first. A call that finds it empty all the same, because another thread was
/// faster, blocks for some 50 µs and is interrupted.
///
/// # Errors
///
/// Returns the errors of [`accept`], and `WouldBlock`.
pub(crate) fn accept_shared(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    if !is_readable(fd)? {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    super::signal::interrupted_soon(|| accept(fd)).map_err(|error| match error.kind() {
        // It has waited: the queue was empty. Later connections are reported as events.
        io::ErrorKind::Interrupted => io::ErrorKind::WouldBlock.into(),
        _ => error,
    })
}

/// Sets the options that calls without flags could not: K1, K2, K3.
#[cfg(target_vendor = "apple")]
fn prepare(fd: OwnedFd) -> io::Result<OwnedFd> {
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    sockopt::set_socket_nosigpipe(&fd, true)?;
    Ok(fd)
}

/// Starts to connect. Returns `true` when the connection is established, `false` when it is under
/// way.
pub(crate) fn connect(fd: BorrowedFd<'_>, addr: &SocketAddr) -> io::Result<bool> {
    use rustix::io::Errno;
    match rustix::net::connect(fd, addr) {
        Ok(()) | Err(Errno::ISCONN) => Ok(true),
        Err(Errno::INPROGRESS | Errno::INTR) => Ok(false),
        // Here it means that a resource has run out, and no event would wake the caller.
        Err(Errno::AGAIN) => Err(Errno::ADDRNOTAVAIL.into()),
        Err(error) => Err(error.into()),
    }
}

/// Returns whether the connection that [`connect`] started is established; the error when it
/// failed.
pub(crate) fn connected(fd: BorrowedFd<'_>) -> io::Result<bool> {
    sockopt::socket_error(fd)??;
    match rustix::net::getpeername(fd) {
        Ok(_) => Ok(true),
        Err(rustix::io::Errno::NOTCONN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn bind(fd: BorrowedFd<'_>, addr: &impl SocketAddrArg) -> io::Result<()> {
    Ok(rustix::net::bind(fd, addr)?)
}

/// Listens, with the longest queue that the system allows (it clamps the number).
pub(crate) fn listen(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::net::listen(fd, i32::MAX)?)
}

/// Sets the length of the queue of a socket that listens already.
pub(crate) fn set_backlog(fd: BorrowedFd<'_>, backlog: u32) -> io::Result<()> {
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    Ok(rustix::net::listen(fd, backlog)?)
}

/// Sets the peer of a datagram socket, which does not wait.
pub(crate) fn associate(fd: BorrowedFd<'_>, addr: &impl SocketAddrArg) -> io::Result<()> {
    loop {
        match rustix::net::connect(fd, addr) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

pub(crate) fn recv(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    let (received, _) = rustix::net::recv(fd, buf, RecvFlags::DONTWAIT)?;
    Ok(received)
}

pub(crate) fn peek(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    let (received, _) = rustix::net::recv(fd, buf, RecvFlags::DONTWAIT | RecvFlags::PEEK)?;
    Ok(received)
}

/// Receives a datagram and the address of its sender, which may have none.
pub(crate) fn recv_from(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
) -> io::Result<(usize, Option<SocketAddrAny>)> {
    let (received, _, sender) = rustix::net::recvfrom(fd, buf, RecvFlags::DONTWAIT)?;
    Ok((received, sender))
}

pub(crate) fn peek_from(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
) -> io::Result<(usize, Option<SocketAddrAny>)> {
    let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
    let (received, _, sender) = rustix::net::recvfrom(fd, buf, flags)?;
    Ok((received, sender))
}

/// Receives into `bufs`, which holds at most [`MAX_BUFFERS`].
pub(crate) fn recv_vectored(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let mut control = rustix::net::RecvAncillaryBuffer::default();
    let message = rustix::net::recvmsg(fd, bufs, &mut control, RecvFlags::DONTWAIT)?;
    Ok(message.bytes)
}

pub(crate) fn send(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(fd, buf, SEND)?)
}

pub(crate) fn send_to(
    fd: BorrowedFd<'_>,
    buf: &[u8],
    addr: &impl SocketAddrArg,
) -> io::Result<usize> {
    Ok(rustix::net::sendto(fd, buf, SEND, addr)?)
}

/// Sends from `bufs`, which holds at most [`MAX_BUFFERS`].
pub(crate) fn send_vectored(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut control = rustix::net::SendAncillaryBuffer::default();
    Ok(rustix::net::sendmsg(fd, bufs, &mut control, SEND)?)
}

pub(crate) fn shutdown(fd: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    let how = match how {
        Shutdown::Read => rustix::net::Shutdown::Read,
        Shutdown::Write => rustix::net::Shutdown::Write,
        Shutdown::Both => rustix::net::Shutdown::Both,
    };
    Ok(rustix::net::shutdown(fd, how)?)
}

pub(crate) fn local_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    internet(Some(rustix::net::getsockname(fd)?))
}

pub(crate) fn peer_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    internet(rustix::net::getpeername(fd)?)
}

/// Returns a second descriptor of the same open socket; like std's, never 0, 1 or 2.
pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 3)?)
}

pub(crate) fn is_nonblocking(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(rustix::fs::fcntl_getfl(fd)?.contains(OFlags::NONBLOCK))
}

pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, nonblocking)?)
}

/// Returns whether a call of [`accept`] would find a connection, or an error, right now.
pub(crate) fn is_readable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    Ok(poll(
        &mut fds,
        Some(&Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        }),
    )? > 0)
}

/// Returns whether an error is pending on the connection, or both of its halves are closed. The
/// error stays pending.
pub(crate) fn has_failed(fd: BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    // Errors and hang-ups are reported without being requested.
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::empty())];
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|count| count > 0)
}

/// Returns whether the receiving half was shut down, as far as the system reports it without
/// receiving.
pub(crate) fn is_shut(fd: BorrowedFd<'_>) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::RDHUP)];
        let at_once = Timespec::default();
        poll(&mut fds, Some(&at_once)).is_ok() && fds[0].revents().contains(PollFlags::RDHUP)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = fd;
        false
    }
}

/// Returns whether this is standard input, output or error: other programs share their open files,
/// flags included.
pub(crate) fn is_standard(fd: BorrowedFd<'_>) -> bool {
    (0..=2).contains(&fd.as_raw_fd())
}

/// Returns whether this is TCP for certain. A raw descriptor may be anything.
pub(crate) fn is_tcp(fd: BorrowedFd<'_>) -> bool {
    #[cfg(target_os = "linux")]
    {
        matches!(
            sockopt::socket_protocol(fd),
            Ok(Some(rustix::net::ipproto::TCP))
        )
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = fd;
        false
    }
}

/// Returns `SO_RCVTIMEO` and `SO_SNDTIMEO`, which std's streams use; rustlet's streams keep
/// timeouts themselves.
pub(crate) fn timeouts(fd: BorrowedFd<'_>) -> io::Result<[Option<Duration>; 2]> {
    Ok([
        timeout(fd, libc::SO_RCVTIMEO)?,
        timeout(fd, libc::SO_SNDTIMEO)?,
    ])
}

/// Reads one timeout without rustix's call, which panics when the answer has another size, as with
/// user-mode emulators; then this returns none.
fn timeout(fd: BorrowedFd<'_>, option: libc::c_int) -> io::Result<Option<Duration>> {
    let mut value = libc::timeval {
        tv_sec: 0,
        tv_usec: 0,
    };
    let size = size_of::<libc::timeval>() as libc::socklen_t;
    let mut length = size;
    // SAFETY: the descriptor is open, and the kernel gets the size of the value.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let seconds = Duration::from_secs(u64::try_from(value.tv_sec).unwrap_or(0));
    let given = seconds + Duration::from_micros(u64::try_from(value.tv_usec).unwrap_or(0));
    Ok(Some(given).filter(|given| length == size && !given.is_zero()))
}

pub(crate) fn set_timeouts(
    fd: BorrowedFd<'_>,
    [read, write]: [Option<Duration>; 2],
) -> io::Result<()> {
    sockopt::set_socket_timeout(fd, Timeout::Recv, read)?;
    Ok(sockopt::set_socket_timeout(fd, Timeout::Send, write)?)
}

/// Returns the pending error of the socket, and clears it.
pub(crate) fn take_error(fd: BorrowedFd<'_>) -> io::Result<Option<io::Error>> {
    Ok(sockopt::socket_error(fd)?.err().map(io::Error::from))
}

/// Converts to an internet address; std's error for any other.
pub(crate) fn internet(addr: Option<SocketAddrAny>) -> io::Result<SocketAddr> {
    addr.and_then(|addr| SocketAddr::try_from(addr).ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "invalid argument"))
}

/// Describes the descriptor `fd`, which may be closed at any moment: a path, a pipe, or the
/// addresses of a socket.
#[cfg(target_os = "linux")]
pub(crate) fn describe(fd: i32) -> Option<String> {
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
    let link = link.to_string_lossy();
    if !link.starts_with("socket:") {
        return Some(link.into_owned());
    }
    // SAFETY: K4.
    let fd = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    if fd < 0 {
        return Some(link.into_owned());
    }
    // SAFETY: K4.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let local = rustix::net::getsockname(&fd).ok();
    let peer = rustix::net::getpeername(&fd).ok().flatten();
    let text = |address: SocketAddrAny| match SocketAddr::try_from(address) {
        Ok(address) => address.to_string(),
        Err(_) => String::from("unix"),
    };
    match (local.map(text), peer.map(text)) {
        (Some(local), Some(peer)) => Some(format!("socket {local} with {peer}")),
        (Some(local), None) => Some(format!("socket {local}")),
        _ => Some(link.into_owned()),
    }
}

/// Returns `None`: only Linux reports it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn describe(_fd: i32) -> Option<String> {
    None
}
