//! How slots are guarded: by lightweight guard markers, or by protection bits where there are none.
//!
//! Owns the process's answer to that question. May be called from any thread.
//!
//! - **G1** [`Guarding::Light`] is chosen only after a marker was seen to fault: kernels before 6.13
//!   refuse the advice, but user-mode emulators accept it and do nothing.
//! - **G2** The choice falls from `Light` to `Protected` at most once and never rises. It says how the
//!   *next* slab is guarded; a slab keeps the way it was made with.
#![allow(unsafe_code, reason = "installs guards in memory that stacks own")]

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use super::GUARD;
use crate::sys::mem;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guarding {
    /// `MADV_GUARD_INSTALL` on each slot at its first use: no mapping of its own.
    Light,
    /// `mprotect` on all slots when a slab is made: two mappings a slot, so that running out of them
    /// shows when a slab is made, which is at spawn.
    Protected,
}

const UNKNOWN: u8 = 0;
const LIGHT: u8 = 1;
const PROTECTED: u8 = 2;

static CHOICE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// How to guard the next slab. The first call probes.
pub(super) fn choice() -> Guarding {
    // Relaxed: the value stands alone, and a stale `Light` only means one refused advice more.
    match CHOICE.load(Ordering::Relaxed) {
        LIGHT => Guarding::Light,
        PROTECTED => Guarding::Protected,
        _ => {
            let found = if probe().unwrap_or(false) {
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

/// Whether a marker really makes the kernel's own access fail (G1).
fn probe() -> io::Result<bool> {
    let page = mem::page_size();
    let start = mem::reserve(page)?;
    // SAFETY: the page was mapped for this probe, and nobody else knows of it.
    let verdict = unsafe { mem::install_guard(start, page) }.and_then(|()| mem::faults(start));
    // SAFETY: as above.
    let _unmapped = unsafe { mem::unmap(start, page) };
    verdict
}

/// Guards the slot that starts at `limit`, in a slab that was made with [`Guarding::Light`].
///
/// # Safety
///
/// The caller owns the slot (S1) and nothing of value lies in its lowest [`GUARD`] bytes.
pub(super) unsafe fn install(limit: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    let installed = unsafe { mem::install_guard(limit, GUARD) };
    match &installed {
        // EINVAL, as locked memory (mlockall) answers, and kernels without markers.
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
    unsafe { mem::deny(limit, GUARD) }
}
