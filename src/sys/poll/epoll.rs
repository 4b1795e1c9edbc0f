#![allow(
    unsafe_code,
    reason = "epoll_pwait2 and EPOLLRDHUP, which polling does not offer"
)]
//! The two calls on polling's epoll descriptor that polling does not make itself (Linux).
//!
//! `Poller::wait` spends five system calls to wait with a timeout, even zero; this module spends
//! one. And polling does not request `EPOLLRDHUP`, without which a short read cannot be told from
//! the last one.
//!
//! P1. `Events` passes the kernel its own buffer with its true length, and reads back only the
//!     entries that the kernel reports as written.
//! P2. Descriptors are passed as `BorrowedFd`, so they are open for the length of the call.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys::clock::{NEVER, Tick};

/// The events of one source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) key: usize,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer has closed its side, an error is pending, or urgent data arrived: a short read
    /// proves nothing.
    pub(crate) ended: bool,
}

/// Buffer for the events of one wait.
pub(crate) struct Events {
    buffer: Box<[MaybeUninit<libc::epoll_event>]>,
    filled: usize,
}

const READ: u32 =
    (libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR | libc::EPOLLPRI | libc::EPOLLRDHUP) as u32;
const WRITE: u32 = (libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR) as u32;
const ENDED: u32 = (libc::EPOLLHUP | libc::EPOLLERR | libc::EPOLLPRI | libc::EPOLLRDHUP) as u32;

impl Events {
    pub(crate) fn with_capacity(capacity: usize) -> Events {
        Events {
            buffer: vec![MaybeUninit::uninit(); capacity].into_boxed_slice(),
            filled: 0,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.buffer[..self.filled].iter().map(|slot| {
            // SAFETY: P1, the kernel has written the first `filled` entries.
            let raw = unsafe { slot.assume_init() };
            let flags = raw.events;
            Event {
                key: raw.u64 as usize,
                readable: flags & READ != 0,
                writable: flags & WRITE != 0,
                ended: flags & ENDED != 0,
            }
        })
    }

    /// Waits for at most `timeout` nanoseconds ([`NEVER`]: without limit) and stores the events.
    pub(crate) fn wait(&mut self, epoll: BorrowedFd<'_>, timeout: Tick) -> io::Result<()> {
        self.filled = 0;
        let count = match timeout {
            0 => self.wait_millis(epoll, 0),
            NEVER => self.wait_millis(epoll, -1),
            _ => self.wait_nanos(epoll, timeout),
        };
        match usize::try_from(count) {
            Ok(count) => {
                self.filled = count;
                Ok(())
            }
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                error => Err(error),
            },
        }
    }

    fn wait_nanos(&mut self, epoll: BorrowedFd<'_>, timeout: Tick) -> libc::c_int {
        // Linux 5.11; emulators and old kernels return ENOSYS, once.
        static MISSING: AtomicBool = AtomicBool::new(false);
        if !MISSING.load(Ordering::Relaxed) {
            let timeout = libc::timespec {
                tv_sec: (timeout / 1_000_000_000) as libc::time_t,
                tv_nsec: (timeout % 1_000_000_000) as libc::c_long,
            };
            // SAFETY: P1 and P2; the timespec lives for the call and the signal mask is absent.
            let count = unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    epoll.as_raw_fd(),
                    self.buffer.as_mut_ptr(),
                    self.buffer.len() as libc::c_int,
                    &raw const timeout,
                    std::ptr::null::<libc::sigset_t>(),
                    0usize,
                )
            };
            if count >= 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ENOSYS) {
                return count as libc::c_int;
            }
            MISSING.store(true, Ordering::Relaxed);
        }
        let millis = timeout.div_ceil(1_000_000).min(i32::MAX as u64);
        self.wait_millis(epoll, millis as libc::c_int)
    }

    fn wait_millis(&mut self, epoll: BorrowedFd<'_>, millis: libc::c_int) -> libc::c_int {
        // SAFETY: P1 and P2.
        unsafe {
            libc::epoll_wait(
                epoll.as_raw_fd(),
                self.buffer.as_mut_ptr().cast(),
                self.buffer.len() as libc::c_int,
                millis,
            )
        }
    }
}

/// Registers `fd` for both directions, edge-triggered, with `EPOLLRDHUP`.
pub(crate) fn register(epoll: BorrowedFd<'_>, fd: BorrowedFd<'_>, key: usize) -> io::Result<()> {
    add(epoll, fd, READ | WRITE | libc::EPOLLET as u32, key)
}

/// Registers `fd` for reading, level-triggered: the epoll instance itself is readable for as long
/// as `fd` is.
pub(crate) fn register_level(
    epoll: BorrowedFd<'_>,
    fd: BorrowedFd<'_>,
    key: usize,
) -> io::Result<()> {
    add(epoll, fd, libc::EPOLLIN as u32, key)
}

fn add(epoll: BorrowedFd<'_>, fd: BorrowedFd<'_>, flags: u32, key: usize) -> io::Result<()> {
    let mut event = libc::epoll_event {
        events: flags,
        u64: key as u64,
    };
    // SAFETY: P2; the event lives for the call.
    let result = unsafe {
        libc::epoll_ctl(
            epoll.as_raw_fd(),
            libc::EPOLL_CTL_ADD,
            fd.as_raw_fd(),
            &raw mut event,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
