//! What a worker counts for [`Metrics`](crate::runtime::Metrics).
//!
//! ST1. Only the worker writes its counters, with plain stores; any thread reads them.
//!
//! Steps and wake-ups are counted on the worker's own side, and copied here after each batch
//! (`worker/measure.rs`), so the path of a single step counts nothing.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::sys::clock::Tick;

/// A number that its worker alone writes (ST1).
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicUsize);

impl Counter {
    #[inline(always)]
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn set(&self, value: usize) {
        self.0.store(value, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(crate) fn add(&self, by: usize) {
        self.set(self.get().wrapping_add(by));
    }
}

/// The time that a worker has slept, in one word, so that a reader sees it grow steadily.
///
/// The word is twice a number of nanoseconds, plus one while the worker sleeps. Awake, the number
/// is the time slept so far; asleep, it is that less the tick at which the sleep began, so that the
/// reader adds the present tick. Both wrap.
#[derive(Debug, Default)]
pub(crate) struct IdleTime(AtomicU64);

impl IdleTime {
    /// Records that the worker goes to sleep; only the worker calls it (ST1).
    #[inline]
    pub(crate) fn note_sleep(&self, now: Tick) {
        let slept = self.0.load(Ordering::Relaxed) & !1;
        self.0
            .store(slept.wrapping_sub(now << 1) | 1, Ordering::Relaxed);
    }

    /// Records that the worker is awake again; only the worker calls it (ST1).
    #[inline]
    pub(crate) fn note_wake(&self, now: Tick) {
        let slept = self.0.load(Ordering::Relaxed) & !1;
        self.0
            .store(slept.wrapping_add(now << 1), Ordering::Relaxed);
    }

    /// Returns for how long the worker has slept until `now`, in nanoseconds.
    fn until(&self, now: Tick) -> Tick {
        let word = self.0.load(Ordering::Relaxed);
        let doubled = match word & 1 {
            0 => word,
            _ => (word & !1).wrapping_add(now << 1),
        };
        // Below zero if the sleep began after `now`.
        (doubled as i64).max(0) as u64 >> 1
    }
}

/// The upper bounds of the buckets of a histogram, in nanoseconds, and as seconds in the form that
/// OpenMetrics asks for.
pub(crate) const BOUNDS: [(Tick, &str); 22] = [
    (1_000, "1e-06"),
    (2_000, "2e-06"),
    (5_000, "5e-06"),
    (10_000, "1e-05"),
    (20_000, "2e-05"),
    (50_000, "5e-05"),
    (100_000, "0.0001"),
    (200_000, "0.0002"),
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_000_000, "0.002"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (20_000_000, "0.02"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (200_000_000, "0.2"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1.0"),
    (2_000_000_000, "2.0"),
    (5_000_000_000, "5.0"),
    (10_000_000_000, "10.0"),
];

/// How many threads waited how long; each bucket counts those up to its bound and above the one
/// before. The last one has no bound.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    pub(crate) buckets: [Counter; BOUNDS.len() + 1],
    /// Nanoseconds.
    pub(crate) sum: AtomicU64,
}

impl Latencies {
    /// Records one wait; only the worker calls it (ST1).
    pub(crate) fn record(&self, nanos: Tick) {
        let bucket = BOUNDS.iter().position(|&(bound, _)| nanos <= bound);
        self.buckets[bucket.unwrap_or(BOUNDS.len())].add(1);
        let sum = self.sum.load(Ordering::Relaxed).saturating_add(nanos);
        self.sum.store(sum, Ordering::Relaxed);
    }
}

/// The counters of one worker (ST1).
// Cache lines of their own: readers do not slow down what placement reads.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct WorkerStats {
    pub(crate) steps: Counter,
    pub(crate) wakeups_sent: Counter,
    pub(crate) wakeups_received: Counter,
    /// The length of the run queue.
    pub(crate) ready: Counter,
    pub(crate) polls: Counter,
    pub(crate) parks: Counter,
    pub(crate) steals: Counter,
    pub(crate) timers: Counter,
    pub(crate) timers_expired: Counter,
    pub(crate) idle: IdleTime,
    /// When the worker was made.
    since: Tick,
    /// The largest values that were reported to readers, written by them.
    reported_busy: AtomicU64,
    reported_idle: AtomicU64,
    pub(crate) latencies: Latencies,
}

impl WorkerStats {
    /// Creates the counters of a worker that counts as busy from `now` on, until it first sleeps.
    pub(crate) fn new(now: Tick) -> WorkerStats {
        WorkerStats {
            since: now,
            ..WorkerStats::default()
        }
    }

    /// Returns how long the worker was busy and how long it slept, in nanoseconds. Neither shrinks
    /// from one call to the next.
    pub(crate) fn busy_and_idle(&self, now: Tick) -> (Tick, Tick) {
        let idle = self.idle.until(now);
        let busy = now.saturating_sub(self.since).saturating_sub(idle);
        // A worker falls asleep and wakes up at a time that it has read a moment before, so a
        // reader may have counted that moment otherwise.
        let grown = |reported: &AtomicU64, now| reported.fetch_max(now, Ordering::Relaxed).max(now);
        (
            grown(&self.reported_busy, busy),
            grown(&self.reported_idle, idle),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_is_counted_while_it_lasts_and_after() {
        let stats = WorkerStats::new(1_000);
        assert_eq!(stats.busy_and_idle(1_500), (500, 0));
        stats.idle.note_sleep(1_600);
        assert_eq!(stats.busy_and_idle(1_600), (600, 0));
        assert_eq!(stats.busy_and_idle(2_000), (600, 400));
        stats.idle.note_wake(2_600);
        assert_eq!(stats.busy_and_idle(2_700), (700, 1_000));
        stats.idle.note_sleep(3_000);
        stats.idle.note_wake(3_001);
        assert_eq!(stats.busy_and_idle(3_001), (1_000, 1_001));
        // It fell asleep before the last reading, which it did not know.
        stats.idle.note_sleep(2_990);
        assert_eq!(stats.busy_and_idle(3_001), (1_000, 1_012));
    }

    /// The reader has read the clock, and is held up.
    #[test]
    fn a_first_sleep_that_begins_after_the_reading_has_no_length() {
        let stats = WorkerStats::new(0);
        stats.idle.note_sleep(1_000);
        assert_eq!(stats.busy_and_idle(990), (990, 0));
        assert_eq!(stats.busy_and_idle(1_010).1, 10);
    }

    #[test]
    fn each_wait_is_in_the_first_bucket_that_holds_it() {
        let latencies = Latencies::default();
        for nanos in [0, 1_000, 1_001, 10_000_000_000, 10_000_000_001] {
            latencies.record(nanos);
        }
        let counts: Vec<usize> = latencies.buckets.iter().map(Counter::get).collect();
        assert_eq!((counts[0], counts[1]), (2, 1));
        assert_eq!(counts[BOUNDS.len() - 1..], [1, 1]);
        assert_eq!(latencies.sum.load(Ordering::Relaxed), 20_000_002_002);
    }

    #[test]
    fn bounds_and_their_texts_agree() {
        for (nanos, text) in BOUNDS {
            let seconds: f64 = text.parse().unwrap();
            assert_eq!((seconds * 1e9).round() as Tick, nanos);
        }
    }
}
