//! A copy of a suspended call: its registers and its stack.

use super::FiberOffsets;
use crate::sys::mem::Peek;

/// Most bytes of a stack that are copied, from the innermost frame on.
const MAX_COPIED_BYTES: usize = 256 << 10;

/// How far the saved stack pointer is below the address that `low` notes, at most (F8).
const MAX_FRAME_BYTES: usize = 64 << 10;

/// What corosensei pushes on the stack when a coroutine suspends: its words, and which of them are
/// the instruction pointer and the frame pointer.
#[cfg(target_arch = "x86_64")]
const SAVED_WORDS: (usize, usize, usize) = (3, 0, 2);
#[cfg(not(target_arch = "x86_64"))]
const SAVED_WORDS: (usize, usize, usize) = (4, 2, 1);

const WORD_BYTES: usize = size_of::<usize>();

/// The registers and the stack of a suspended call, as they were when it is resumed.
pub(crate) struct Suspended {
    pub(crate) pc: usize,
    pub(crate) sp: usize,
    pub(crate) fp: usize,
    /// The bytes from `sp` on.
    stack: Vec<u8>,
}

impl Suspended {
    /// Copies the call of the `Option<Fiber>` at an address. What it returns means something only
    /// if the fiber was suspended meanwhile, which the caller has to find out; it reads through the
    /// kernel and takes nothing for granted.
    pub(crate) fn read(peek: &mut Peek, fiber: usize) -> Option<Suspended> {
        let handle: [usize; FiberOffsets::HANDLE_WORDS] =
            peek.words(fiber + FiberOffsets::HANDLE)?;
        let [base] = peek.words(fiber + FiberOffsets::YIELDER)?;
        let [low] = peek.words(fiber + FiberOffsets::LOW)?;
        let (words, pc, fp) = SAVED_WORDS;
        // F8.
        let frame = handle
            .into_iter()
            .filter(|&word| word <= low && low - word < MAX_FRAME_BYTES);
        let pushed = frame.max()?;
        let registers: [usize; SAVED_WORDS.0] = peek.words(pushed)?;
        let sp = pushed.checked_add(words * WORD_BYTES)?;
        let mut stack = vec![0; base.checked_sub(sp)?.min(MAX_COPIED_BYTES)];
        let is_whole = peek.bytes(sp, &mut stack);
        is_whole.then_some(Suspended {
            pc: registers[pc],
            sp,
            fp: registers[fp],
            stack,
        })
    }

    /// Returns the word of the copied stack that was at `address`.
    pub(crate) fn word(&self, address: usize) -> Option<usize> {
        let at = address.checked_sub(self.sp)?;
        let bytes = self.stack.get(at..at.checked_add(WORD_BYTES)?)?;
        bytes.try_into().ok().map(usize::from_ne_bytes)
    }
}
