//! [`Metrics`]: counts of a runtime's events, and its present state.

mod histogram;
mod openmetrics;

pub use self::histogram::{Bucket, Histogram};

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::blocking::pool::PoolMetrics;
use super::scheduler::shared::{Shared, WorkerShared};
use crate::stack;
use crate::sys::clock;

/// Snapshot of a runtime's metrics, returned by [`Runtime::metrics`](super::Runtime::metrics).
///
/// Each number is read at a slightly different moment. Counts of events never decrease.
/// [`to_openmetrics`](Metrics::to_openmetrics) formats them for Prometheus.
///
/// # Examples
///
/// ```
/// let runtime = rustlet::runtime::Builder::new().workers(2).build()?;
/// runtime.run(|| rustlet::spawn(rustlet::yield_now).join().unwrap());
/// let metrics = runtime.metrics();
/// assert_eq!(metrics.workers, 2);
/// assert_eq!(metrics.spawned, 2); // `run` itself spawns one
/// assert_eq!(metrics.per_worker.len(), 2);
/// assert!(metrics.per_worker.iter().map(|worker| worker.steps).sum::<u64>() >= 2);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Metrics {
    /// Number of workers.
    pub workers: usize,
    /// Number of green threads that are alive: spawned and not ended.
    pub live: usize,
    /// Number of green threads that were spawned since the runtime was created.
    pub spawned: usize,
    /// Number of green threads that have ended since the runtime was created.
    pub ended: usize,
    /// For each worker, the number of green threads that live on it or are queued there to start.
    pub live_per_worker: Vec<usize>,
    /// The metrics of each worker.
    pub per_worker: Vec<WorkerMetrics>,
    /// Number of OS threads in the pool for blocking calls.
    pub blocking_threads: usize,
    /// Number of pool threads that are idle.
    pub blocking_idle: usize,
    /// Number of blocking calls that wait for a thread of the pool.
    ///
    /// Calls wait when more than [`Builder::blocking_threads`](super::Builder::blocking_threads) of
    /// them are made at once, or more name look-ups than a quarter of that.
    pub blocking_queued: usize,
    /// Number of calls that were submitted to the pool: file operations, name look-ups and calls of
    /// [`unblock`](crate::unblock).
    pub blocking_calls: u64,
    /// Number of name look-ups in progress.
    pub looking_up: usize,
    /// Number of name look-ups that were submitted to the pool.
    pub look_ups: u64,
    /// The memory of the stacks of all runtimes of the process.
    pub stacks: StackMetrics,
}

/// The metrics of one worker, part of [`Metrics`].
///
/// A worker counts in its own memory and publishes its numbers after at most 64 steps. So while one
/// green thread keeps the worker, the numbers of steps, wake-ups and queued threads are slightly
/// old.
///
/// # Examples
///
/// ```
/// let runtime = rustlet::runtime::Builder::new().workers(1).build()?;
/// runtime.run(|| (0..1000).for_each(|_| rustlet::yield_now()));
/// let worker = &runtime.metrics().per_worker[0];
/// assert!(worker.steps > 900);
/// let share = worker.busy.as_secs_f64() / (worker.busy + worker.idle).as_secs_f64();
/// assert!((0.0..=1.0).contains(&share));
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerMetrics {
    /// The index of the worker.
    pub index: usize,
    /// Number of times that it has resumed or started a green thread.
    pub steps: u64,
    /// Time for which it was not asleep since it was created. This includes the time for which the
    /// system gave its core to another OS thread.
    pub busy: Duration,
    /// Time for which it was asleep, including its last search for work before a sleep and the
    /// first one afterwards.
    pub idle: Duration,
    /// Number of green threads that live on it or are queued there to start.
    pub live: usize,
    /// Number of green threads that are queued there to start.
    pub unstarted: usize,
    /// Number of green threads that are ready to run there: the length of its run queue.
    pub ready: usize,
    /// Number of timers: those of threads that wait with a deadline, and some whose wait has ended
    /// before its deadline.
    pub timers: usize,
    /// Number of timers that have expired while their thread waited.
    pub timers_expired: u64,
    /// Number of wake-ups that its green threads have sent to threads of other workers.
    ///
    /// Wake-ups on the same worker are not counted.
    pub wakeups_sent: u64,
    /// Number of wake-ups that its green threads have received from other OS threads: other
    /// workers, the pool for blocking calls, and threads of the program.
    pub wakeups_received: u64,
    /// Number of times that it went to sleep because no thread was ready.
    pub parks: u64,
    /// Number of times that it has polled for I/O.
    pub polls: u64,
    /// Number of unstarted green threads that it has taken from the queues of other workers.
    pub steals: u64,
    /// Times for which threads were ready before the worker resumed them.
    ///
    /// This is a sample: at most one of its own threads a millisecond, and one in 16 of the
    /// wake-ups from each other worker. A long latency means that more threads are ready than the
    /// worker can run in time, or that one thread keeps the worker.
    pub scheduling_latency: Histogram,
}

