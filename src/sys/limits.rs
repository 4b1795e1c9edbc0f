//! The limits that the system puts on this process: read only when something has failed, to explain
//! it.
//!
//! May be called from any thread, but not from a signal handler.
#![allow(unsafe_code, reason = "wraps getrlimit")]

use std::fs;
use std::mem::MaybeUninit;

/// Returns the soft limit on the address space of the process in bytes (`ulimit -v`), if there is
/// one.
pub(crate) fn address_space() -> Option<u64> {
    limit(libc::RLIMIT_AS)
}

/// Returns the soft limit on private writable memory in bytes (`ulimit -d`), if there is one.
pub(crate) fn data() -> Option<u64> {
    limit(libc::RLIMIT_DATA)
}

/// Returns the soft limit on locked memory in bytes (`ulimit -l`), if there is one.
pub(crate) fn locked() -> Option<u64> {
    limit(libc::RLIMIT_MEMLOCK)
}

/// Returns the soft limit on open descriptors (`ulimit -n`), if there is one.
pub(crate) fn descriptors() -> Option<u64> {
    limit(libc::RLIMIT_NOFILE)
}

/// Returns `vm.max_map_count`: how many memory mappings a process may have.
pub(crate) fn max_map_count() -> Option<u64> {
    number("/proc/sys/vm/max_map_count")
}

/// Returns whether `vm.overcommit_memory` is 2: reserved address space then counts as used memory.
pub(crate) fn strict_overcommit() -> bool {
    number("/proc/sys/vm/overcommit_memory") == Some(2)
}

/// Returns the bytes of address space in use, and those of them that count as private writable
/// memory.
pub(crate) fn address_space_in_use() -> Option<(u64, u64)> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let mut fields = statm.split_ascii_whitespace().map(str::parse::<u64>);
    let total = fields.next()?.ok()?;
    let data = fields.nth(4)?.ok()?;
    let page = super::mem::page_size() as u64;
    Some((total.saturating_mul(page), data.saturating_mul(page)))
}

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

fn limit(resource: Resource) -> Option<u64> {
    let mut limits = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the pointer is to a struct that the call fills when it returns 0.
    let answer = unsafe { libc::getrlimit(resource, limits.as_mut_ptr()) };
    if answer != 0 {
        return None;
    }
    // SAFETY: getrlimit returned 0, so it has filled the struct.
    let limits = unsafe { limits.assume_init() };
    #[allow(clippy::useless_conversion, reason = "the type is signed on FreeBSD")]
    let soft = u64::try_from(limits.rlim_cur).ok();
    soft.filter(|_| limits.rlim_cur != libc::RLIM_INFINITY)
}

/// Limits the address space of this process, for a test in a child process.
#[cfg(all(test, target_os = "linux"))]
pub(crate) fn set_address_space(bytes: u64) {
    let limits = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: reads a struct of the right type; only the process of the test is affected.
    let _answer = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limits) };
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
