//! The error text when there is no room for more stacks: what was tried, what the system answered,
//! which limit it probably was, and how to raise it.
//!
//! May be called from any thread; reads `/proc`, so only after a failure.

use std::io;

use super::guard::Guarding;
use super::size::StackSize;
use crate::sys::limits;

/// Upper end of user address space, on either architecture, in the usual set-up.
const ADDRESS_SPACE: u64 = 1 << 47;

/// Explains why a slab of `slots` stacks could not be mapped. Keeps the kind of the error.
pub(super) fn explain(
    error: &io::Error,
    size: StackSize,
    slots: u32,
    guarding: Guarding,
) -> io::Error {
    let stack = size.bytes() as u64;
    let bytes = stack.saturating_mul(u64::from(slots));
    let said = match error.raw_os_error() {
        Some(_) => format!(": {error}"),
        None => String::new(),
    };
    io::Error::new(
        error.kind(),
        format!(
            "no room for {slots} more green-thread stacks of {} KiB ({} MiB of address space){said}. {}",
            stack >> 10,
            bytes >> 20,
            probable_limit(bytes, guarding)
        ),
    )
}

/// Explains why a guard could not be installed.
pub(super) fn explain_guard(error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!(
            "cannot guard a green-thread stack: {error}. {}",
            mappings(Guarding::Protected)
        ),
    )
}

fn probable_limit(bytes: u64, guarding: Guarding) -> String {
    if bytes >= ADDRESS_SPACE {
        return "That is more than an address space holds: ask for less with \
                thread::Builder::stack_size, runtime::Builder::stack_size or RUSTLET_STACK_SIZE"
            .to_owned();
    }
    let (mapped, data) = limits::address_space_in_use().unwrap_or_default();
    let exceeded = |limit: &u64, used: u64| used.saturating_add(bytes) > *limit;
    if let Some(limit) = limits::address_space().filter(|limit| exceeded(limit, mapped)) {
        return process_limit("RLIMIT_AS", "-v", limit, mapped);
    }
    if let Some(limit) = limits::data().filter(|limit| exceeded(limit, data)) {
        return process_limit("RLIMIT_DATA", "-d", limit, data);
    }
    if limits::strict_overcommit() {
        return "The probable limit is vm.overcommit_memory = 2, under which address space counts \
                as used memory: set it to 0 (`sysctl -w vm.overcommit_memory=0`), or make the stacks smaller"
            .to_owned();
    }
    mappings(guarding)
}

fn process_limit(name: &str, option: &str, limit: u64, used: u64) -> String {
    format!(
        "The probable limit is {name}, {} MiB for the process, {} MiB of it in use: \
         raise it (`ulimit {option}`), or make the stacks smaller with RUSTLET_STACK_SIZE",
        limit >> 20,
        used >> 20
    )
}

fn mappings(guarding: Guarding) -> String {
    let Some(most) = limits::max_map_count() else {
        return "The probable limit is the memory or the number of mappings that a process may have"
            .to_owned();
    };
    let why = match guarding {
        Guarding::Light => "",
        Guarding::Protected => {
            "; without lightweight guard pages (Linux 6.13, memory not locked) each stack takes two"
        }
    };
    let locked = limits::locked().map_or_else(String::new, |bytes| {
        format!(" (or, with mlockall, RLIMIT_MEMLOCK = {} KiB)", bytes >> 10)
    });
    format!(
        "The probable limit is vm.max_map_count = {most} mappings in a process{why}: \
         raise it (`sysctl -w vm.max_map_count={}`){locked}",
        most.saturating_mul(4)
    )
}
