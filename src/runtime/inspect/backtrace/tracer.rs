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
        let copy = green.copy_stack(&mut self.peek, moment)?;
        let mut frames = Vec::new();
        for address in self.unwind(&copy) {
            let known = self.known.entry(address);
            frames.extend_from_slice(known.or_insert_with(|| frames_at(address)));
        }
        Some(Backtrace::of(frames))
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

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::green::block::slab;
    use crate::runtime::Builder;
    use crate::{scope, unblock, yield_now};

    /// Yields at each depth on the way down and up again.
    #[inline(never)]
    fn descend(depth: u32) -> u32 {
        yield_now();
        if depth == 0 {
            return 1;
        }
        let below = black_box(ascend(depth - 1));
        yield_now();
        below + 1
    }

    /// Calls `descend` from a frame of another size.
    #[inline(never)]
    fn ascend(depth: u32) -> u32 {
        let room = black_box([depth; 50]);
        yield_now();
        let below = black_box(descend(depth));
        yield_now();
        below + room[below as usize % 50]
    }

    /// Asserts that the two functions take turns, down to the closure of the thread.
    fn assert_of_one_moment(frames: &[Frame]) {
        let last = |frame: &Frame| frame.function.rsplit("::").next().map(str::to_owned);
        let names: Vec<String> = frames.iter().filter_map(last).collect();
        let is_walk = |name: &&String| ["descend", "ascend"].contains(&name.as_str());
        let walk: Vec<&String> = names.iter().filter(is_walk).collect();
        assert!(walk.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        assert!(
            walk.last().is_none_or(|name| *name == "descend"),
            "{names:?}"
        );
        assert!(
            names.iter().any(|name| name.contains("short_backtrace")),
            "{names:?}"
        );
    }

    struct Over<'a>(&'a AtomicBool);

    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn threads_that_keep_running_have_backtraces_of_one_moment_or_none() {
        const WANTED: usize = 300;
        let is_over = AtomicBool::new(false);
        let runtime = Builder::new().workers(2).build().unwrap();
        runtime.run(|| {
            scope(|scope| {
                // Ends the threads also if an assertion fails.
                let over = Over(&is_over);
                for _ in 0..4 {
                    scope.spawn(|| {
                        while !is_over.load(Ordering::Relaxed) {
                            descend(20);
                        }
                    });
                }
                let at = slab::all().last().map(|green| green.group());
                // An OS thread, so that the workers run meanwhile.
                let traced = unblock(move || {
                    let mut tracer = Tracer::new().unwrap();
                    let (mut traced, mut missed) = (0, 0);
                    while traced < WANTED {
                        for green in slab::all() {
                            let moment = green.since();
                            let copy = green.copy_stack(&mut tracer.peek, moment);
                            let Some(copy) = copy.filter(|_| Some(green.group()) == at) else {
                                missed += 1;
                                continue;
                            };
                            let found = tracer.unwind(&copy);
                            let mut frames = Vec::new();
                            for address in found {
                                let known = tracer.known.entry(address);
                                frames
                                    .extend_from_slice(known.or_insert_with(|| frames_at(address)));
                            }
                            assert_of_one_moment(&frames);
                            traced += 1;
                        }
                    }
                    (traced, missed)
                });
                println!("{traced:?} were copied and were not");
                drop(over);
            });
        });
    }
}
