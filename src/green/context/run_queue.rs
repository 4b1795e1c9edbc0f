#![allow(unsafe_code, reason = "stores pointers to green threads")]
//! The run queue of a worker: ready threads, first in, first out. A ring of pointers, not a list
//! through the blocks, so that it can look ahead.
//!
//! RQ1. It holds only green threads in state `Ready` of one worker, each once; the scheduler's
//!      reference keeps each alive (H2 in `worker_context.rs`).
//! RQ2. `buffer` has a power of two of places; those from `head` up to `tail`, wrapping, are
//!      filled. Only the worker's OS thread touches it, and no code of the user's runs meanwhile.

use std::cell::{Cell, UnsafeCell};
use std::ptr;

use crate::green::ThreadInner;
use crate::sys::cpu::prefetch;

/// How many threads are prefetched at once: the processor walks the page tables for several
/// addresses at a time, and a request whose page is not in the TLB holds up the requests behind it.
/// Their stacks are prefetched one burst before they run, and their control blocks, which say where
/// the stacks are, one burst before that.
const PREFETCH_BATCH: usize = 8;
const MIN_CAPACITY: usize = 64;

/// A ring buffer of ready threads; see the module documentation.
pub(super) struct RunQueue {
    buffer: UnsafeCell<Box<[*const ThreadInner]>>,
    head: Cell<usize>,
    tail: Cell<usize>,
}

impl RunQueue {
    pub(super) fn new() -> RunQueue {
        RunQueue {
            buffer: UnsafeCell::new(vec![ptr::null(); MIN_CAPACITY].into_boxed_slice()),
            head: Cell::new(0),
            tail: Cell::new(0),
        }
    }

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.tail.get().wrapping_sub(self.head.get())
    }

    /// Returns how many threads have ever been popped. It wraps.
    #[inline(always)]
    pub(super) fn popped(&self) -> usize {
        self.head.get()
    }

    #[inline(always)]
    pub(super) fn push(&self, green: &ThreadInner) {
        let tail = self.tail.get();
        // SAFETY: RQ2.
        let buffer = unsafe { &mut *self.buffer.get() };
        let mask = buffer.len() - 1;
        buffer[tail & mask] = green;
        self.tail.set(tail.wrapping_add(1));
        if self.len() > mask {
            self.resize(2 * (mask + 1));
        }
    }

    #[inline(always)]
    pub(super) fn pop(&self) -> Option<&'static ThreadInner> {
        let head = self.head.get();
        let ready = self.len();
        if ready == 0 {
            return None;
        }
        // SAFETY: RQ2.
        let buffer = unsafe { &*self.buffer.get() };
        let mask = buffer.len() - 1;
        let green = buffer[head & mask];
        self.head.set(head.wrapping_add(1));
        if head.is_multiple_of(PREFETCH_BATCH) && ready >= 3 * PREFETCH_BATCH {
            for next in 2 * PREFETCH_BATCH..3 * PREFETCH_BATCH {
                let block = buffer[(head + next) & mask] as usize;
                prefetch(block);
                prefetch(block + 64);
            }
            for next in PREFETCH_BATCH..2 * PREFETCH_BATCH {
                // SAFETY: RQ1.
                unsafe { &*buffer[(head + next) & mask] }.prefetch_stack();
            }
        }
        // SAFETY: RQ1.
        unsafe { green.as_ref() }
    }

    /// Frees memory after a burst of threads has passed.
    pub(super) fn shrink(&self) {
        // SAFETY: RQ2.
        let places = unsafe { &*self.buffer.get() }.len();
        let wanted = (4 * self.len()).next_power_of_two().max(MIN_CAPACITY);
        if wanted < places {
            self.resize(wanted);
        }
    }

    #[cold]
    fn resize(&self, places: usize) {
        let ready = self.len();
        let mut fresh = vec![ptr::null(); places].into_boxed_slice();
        // SAFETY: RQ2.
        let buffer = unsafe { &mut *self.buffer.get() };
        let mask = buffer.len() - 1;
        for offset in 0..ready {
            let at = self.head.get().wrapping_add(offset);
            fresh[at & (places - 1)] = buffer[at & mask];
        }
        *buffer = fresh;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_in_first_out_through_growth_and_shrinking() {
        let greens: Vec<ThreadInner> = (0..1000).map(|_| ThreadInner::empty()).collect();
        let queue = RunQueue::new();
        let mut expected = std::collections::VecDeque::new();
        let mut next = 0;
        for round in 0..200 {
            for _ in 0..(round * 7) % 31 {
                queue.push(&greens[next % 1000]);
                expected.push_back(next % 1000);
                next += 1;
            }
            for _ in 0..(round * 5) % 29 {
                let popped = queue.pop().map(ptr::from_ref);
                assert_eq!(
                    popped,
                    expected.pop_front().map(|index| &raw const greens[index])
                );
            }
            if round % 10 == 0 {
                queue.shrink();
            }
            assert_eq!(queue.len(), expected.len());
        }
    }
}
