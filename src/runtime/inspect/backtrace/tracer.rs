//! Unwinds the stacks of suspended green threads, from copies.

use std::collections::HashMap;
use std::io;

use framehop::{CacheNative, FrameAddress, UnwindRegsNative, Unwinder, UnwinderNative};

use super::frames::{Backtrace, Frame, frames_at};
use super::modules;
use crate::green::ThreadInner;
use crate::green::fiber::suspended::Suspended;
use crate::sys::clock::Tick;
use crate::sys::mem::Peek;

/// The most frames of a backtrace, without those that are inlined.
const MAX_FRAMES: usize = 256;

/// Makes backtraces. It knows the files that are loaded when it is created.
pub(in crate::runtime::inspect) struct Tracer {
    peek: Peek,
    unwinder: UnwinderNative<Vec<u8>, framehop::MayAllocateDuringUnwind>,
    cache: Box<CacheNative<framehop::MayAllocateDuringUnwind>>,
    /// What was found out of an address.
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

    /// Returns the backtrace of a thread; `None` if it is not suspended since `moment` any more.
    pub(in crate::runtime::inspect) fn trace(
        &mut self,
        green: &ThreadInner,
        moment: Tick,
    ) -> Option<Backtrace> {
        self.frames(green, moment).map(Backtrace::of)
    }

    /// As [`trace`](Tracer::trace), with the frames that a [`Backtrace`] leaves out.
    pub(super) fn frames(&mut self, green: &ThreadInner, moment: Tick) -> Option<Vec<Frame>> {
        let copy = green.copy_stack(&mut self.peek, moment)?;
        let mut frames = Vec::new();
        for address in self.unwind(&copy) {
            let known = self.known.entry(address);
            frames.extend_from_slice(known.or_insert_with(|| frames_at(address)));
        }
        Some(frames)
    }

    /// Returns the addresses to which the calls return, innermost first.
    fn unwind(&mut self, copy: &Suspended) -> Vec<usize> {
        let mut found = vec![copy.pc];
        #[cfg(target_arch = "x86_64")]
        let first = copy.pc;
        // The link register is not live where a coroutine suspends.
        #[cfg(not(target_arch = "x86_64"))]
        let first = 0;
        let mut registers = UnwindRegsNative::new(first as u64, copy.sp as u64, copy.fp as u64);
        let mut word = |address: u64| match copy.word(address as usize) {
            Some(word) => Ok(word as u64),
            None => Err(()),
        };
        // It is resumed there as by a return: nothing is to be found out of the code around it.
        let mut at = FrameAddress::from_return_address(copy.pc as u64);
        while let Some(address) = at
            && found.len() < MAX_FRAMES
        {
            let next =
                (self.unwinder).unwind_frame(address, &mut registers, &mut self.cache, &mut word);
            // An error is the end of the copy, or a function without a table.
            at = next
                .ok()
                .flatten()
                .and_then(FrameAddress::from_return_address);
            found.extend(at.map(|address| address.address() as usize));
        }
        found
    }
}
