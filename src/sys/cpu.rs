#![allow(unsafe_code, reason = "instructions that std has no safe call for")]
//! Instructions of the processor: prefetches, and its time-stamp counter.
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

/// Returns whether [`cycles`] counts at one steady rate, the same for all processors: the kernel
/// keeps its own time with that counter.
pub(crate) fn has_steady_cycles() -> bool {
    const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    cfg!(target_arch = "x86_64")
        && std::fs::read_to_string(SOURCE).is_ok_and(|source| source.trim() == "tsc")
}

/// Returns the processor's time-stamp counter; 0 where there is none.
#[inline(always)]
pub(crate) fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86_64 processor has the instruction. A process that may not execute it cannot
    // read the clock either, because the kernel's clock in user space does.
    let cycles = unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    let cycles = 0;
    cycles
}
