#![allow(
    unsafe_code,
    reason = "names of Unix sockets, which std and rustix each keep to themselves"
)]
//! Converts addresses of Unix sockets between std's `SocketAddr`, which the public signatures have,
//! and the form that system calls take and return. Any thread may call any of these functions.
//!
//! - **UA1** A [`SocketAddrAny`] is initialised for `addr_len` bytes, and has room for more than a
//!   `sockaddr_un`.
//! - **UA2** A descriptor that is lent as std's socket stays open meanwhile, and that socket does
//!   not close it.

use std::io;
use std::mem::{ManuallyDrop, offset_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, SocketType};

use super::sock;

/// Offset of the name in the system's address.
const NAME: usize = offset_of!(libc::sockaddr_un, sun_path);

/// Converts `addr` to the system's form.
pub(crate) fn to_system(addr: &SocketAddr) -> io::Result<SocketAddrUnix> {
    if let Some(path) = addr.as_pathname() {
        return Ok(SocketAddrUnix::new(path)?);
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        #[cfg(target_os = "android")]
        use std::os::android::net::SocketAddrExt;
        #[cfg(target_os = "linux")]
        use std::os::linux::net::SocketAddrExt;

        match addr.as_abstract_name() {
            Some(name) => Ok(SocketAddrUnix::new_abstract_name(name)?),
            None => Ok(SocketAddrUnix::new_unnamed()),
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        Ok(SocketAddrUnix::new("")?)
    }
}

/// Converts `path` to the system's form, with std's errors for a path that no socket can have.
pub(crate) fn of_path(path: &Path) -> io::Result<SocketAddrUnix> {
    to_system(&SocketAddr::from_pathname(path)?)
}

/// Converts an address that a system call returned to std's form.
///
/// Not by rustix's conversion, which asserts that a path ends with a zero: Linux has paths without
/// one, if they fill the whole address, and a peer that sends from one of them would make us panic.
/// std can name such a path, but makes a `SocketAddr` of it only when it asks a socket: `longest`
/// does that.
pub(crate) fn from_system(
    addr: Option<SocketAddrAny>,
    longest: impl FnOnce(&Path) -> io::Result<SocketAddr>,
) -> io::Result<SocketAddr> {
    let Some(addr) = addr else {
        return unnamed();
    };
    if addr.address_family() != AddressFamily::UNIX {
        let text = "file descriptor did not correspond to a Unix socket";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let length = (addr.addr_len() as usize).min(size_of::<libc::sockaddr_un>());
    // SAFETY: UA1, and `addr` is borrowed for as long as the slice.
    let bytes = unsafe { std::slice::from_raw_parts(addr.as_ptr().cast::<u8>(), length) };
    match bytes.get(NAME..).unwrap_or_default() {
        [] => unnamed(),
        [0, name @ ..] => from_abstract_name(name),
        path => {
            let end = path.iter().position(|&byte| byte == 0);
            let text = std::ffi::OsStr::from_bytes(&path[..end.unwrap_or(path.len())]);
            match end {
                Some(_) => SocketAddr::from_pathname(text),
                None => longest(Path::new(text)),
            }
        }
    }
}

fn unnamed() -> io::Result<SocketAddr> {
    SocketAddr::from_pathname("")
}

fn from_abstract_name(name: &[u8]) -> io::Result<SocketAddr> {
    #[cfg(target_os = "android")]
    use std::os::android::net::SocketAddrExt;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt;

    #[cfg(any(target_os = "linux", target_os = "android"))]
    return SocketAddr::from_abstract_name(name);
    // On other systems an absent name may be returned as zeros.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = name;
        unnamed()
    }
}

/// Returns the path of a datagram's sender when it fills the whole address: reads it from a socket
/// that connects to the sender. If the sender is gone by now, it stays unnamed.
#[cold]
pub(crate) fn from_longest_path(path: &Path) -> io::Result<SocketAddr> {
    let ask = || {
        let socket = sock::open_of(AddressFamily::UNIX, SocketType::DGRAM)?;
        sock::associate(socket.as_fd(), &SocketAddrUnix::new(path)?)?;
        peer_addr(socket.as_fd())
    };
    ask().or_else(|_| unnamed())
}

/// Returns the name of the socket, as std reports it.
pub(crate) fn local_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    lent::<UnixDatagram>(fd).local_addr()
}

/// Returns the name of its peer, as std reports it.
pub(crate) fn peer_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    lent::<UnixDatagram>(fd).peer_addr()
}

/// Lends `fd` as std's socket, only for `Debug` and for reading names: any other use may block.
pub(crate) fn lent<T: FromRawFd>(fd: BorrowedFd<'_>) -> ManuallyDrop<T> {
    // SAFETY: UA2.
    ManuallyDrop::new(unsafe { T::from_raw_fd(fd.as_raw_fd()) })
}

/// Requests a connection; `WouldBlock` when the listener's queue is full.
pub(crate) fn connect(fd: BorrowedFd<'_>, addr: &SocketAddrUnix) -> io::Result<()> {
    use rustix::io::Errno;
    match rustix::net::connect(fd, addr) {
        // If it is under way (not on Linux), a later call reports that it is established.
        Ok(()) | Err(Errno::ISCONN) => Ok(()),
        Err(Errno::INPROGRESS | Errno::ALREADY) => Err(Errno::AGAIN.into()),
        Err(error) => Err(error.into()),
    }
}
