//! The lower limit of cost: bare coroutines with a plain queue, without a scheduler.

#![allow(unsafe_code, reason = "divides a mapping into stacks")]

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::ptr::null_mut;
use std::time::Instant;

use corosensei::stack::{DefaultStack, Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult};

use crate::figures::{Figures, Memory, per};

/// Address space of each, as much as the stacks of a green thread have; one page of it is used.
const SIZE: usize = 256 * 1024;

/// A piece of one large mapping, because the kernel allows some 65,000 mappings, and the benchmark
/// needs a million stacks.
struct Piece {
    top: usize,
}

impl Piece {
    /// Maps `count` pieces, which stay for the rest of the process.
    fn map(count: usize) -> io::Result<impl Iterator<Item = Piece>> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let start = unsafe { libc::mmap(null_mut(), count * SIZE, rights, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = start as usize;
        // Tops at the same offset of each page would fall into the same sets of the cache.
        Ok((0..count).map(move |n| Piece {
            top: start + (n + 1) * SIZE - n % 24 * 64,
        }))
    }
}

// SAFETY: memory that no other code uses. There is no guard page: below a piece is another one; the
// code that runs on them here only suspends.
unsafe impl Stack for Piece {
    fn base(&self) -> StackPointer {
        NonZeroUsize::new(self.top).expect("a mapping is not at zero")
    }
    fn limit(&self) -> StackPointer {
        NonZeroUsize::new(self.top - SIZE + 24 * 64).expect("a mapping is not at zero")
    }
}

type Plain = Coroutine<(), (), (), Piece>;

/// Returns coroutines that suspend this many times, and have done so once.
fn started(threads: usize, each: u64) -> io::Result<VecDeque<Plain>> {
    let mut queue = VecDeque::with_capacity(threads);
    for stack in Piece::map(threads)? {
        let mut coroutine = Coroutine::with_stack(stack, move |yielder, ()| {
            for _ in 0..=each {
                yielder.suspend(());
            }
        });
        coroutine.resume(());
        queue.push_back(coroutine);
    }
    Ok(queue)
}

fn finish(mut queue: VecDeque<Plain>) {
    while let Some(mut coroutine) = queue.pop_front() {
        if let CoroutineResult::Yield(()) = coroutine.resume(()) {
            queue.push_back(coroutine);
        }
    }
}

/// Measures round robin over this many coroutines.
pub(crate) fn yields(threads: usize, total: u64) -> io::Result<Figures> {
    let each = (total / threads as u64).max(10);
    let queue = started(threads, each)?;
    let start = Instant::now();
    finish(queue);
    Ok(per(start.elapsed(), each * threads as u64))
}

/// Measures the memory of coroutines that have suspended.
pub(crate) fn parked(threads: usize) -> io::Result<Figures> {
    let memory = Memory::now();
    let start = Instant::now();
    let queue = started(threads, 0)?;
    let spawned = start.elapsed();
    let held = Memory::now();
    let start = Instant::now();
    finish(queue);
    Ok(memory.figures(&held, threads, spawned, start.elapsed()))
}

/// Measures start and end, with the stack reused.
pub(crate) fn spawn_one(count: u64) -> io::Result<Figures> {
    let mut stack = DefaultStack::new(SIZE)?;
    let start = Instant::now();
    for _ in 0..count {
        let mut coroutine: Coroutine<(), (), (), _> = Coroutine::with_stack(stack, |_, ()| ());
        coroutine.resume(());
        stack = coroutine.into_stack();
    }
    Ok(per(start.elapsed(), count))
}
