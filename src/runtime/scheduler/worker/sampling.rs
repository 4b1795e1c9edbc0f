//! What a worker counts and measures for metrics, between batches and at the end of deep threads.
//!
//! A step counts nothing: steps are what the run queue has given out, plus the threads that were
//! started directly. The scheduling latency is that of a sample. Once in a millisecond the worker
//! takes the thread that became ready last, when it has read the clock anyway; and some of the
//! wake-ups from other OS threads carry the time at which they were posted. The batch in which such
//! a thread would run ends just before it, and the clock is read there.

use std::cell::Cell;

use super::{STEPS_PER_BATCH, WorkerLoop};
use crate::green::ThreadInner;
use crate::runtime::inspect::registry;
use crate::stack::StackUse;
use crate::sys::clock::{self, Tick};

/// How often a worker measures the latency of a thread of its own.
const SAMPLE_EVERY: Tick = 1_000_000;

/// See the module documentation.
pub(super) struct Sampling {
    /// How many times a thread was taken out of the run queue, or started, without being resumed by
    /// that.
    no_steps: Cell<usize>,
    /// When the last sample was taken.
    sampled: Cell<Tick>,
}

impl Sampling {
    pub(super) fn new() -> Sampling {
        Sampling {
            no_steps: Cell::new(0),
            sampled: Cell::new(0),
        }
    }

    /// Notes that a thread was started and goes through the run queue, where it is counted; or that
    /// one was taken from the run queue and not resumed.
    pub(super) fn note_no_step(&self) {
        self.no_steps.set(self.no_steps.get() + 1);
    }
}

impl WorkerLoop {
    /// Copies the numbers that the worker counts on its own side to where other threads read them.
    #[inline(always)]
    pub(super) fn publish_counts(&self) {
        let peer = self.peer();
        let started = peer.started.load(std::sync::atomic::Ordering::Relaxed);
        let counted = self.cx.popped().wrapping_add(started);
        let steps = counted.wrapping_sub(self.sampling.no_steps.get());
        peer.stats.steps.set(steps);
        let (sent, received) = self.cx.wakeups();
        peer.stats.wakeups_sent.set(sent);
        peer.stats.wakeups_received.set(received);
        peer.stats.ready.set(self.cx.ready());
    }

    /// Begins to measure the latency of the thread that became ready last, from time to time.
    /// `now` was just read.
    #[inline]
    pub(super) fn sample(&self, now: Tick) {
        self.peer().stats.ready.set(self.cx.ready());
        if now.saturating_sub(self.sampling.sampled.get()) >= SAMPLE_EVERY && !self.by_hand {
            self.sampling.sampled.set(now);
            self.cx.sample_last(now);
        }
    }

    /// Returns how many steps the next batch has: the usual number, or fewer, so that it ends just
    /// before the thread whose latency is measured.
    #[inline(always)]
    pub(super) fn steps_to_run(&self) -> u32 {
        match self.cx.before_sample() {
            None => STEPS_PER_BATCH,
            Some(left) => self.steps_to_sample(left),
        }
    }

    #[cold]
    fn steps_to_sample(&self, left: usize) -> u32 {
        if left > 0 && left <= usize::MAX / 2 {
            return u32::try_from(left).map_or(STEPS_PER_BATCH, |left| left.min(STEPS_PER_BATCH));
        }
        self.record_latency();
        STEPS_PER_BATCH
    }

    /// Records the latency of the measured thread, if it is the next to run.
    #[cold]
    pub(super) fn record_latency(&self) {
        if self
            .cx
            .before_sample()
            .is_some_and(|left| left > 0 && left <= usize::MAX / 2)
        {
            return;
        }
        if let Some(since) = self.cx.end_sample() {
            let waited = clock::now().saturating_sub(since);
            self.peer().stats.latencies.record(waited);
        }
    }

    /// Reports a thread that has ended, if it has used nearly all of its stack.
    #[cold]
    pub(super) fn note_stack_use(&self, green: &ThreadInner, used: StackUse) {
        if used.is_nearly_full() {
            registry::report_deep_stack(&self.shared, green, used);
        }
    }
}
