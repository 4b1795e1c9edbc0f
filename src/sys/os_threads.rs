//! Counts the OS threads of the process, and how many of them are the library's own.
//!
//! Any thread may call these functions.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

static OWN: AtomicUsize = AtomicUsize::new(0);

/// Counts the calling OS thread as one of the library's, as long as this value lives.
#[derive(Debug)]
pub(crate) struct OwnThread(());

impl OwnThread {
    pub(crate) fn mark() -> OwnThread {
        OWN.fetch_add(1, Ordering::SeqCst);
        OwnThread(())
    }
}

impl Drop for OwnThread {
    fn drop(&mut self) {
        OWN.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Returns the number of the calling OS thread, which no other living thread of the process has:
/// the kernel's on Linux, elsewhere one of our own.
#[cfg(target_os = "linux")]
pub(crate) fn id() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn id() -> i32 {
    use std::sync::atomic::AtomicI32;
    static NEXT: AtomicI32 = AtomicI32::new(1);
    std::thread_local! {
        // Relaxed: nothing is published with the number.
        static ID: i32 = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    ID.with(|id| *id)
}

/// Returns how many OS threads are not the library's; `None` if the system does not report it.
pub(crate) fn foreign() -> Option<usize> {
    let all = std::fs::read_dir("/proc/self/task").ok()?.count();
    Some(all.saturating_sub(OWN.load(Ordering::SeqCst)))
}

/// The present activity of an OS thread of this process, as the system sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only Linux reports it")
)]
pub(crate) enum Doing {
    /// It runs, or waits for a core.
    Computing,
    /// It waits in the kernel.
    Waiting {
        /// The system call that it waits in, if it is one that has a name here.
        call: Option<&'static str>,
        /// The descriptor that it waits for.
        fd: Option<i32>,
        /// Whether it waits for a disk.
        disk: bool,
    },
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doing::Computing => write!(f, "runs"),
            Doing::Waiting {
                call: None, disk, ..
            } => write!(
                f,
                "waits {}",
                if *disk { "for a disk" } else { "in the kernel" }
            ),
            Doing::Waiting {
                call: Some(call),
                fd: Some(fd),
                ..
            } => write!(f, "waits in {call} on descriptor {fd}"),
            Doing::Waiting {
                call: Some(call), ..
            } => write!(f, "waits in {call}"),
        }
    }
}

/// Returns what the OS thread `number` does; `None` if the system does not report it.
#[cfg(target_os = "linux")]
pub(crate) fn doing(number: i32) -> Option<Doing> {
    let read =
        |name: &str| std::fs::read_to_string(format!("/proc/self/task/{number}/{name}")).ok();
    let stat = read("stat")?;
    // The name before it may contain anything, closing brackets too.
    let state = stat.rsplit(')').next()?.split_whitespace().next()?;
    if state == "R" {
        return Some(Doing::Computing);
    }
    let text = read("syscall").unwrap_or_default();
    let mut words = text.split_whitespace();
    let number = words.next().and_then(|word| word.parse().ok());
    let call = number.and_then(name_of);
    let argument = words.next().and_then(|word| word.strip_prefix("0x"));
    let fd = argument.and_then(|digits| i32::from_str_radix(digits, 16).ok());
    let fd = fd.filter(|_| call.is_some_and(|(_, takes_fd)| takes_fd));
    Some(Doing::Waiting {
        call: call.map(|(name, _)| name),
        fd,
        disk: state == "D",
    })
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn doing(_number: i32) -> Option<Doing> {
    None
}

/// Returns the name of a call that a program is likely to block in, and whether its first argument
/// is a descriptor.
#[cfg(target_os = "linux")]
fn name_of(number: i64) -> Option<(&'static str, bool)> {
    let calls: [(libc::c_long, &'static str, bool); 18] = [
        (libc::SYS_futex, "futex", false),
        (libc::SYS_read, "read", true),
        (libc::SYS_readv, "readv", true),
        (libc::SYS_pread64, "pread64", true),
        (libc::SYS_write, "write", true),
        (libc::SYS_writev, "writev", true),
        (libc::SYS_recvfrom, "recvfrom", true),
        (libc::SYS_recvmsg, "recvmsg", true),
        (libc::SYS_sendto, "sendto", true),
        (libc::SYS_sendmsg, "sendmsg", true),
        (libc::SYS_accept, "accept", true),
        (libc::SYS_accept4, "accept4", true),
        (libc::SYS_connect, "connect", true),
        (libc::SYS_ppoll, "ppoll", false),
        (libc::SYS_clock_nanosleep, "clock_nanosleep", false),
        (libc::SYS_wait4, "wait4", false),
        (libc::SYS_flock, "flock", true),
        (libc::SYS_fsync, "fsync", true),
    ];
    let found = calls.iter().find(|&&(call, ..)| call == number);
    #[cfg(target_arch = "x86_64")]
    let found = found.or(match number {
        libc::SYS_poll => Some(&(libc::SYS_poll, "poll", false)),
        _ => None,
    });
    found.map(|&(_, name, takes_fd)| (name, takes_fd))
}
