//! How many OS threads the process has, and how many of them are the library's own.
//!
//! Any thread may call.

use std::sync::atomic::{AtomicUsize, Ordering};

static OWN: AtomicUsize = AtomicUsize::new(0);

/// The calling OS thread is one of the library's, as long as this lives.
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

/// How many OS threads are not the library's; none if the system does not tell.
pub(crate) fn foreign() -> Option<usize> {
    let all = std::fs::read_dir("/proc/self/task").ok()?.count();
    Some(all.saturating_sub(OWN.load(Ordering::SeqCst)))
}

/// What an OS thread of this process does at this moment, as the system sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It runs, or waits for a core.
    Computing,
    /// It waits in the kernel.
    Waiting {
        /// In this system call, if it is one that has a name here.
        call: Option<&'static str>,
        /// For this descriptor.
        fd: Option<i32>,
        /// For a disk.
        disk: bool,
    },
}

/// Asks what the OS thread `number` does; none if the system does not tell.
pub(crate) fn doing(number: i32) -> Option<Doing> {
    let read =
        |name: &str| std::fs::read_to_string(format!("/proc/self/task/{number}/{name}")).ok();
    let stat = read("stat")?;
    // The name before it may hold anything, closing brackets too.
    let state = stat
        .rsplit(')')
        .next()?
        .split_whitespace()
        .next()?
        .to_owned();
    if state == "R" {
        return Some(Doing::Computing);
    }
    let text = read("syscall").unwrap_or_default();
    let mut words = text.split_whitespace();
    let call = words
        .next()
        .and_then(|word| word.parse().ok())
        .and_then(name_of);
    let argument = words.next().and_then(|word| word.strip_prefix("0x"));
    let argument = argument.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let fd = match call {
        Some((_, true)) => argument.and_then(|argument| i32::try_from(argument).ok()),
        _ => None,
    };
    Some(Doing::Waiting {
        call: call.map(|(name, _)| name),
        fd,
        disk: state == "D",
    })
}

/// The calls that a program is most likely to block in, and whether the first argument is a
/// descriptor.
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
