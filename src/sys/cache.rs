#![allow(unsafe_code, reason = "prefetch instructions")]
//! Hints to the processor's cache.
//!
//! A round of many green threads touches each one's control block and the top of its stack: lines
//! that were evicted since the thread last ran. Prefetching them some threads ahead hides most of
//! that latency.

/// Prefetches the cache line at `address`, which may be any number: nothing is read, nothing
/// faults.
#[inline(always)]
pub(crate) fn prefetch(address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is harmless.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(address));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a prefetch of any address is harmless.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, readonly, preserves_flags));
    }
}
