//! Chooses how slots are guarded: by lightweight guard markers, or by protection bits where the
//! kernel has no markers.
//!
//! Owns the process's choice. May be called from any thread.
//!
//! - **G1** [`Guarding::Light`] is chosen only after a marker was seen to fault: kernels before
//!   6.13 refuse the advice, but user-mode emulators accept it and do nothing.
//! - **G2** The choice falls from `Light` to `Protected` at most once and never rises. It applies
//!   to the *next* slab; a slab keeps the way it was made with.
//! - **G3** Markers are installed for many slots in one call only after a marker installed by that
//!   call was seen to fault, too.
#![allow(unsafe_code, reason = "installs guards in memory that stacks own")]

use std::io;
use std::iter;
use std::sync::atomic::{AtomicU8, Ordering};

use super::size::GUARD_BYTES;
use crate::sys::mem;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guarding {
    /// `MADV_GUARD_INSTALL` on each slot at its first use: needs no mapping of its own.
    Light,
    /// `mprotect` on all slots when a slab is made: two mappings a slot. A shortage of mappings
    /// therefore shows when a slab is made, which is at spawn.
    Protected,
}

const UNKNOWN: u8 = 0;
const LIGHT: u8 = 1;
const PROTECTED: u8 = 2;

static CHOICE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Returns how to guard the next slab. The first call probes.
pub(super) fn choice() -> Guarding {
    // Relaxed: the value stands alone, and a stale `Light` only means one refused advice more.
    match CHOICE.load(Ordering::Relaxed) {
        LIGHT => Guarding::Light,
        PROTECTED => Guarding::Protected,
        _ => {
            // SAFETY: the contract of `probe`.
            let found = if probe(|page, bytes| unsafe { mem::install_guard(page, bytes) }) {
                LIGHT
            } else {
                PROTECTED
            };
            // A failed exchange means that another thread has chosen meanwhile (G2).
            let chosen = CHOICE
                .compare_exchange(UNKNOWN, found, Ordering::Relaxed, Ordering::Relaxed)
                .map_or_else(|other| other, |_| found);
            if chosen == LIGHT {
                Guarding::Light
            } else {
                Guarding::Protected
            }
        }
    }
}

/// Returns whether a marker that `install` installs makes the kernel's own access fail (G1, G3).
///
/// `install` gets a page that no other code uses, and its length.
fn probe(install: impl FnOnce(usize, usize) -> io::Result<()>) -> bool {
    let page = mem::page_size();
    let Ok(start) = mem::reserve(page) else {
        return false;
    };
    let verdict = install(start, page).and_then(|()| mem::faults(start));
    // SAFETY: the page was mapped for this probe, and no other code uses it.
    let _unmapped = unsafe { mem::unmap(start, page) };
    verdict.unwrap_or(false)
}

static IN_BULK: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Returns whether to install many markers in one call (G3). The first call probes.
fn in_bulk() -> bool {
    // Relaxed: as in `choice`; a thread that probes again finds the same.
    if IN_BULK.load(Ordering::Relaxed) == UNKNOWN {
        let faults = probe(|page, bytes| {
            // SAFETY: the contract of `probe`.
            match unsafe { mem::install_guards(iter::once(page), bytes) } {
                0 => Err(io::ErrorKind::Unsupported.into()),
                _ => Ok(()),
            }
        });
        IN_BULK.store(if faults { LIGHT } else { PROTECTED }, Ordering::Relaxed);
    }
    IN_BULK.load(Ordering::Relaxed) == LIGHT
}

/// Guards `count` slots of a slab that was made with [`Guarding::Light`]: one starts at `limit`,
/// each further one `stride` above the one before. Returns how many slots it guarded, from the
/// first on, and the error that stopped it.
///
/// With `at_once`, the call keeps the rest of the process from changing its mappings for some 20
/// µs.
///
/// # Safety
///
/// As for [`install`], for each of the slots.
pub(super) unsafe fn install_all(
    limit: usize,
    stride: usize,
    count: usize,
    at_once: bool,
) -> (usize, io::Result<()>) {
    let mut guarded = 0;
    if at_once && in_bulk() {
        let limits = (0..count).map(|slot| limit + slot * stride);
        // SAFETY: the caller's promise.
        guarded = unsafe { mem::install_guards(limits, GUARD_BYTES) };
        if guarded < count {
            // Either the call is forbidden from now on, or only this one failed: the single calls
            // tell which.
            IN_BULK.store(PROTECTED, Ordering::Relaxed);
        }
    }
    while guarded < count {
        // SAFETY: the caller's promise.
        if let Err(error) = unsafe { install(limit + guarded * stride) } {
            return (guarded, Err(error));
        }
        guarded += 1;
    }
    (guarded, Ok(()))
}

/// Guards the slot that starts at `limit`, in a slab that was made with [`Guarding::Light`].
///
/// # Safety
///
/// The caller owns the slot (S1), and its lowest [`GUARD_BYTES`] bytes hold nothing of value.
unsafe fn install(limit: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    let installed = unsafe { mem::install_guard(limit, GUARD_BYTES) };
    match &installed {
        // EINVAL: returned for locked memory (mlockall), and by kernels without markers.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
        _ => return installed,
    }
    // Later slabs are protected as a whole.
    CHOICE.store(PROTECTED, Ordering::Relaxed);
    // SAFETY: the caller's promise.
    unsafe { protect(limit) }
}

/// Guards the slot that starts at `limit` by its protection bits.
///
/// # Safety
///
/// As for [`install`].
pub(super) unsafe fn protect(limit: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    unsafe { mem::deny(limit, GUARD_BYTES) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_guards_at_once_are_each_where_they_belong() {
        const SLOTS: usize = 40;
        if choice() == Guarding::Protected {
            return;
        }
        let stride = 2 * GUARD_BYTES;
        let start = mem::reserve(SLOTS * stride).unwrap();
        for round in 0..2 {
            // The second time one by one, over what is there already.
            // SAFETY: the mapping is the test's own.
            let (guarded, result) = unsafe { install_all(start, stride, SLOTS, round == 0) };
            assert!(result.is_ok() && guarded == SLOTS, "{guarded} {result:?}");
            for slot in 0..SLOTS {
                let limit = start + slot * stride;
                assert!(mem::faults(limit).unwrap());
                assert!(mem::faults(limit + GUARD_BYTES - 1).unwrap());
                assert!(!mem::faults(limit + GUARD_BYTES).unwrap());
                assert!(!mem::faults(limit + stride - 1).unwrap());
            }
        }
        // SAFETY: as above, and nothing refers to it.
        unsafe { mem::unmap(start, SLOTS * stride) }.unwrap();
    }
}
