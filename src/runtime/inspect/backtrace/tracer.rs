//! Unwinds the stacks of suspended green threads from copies.

use std::collections::HashMap;
use std::io;

use framehop::{CacheNative, FrameAddress, UnwindRegsNative, Unwinder, UnwinderNative};

use super::frames::{Backtrace, Frame, frames_at};
use super::modules;
use crate::green::ThreadInner;
use crate::green::fiber::suspended::Suspended;
use crate::sys::clock::Tick;
use crate::sys::mem::Peek;

/// The largest number of frames of a backtrace, not counting inlined ones.
const MAX_FRAMES: usize = 256;

/// Creates backtraces. It uses the files that were loaded when it was created.
pub(in crate::runtime::inspect) struct Tracer {
    peek: Peek,
    unwinder: UnwinderNative<Vec<u8>, framehop::MayAllocateDuringUnwind>,
    cache: Box<CacheNative<framehop::MayAllocateDuringUnwind>>,
    /// The frames that were found for an address.
    known: HashMap<usize, Vec<Frame>>,
}

impl Tracer {
    /// # Errors
    ///
    /// There is no free descriptor.
    pub(in crate::runtime::inspect) fn new() -> io::Result<Tracer> {
        let mut peek = Peek::new()?;
        let mut unwinder = UnwinderNative::new();
        for module in modules::loaded(&mut peek) {
            unwinder.add_module(module);
        }
        Ok(Tracer {
            peek,
            unwinder,
            cache: Box::new(CacheNative::new()),
            known: HashMap::new(),
        })
    }

    /// Returns the backtrace of a thread; `None` if the suspension that began at `moment` has
    /// ended.
    pub(in crate::runtime::inspect) fn trace(
        &mut self,
        green: &ThreadInner,
        moment: Tick,
    ) -> Option<Backtrace> {
        self.frames(green, moment).map(Backtrace::of)
    }

    /// Returns all frames, including those that a [`Backtrace`] leaves out. Otherwise like
    /// [`trace`](Tracer::trace).
    pub(super) fn frames(&mut self, green: &ThreadInner, moment: Tick) -> Option<Vec<Frame>> {
        let copy = green.copy_stack(&mut self.peek, moment)?;
        Some(self.frames_of(&copy))
    }

    /// Returns all frames of a copied call.
    pub(super) fn frames_of(&mut self, copy: &Suspended) -> Vec<Frame> {
        let mut frames = Vec::new();
        for address in self.unwind(copy) {
            let known = self.known.entry(address);
            frames.extend_from_slice(known.or_insert_with(|| frames_at(address)));
        }
        frames
    }

    /// Returns the return addresses of the calls, innermost first.
    fn unwind(&mut self, copy: &Suspended) -> Vec<usize> {
        // Symbols are looked up by return address, so that of an interrupted instruction is the
        // next.
        let mut found = vec![copy.pc + usize::from(copy.interrupted.is_some())];
        #[cfg(target_arch = "x86_64")]
        let first = copy.pc;
        // The link register is not live where a coroutine suspends.
        #[cfg(not(target_arch = "x86_64"))]
        let first = copy.interrupted.unwrap_or(0);
        let mut registers = UnwindRegsNative::new(first as u64, copy.sp as u64, copy.fp as u64);
        let mut word = |address: u64| match copy.word(address as usize) {
            Some(word) => Ok(word as u64),
            None => Err(()),
        };
        // The coroutine is resumed there like by a return, so the unwinder needs no analysis of the
        // instructions around it.
        let mut at = match copy.interrupted {
            None => FrameAddress::from_return_address(copy.pc as u64),
            Some(_) => Some(FrameAddress::from_instruction_pointer(copy.pc as u64)),
        };
        while let Some(address) = at
            && found.len() < MAX_FRAMES
        {
            let next =
                (self.unwinder).unwind_frame(address, &mut registers, &mut self.cache, &mut word);
            // An error means the end of the copy, or a function without a table.
            at = next
                .ok()
                .flatten()
                .and_then(FrameAddress::from_return_address);
            found.extend(at.map(|address| address.address() as usize));
        }
        found
    }
}
