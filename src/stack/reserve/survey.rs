//! How much memory the stacks of the process take, from the pages that the kernel has in memory.
//!
//! Everything here is on request, for metrics and dumps. A slab that is unmapped meanwhile is
//! counted as empty, or as what is mapped there now: nothing but the numbers depends on it.

use std::sync::{Mutex, PoisonError};

use super::{MIB, RESERVE, lock};
use crate::stack::mark::{self, StackUse};
use crate::stack::size::GUARD_BYTES;
use crate::stack::slab;
use crate::sys::clock::{self, Tick};
use crate::sys::mem;

/// The kernel is asked about pieces of this size.
const PIECE_BYTES: usize = 16 * MIB;
/// The most pieces that one survey asks about: some milliseconds.
const MAX_PIECES: usize = 256;

/// What is known of the stacks of the process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Survey {
    /// Stacks that green threads use, or that workers keep for the next ones.
    pub(crate) out: usize,
    /// Bytes of address space.
    pub(crate) reserved: usize,
    /// Bytes in memory; estimated from a part of the slabs if they are large.
    pub(crate) resident: usize,
    /// The most bytes that a thread has used of its stack, as far as that has been seen.
    pub(crate) deepest: usize,
}

/// A run of slots of one slab that have been used at least once.
struct Piece {
    start: usize,
    slots: usize,
    stride: usize,
}

/// How long the result of a survey is used, in nanoseconds.
const MAX_AGE_NS: Tick = 100_000_000;

/// Returns what is known of all stacks of the process. The memory is that of at most a tenth of a
/// second ago.
pub(crate) fn survey() -> Survey {
    static LAST_SURVEY: Mutex<Option<(Tick, Survey)>> = Mutex::new(None);
    let mut last = LAST_SURVEY.lock().unwrap_or_else(PoisonError::into_inner);
    let now = clock::real_now();
    let survey = match *last {
        Some((then, survey)) if now.saturating_sub(then) < MAX_AGE_NS => survey,
        _ => {
            let survey = take();
            *last = Some((now, survey));
            survey
        }
    };
    Survey {
        deepest: mark::note_depth(0),
        ..survey
    }
}

/// Surveys all stacks of the process.
fn take() -> Survey {
    let mut survey = Survey::default();
    let mut pieces = Vec::new();
    {
        let reserve = lock(&RESERVE);
        survey.out = reserve.classes.iter().map(|class| class.out).sum();
        for slab in reserve.slabs.iter().flatten() {
            let stride = slab.size().stride();
            survey.reserved += slab.slots() * stride;
            let at_once = (PIECE_BYTES / stride).max(1);
            let used = slab.begun();
            pieces.extend((0..used).step_by(at_once).map(|first| Piece {
                start: slab.limit(first as u32),
                slots: at_once.min(used - first),
                stride,
            }));
        }
    }
    let step = pieces.len().div_ceil(MAX_PIECES).max(1);
    let (mut asked, mut resident, mut deepest) = (0, 0, 0);
    for piece in pieces.iter().step_by(step) {
        let (bytes, depth) = piece.measure();
        asked += piece.slots * piece.stride;
        resident += bytes;
        deepest = deepest.max(depth);
    }
    let all: usize = pieces.iter().map(|piece| piece.slots * piece.stride).sum();
    survey.resident = match asked {
        0 => 0,
        asked if asked == all => resident,
        asked => (resident as f64 * (all as f64 / asked as f64)) as usize,
    };
    survey.deepest = mark::note_depth(deepest);
    survey
}

impl Piece {
    /// Returns the bytes in memory, and the most that is in memory of one stack.
    fn measure(&self) -> (usize, usize) {
        let page = mem::page_size();
        let Ok(pages) = mem::residency(self.start, self.slots * self.stride) else {
            return (0, 0);
        };
        let per_slot = self.stride / page;
        let (mut resident, mut deepest) = (0, 0);
        for (index, _) in pages.enumerate().filter(|&(_, is_resident)| is_resident) {
            resident += page;
            // The page at the end of a slot is not counted as usable.
            let depth = (per_slot - index % per_slot) * page;
            deepest = deepest.max(depth.min(self.stride - GUARD_BYTES - page));
        }
        (resident, deepest)
    }
}

/// Returns whether `address` is on the stack below `top`.
#[cfg(all(feature = "backtrace", target_os = "linux"))]
pub(crate) fn has_address(top: usize, address: usize) -> bool {
    address < top && slab::find(top - 1).is_some_and(|found| found.limit <= address)
}

/// Measures how much has been used of the stack that contains `address`; `None` if there is no such
/// stack, or if the kernel does not tell.
pub(crate) fn used_at(address: usize) -> Option<StackUse> {
    let found = slab::find(address)?;
    let page = mem::page_size();
    let (from, end) = (found.limit + GUARD_BYTES, found.limit + found.bytes);
    let mut pages = mem::residency(from, end - from).ok()?;
    let unused = pages.position(|is_resident| is_resident)? * page;
    let usable = end - from - page;
    let used = (end - from - unused).min(usable);
    mark::note_depth(used);
    Some(StackUse {
        used,
        usable,
        may_be_older: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::{StackSize, reserve_shared, take_sized, unreserve_shared};
    use std::ptr;

    #[cfg(all(feature = "backtrace", target_os = "linux"))]
    #[test]
    fn an_address_of_another_stack_is_not_on_this_one() {
        let size = StackSize::from_usable(3 << 20);
        reserve_shared(size).unwrap();
        let stack = take_sized(size).unwrap();
        let (top, limit) = (stack.top(), stack.limit());
        assert!(has_address(top, top - 1) && has_address(top, limit));
        assert!(!has_address(top, top) && !has_address(top, limit - 1));
        // That of the OS thread.
        let local = 0_u8;
        assert!(!has_address(top, ptr::from_ref(&local).addr()));
        assert!(!has_address(0, top - 1));
        drop(stack);
        unreserve_shared(size);
    }

    #[test]
    fn what_a_stack_has_used_is_seen_in_its_pages() {
        // A size that no other test takes.
        let size = StackSize::from_usable(7 << 20);
        reserve_shared(size).unwrap();
        let stack = take_sized(size).unwrap();
        let before = take();
        assert!(before.reserved >= 7 << 20);
        let depth = 5 << 20;
        for address in (stack.top() - depth..stack.top()).step_by(mem::page_size()) {
            let byte: *mut u8 = ptr::with_exposed_provenance_mut(address);
            #[allow(unsafe_code, reason = "uses the stack as a thread would")]
            // SAFETY: the stack is the test's own, and the address lies in its usable bytes.
            unsafe {
                byte.write_volatile(1);
            }
        }
        let used = used_at(stack.top() - depth).unwrap();
        assert!((depth..depth + (8 << 10)).contains(&used.used), "{used:?}");
        assert_eq!(used.usable, 7 << 20);
        assert!(!used.is_nearly_full());
        let after = take();
        assert!(after.out >= 1);
        // Under QEMU, ranges of several stacks were seen to count as not in memory.
        if !crate::test_child::is_emulated() {
            assert!(after.resident >= depth, "{after:?}");
        }
        assert!(after.deepest >= used.used, "{after:?}");
        assert_eq!(stack.retire().map(|used| used.used), Some(used.used));
        // The pages were released.
        unreserve_shared(size);
    }
}
