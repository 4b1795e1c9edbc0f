//! What a worker counts and measures for metrics, between batches and at the end of deep threads.
//!
//! A step counts nothing: steps are what the run queue has given out, plus the threads that were
//! started directly. The scheduling latency is that of a sample. Once in a millisecond the worker
//! takes the thread that became ready last, when it has read the clock anyway; and some of the
//! wake-ups from other OS threads carry the time at which they were posted. The batch in which such
//! a thread would run ends just before it, and the clock is read there.

use std::sync::atomic::Ordering;

use super::{STEPS_PER_BATCH, WorkerLoop};
use crate::green::ThreadInner;
use crate::runtime::inspect::registry;
use crate::stack::{Stack, StackUse};
use crate::sys::clock::{self, Tick};

/// How often a worker measures the latency of a thread of its own.
const SAMPLE_EVERY_NS: Tick = 1_000_000;

impl WorkerLoop {
    /// Copies the numbers that the worker counts on its own side to where other threads read them.
    #[inline(always)]
    pub(super) fn publish_counts(&self) {
        let worker = self.worker_shared();
        let started = worker.started.load(Ordering::Relaxed);
        let counted = self.cx.popped().wrapping_add(started);
        let steps = counted.wrapping_sub(self.sampling.no_steps());
        worker.stats.steps.set(steps);
        let (sent, received) = self.cx.wakeups();
        worker.stats.wakeups_sent.set(sent);
        worker.stats.wakeups_received.set(received);
    }

    /// Publishes how many threads are ready and how many timers there are. Begins to measure the
    /// latency of the thread that became ready last, from time to time. `now` was just read.
    #[inline]
    pub(super) fn sample(&self, now: Tick) {
        let stats = &self.worker_shared().stats;
        stats.ready.set(self.cx.ready());
        stats.timers.set(self.timers.borrow().len());
        if now.saturating_sub(self.sampling.sampled.get()) >= SAMPLE_EVERY_NS && !self.is_stepped {
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
        if is_ahead(left) {
            return u32::try_from(left).map_or(STEPS_PER_BATCH, |left| left.min(STEPS_PER_BATCH));
        }
        self.record_latency();
        STEPS_PER_BATCH
    }

    /// Records the latency of the measured thread, if it is the next to run.
    #[cold]
    pub(super) fn record_latency(&self) {
        if self.cx.before_sample().is_some_and(is_ahead) {
            return;
        }
        if let Some(since) = self.cx.end_sample() {
            let waited = clock::now().saturating_sub(since);
            self.worker_shared().stats.latencies.record(waited);
        }
    }

    /// Takes back the stack of a thread that has ended and went deep, and reports the thread if it
    /// has used nearly all of it.
    #[cold]
    #[inline(never)]
    pub(super) fn take_back_deep(&self, green: &ThreadInner, stack: Stack) {
        // Not in the condition of the `if`: a hook may spawn.
        let used = self.stacks.borrow_mut().take_back_deep(stack);
        if let Some(used) = used.filter(StackUse::is_nearly_full) {
            registry::report_deep_stack(&self.shared, green, used);
        }
    }
}

/// Returns whether the measured thread comes after `left` other steps: the count wraps around when
/// its turn has passed.
fn is_ahead(left: usize) -> bool {
    (1..=usize::MAX / 2).contains(&left)
}