/// The memory of the stacks of all green threads of the process, part of [`Metrics`].
///
/// The system is asked at most ten times a second. A snapshot in between has the numbers of the
/// last time.
///
/// # Examples
///
/// ```
/// let runtime = rustlet::Builder::new().workers(1).build()?;
/// runtime.run(rustlet::yield_now);
/// let stacks = runtime.metrics().stacks;
/// assert!(stacks.resident <= stacks.reserved);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StackMetrics {
    /// Number of stacks that green threads use, or that workers keep for later threads.
    pub count: usize,
    /// Bytes of address space that the stacks reserve.
    pub reserved: usize,
    /// Bytes of the stacks that are in memory. If the stacks reserve more than 4 GiB of address
    /// space, this is an estimate from a part of them.
    pub resident: usize,
    /// The largest number of bytes that a green thread has used of its stack, as far as it was
    /// measured: at the end of a thread, in a dump, and now.
    pub deepest: usize,
}

/// Takes a snapshot of the metrics of `shared`.
pub(super) fn collect(shared: &Shared) -> Metrics {
    let PoolMetrics {
        threads,
        idle,
        queued,
        calls,
        looking_up,
        look_ups,
    } = shared.pool.metrics();
    // Reads `ended` before `spawned`, so that every thread that counts as ended counts as spawned
    // too.
    let ended = shared.finished();
    let spawned = shared.spawned();
    let stacks = stack::survey();
    let workers = shared.workers.iter().enumerate();
    let per_worker: Vec<_> = workers
        .map(|(index, worker)| of_worker(index, worker))
        .collect();
    Metrics {
        workers: shared.workers.len(),
        live: spawned.saturating_sub(ended),
        spawned,
        ended,
        live_per_worker: per_worker.iter().map(|worker| worker.live).collect(),
        per_worker,
        blocking_threads: threads,
        blocking_idle: idle,
        blocking_queued: queued,
        blocking_calls: calls,
        looking_up,
        look_ups,
        stacks: StackMetrics {
            count: stacks.out,
            reserved: stacks.reserved,
            resident: stacks.resident,
            deepest: stacks.deepest,
        },
    }
}

fn of_worker(index: usize, worker: &WorkerShared) -> WorkerMetrics {
    let stats = &worker.stats;
    let (busy, idle) = stats.busy_and_idle(clock::now());
    WorkerMetrics {
        index,
        steps: stats.steps.get() as u64,
        busy: Duration::from_nanos(busy),
        idle: Duration::from_nanos(idle),
        live: worker.live(),
        unstarted: worker.unstarted.len(),
        ready: stats.ready.get(),
        timers: stats.timers.get(),
        timers_expired: stats.timers_expired.get() as u64,
        wakeups_sent: stats.wakeups_sent.get() as u64,
        wakeups_received: stats.wakeups_received.get() as u64,
        parks: stats.parks.get() as u64,
        polls: stats.polls.get() as u64,
        steals: stats.steals.get() as u64,
        scheduling_latency: Histogram::new(
            stats
                .latencies
                .buckets
                .iter()
                .map(|count| count.get() as u64),
            stats.latencies.sum.load(Ordering::Relaxed),
        ),
    }
}
