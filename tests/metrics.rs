//! What a runtime tells of itself in numbers: its metrics, their text form, what a dump says of
//! waits, and how much of its stack a thread has used.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

mod support;

#[path = "metrics/openmetrics.rs"]
mod openmetrics;
#[path = "metrics/stacks.rs"]
mod stacks;
#[path = "metrics/waits.rs"]
mod waits;

use rustlet::channel;
use rustlet::runtime::{
    Builder, Handle, Metrics, Runtime, ThreadInfo, ThreadState, WorkerMetrics, threads,
};
use rustlet::thread;
use std::time::Duration;

fn runtime(workers: usize) -> Runtime {
    Builder::new().workers(workers).build().unwrap()
}

/// Takes snapshots until one `is_as_wanted`: workers publish what they count a moment later.
#[track_caller]
fn until(runtime: &Runtime, mut is_as_wanted: impl FnMut(&Metrics) -> bool) -> Metrics {
    for _ in 0..100_000 {
        let metrics = runtime.metrics();
        if is_as_wanted(&metrics) {
            return metrics;
        }
        std::thread::yield_now();
    }
    panic!("{:#?}", runtime.metrics());
}

fn sum(metrics: &Metrics, of: impl Fn(&WorkerMetrics) -> u64) -> u64 {
    metrics.per_worker.iter().map(of).sum()
}

/// A step is a start or a resumption: of plain threads, of those that stay on their worker, and on
/// several workers.
#[test]
fn steps_are_counted_exactly() {
    let runtime = runtime(1);
    runtime.run(|| (0..1000).for_each(|_| rustlet::yield_now()));
    until(&runtime, |metrics| metrics.per_worker[0].steps == 1001);
    runtime.run(|| {
        for _ in 0..10 {
            rustlet::spawn(|| {}).join().unwrap();
        }
    });
    // The main thread waits in each join, and each spawned thread has one step.
    until(&runtime, |metrics| {
        metrics.per_worker[0].steps == 1001 + 1 + 20
    });
    runtime.run(|| {
        for _ in 0..10 {
            rustlet::spawn_local(rustlet::yield_now).join().unwrap();
        }
    });
    let metrics = until(&runtime, |metrics| {
        metrics.per_worker[0].steps == 1001 + 21 + 1 + 30
    });
    assert_eq!(
        (metrics.spawned, metrics.live),
        (23, metrics.spawned - metrics.ended)
    );
}

#[test]
fn the_run_queue_grows_and_shrinks_without_a_miscount() {
    let runtime = runtime(1);
    runtime.run(|| {
        let threads: Vec<_> = (0..1000)
            .map(|_| rustlet::spawn(|| (0..10).for_each(|_| rustlet::yield_now())))
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
    let steps = until(&runtime, |metrics| metrics.per_worker[0].steps >= 11_001);
    // At most one step of the main thread for each join.
    assert!(steps.per_worker[0].steps <= 12_001, "{steps:?}");
}

#[test]
fn wake_ups_between_workers_are_counted_on_both_sides() {
    const ROUNDS: u64 = 200;
    let runtime = runtime(2);
    runtime.run(|| {
        let (ping, pinged) = channel::bounded(0);
        let (pong, ponged) = channel::bounded(0);
        let there = move || {
            while let Ok(n) = pinged.recv() {
                pong.send(n).unwrap();
            }
        };
        let here = move || {
            for n in 0..ROUNDS {
                ping.send(n).unwrap();
                assert_eq!(ponged.recv(), Ok(n));
            }
        };
        let on = |worker| thread::Builder::new().worker(worker);
        let there = on(0).spawn(there).unwrap();
        let here = on(1).spawn(here).unwrap();
        here.join().unwrap();
        there.join().unwrap();
    });
    let metrics = until(&runtime, |metrics| {
        sum(metrics, |worker| worker.wakeups_sent) <= sum(metrics, |worker| worker.wakeups_received)
    });
    for worker in &metrics.per_worker {
        // Each round wakes each of the two once, unless it has not waited yet.
        assert!(
            worker.wakeups_sent > 0 && worker.wakeups_received > 0,
            "{worker:?}"
        );
    }
    let sent = sum(&metrics, |worker| worker.wakeups_sent);
    assert!(sent <= 8 * ROUNDS, "{sent}");
}

#[test]
fn wake_ups_from_os_threads_are_received_only() {
    let runtime = runtime(1);
    let (sender, receiver) = channel::bounded(0);
    let receiving = runtime.spawn(move || receiver.iter().count());
    let id = receiving.thread().id();
    for n in 1..=10 {
        let waits = |info: &ThreadInfo| info.id == id && info.state == ThreadState::Waiting;
        while !threads().iter().any(waits) {
            std::thread::yield_now();
        }
        sender.send(()).unwrap();
        until(&runtime, |metrics| {
            metrics.per_worker[0].wakeups_received == n
        });
    }
    drop(sender);
    assert_eq!(receiving.join().unwrap(), 10);
    assert_eq!(runtime.metrics().per_worker[0].wakeups_sent, 0);
}

#[test]
fn timers_that_wait_and_that_expire() {
    let runtime = runtime(1);
    let sleepers: Vec<_> = (0..5)
        .map(|_| runtime.spawn(|| rustlet::sleep(Duration::from_secs(3600))))
        .collect();
    until(&runtime, |metrics| metrics.per_worker[0].timers == 5);
    for sleeper in sleepers {
        sleeper.cancel();
        sleeper.join().unwrap_err();
    }
    until(&runtime, |metrics| metrics.per_worker[0].timers == 0);
    assert_eq!(runtime.metrics().per_worker[0].timers_expired, 0);
    runtime.run(|| {
        for _ in 0..3 {
            rustlet::sleep(Duration::from_micros(10));
        }
    });
    assert_eq!(runtime.metrics().per_worker[0].timers_expired, 3);
}

/// Read while the worker falls asleep and wakes up all the time.
#[test]
fn busy_and_idle_time_never_shrink() {
    let runtime = runtime(1);
    let (stop, stopped) = channel::bounded::<()>(0);
    let sleeper = runtime.spawn(move || {
        while stopped.recv_timeout(Duration::from_micros(50))
            != Err(channel::RecvTimeoutError::Disconnected)
        {}
    });
    let mut before = until(&runtime, |metrics| metrics.per_worker[0].parks > 10);
    for _ in 0..5_000 {
        let metrics = runtime.metrics();
        let (earlier, later) = (&before.per_worker[0], &metrics.per_worker[0]);
        assert!(
            earlier.idle <= later.idle && earlier.busy <= later.busy,
            "{earlier:?} {later:?}"
        );
        before = metrics;
    }
    drop(stop);
    sleeper.join().unwrap();
    let worker = &before.per_worker[0];
    assert!(worker.idle > Duration::ZERO && worker.busy > Duration::ZERO);
    assert!(worker.polls >= worker.parks, "{worker:?}");
}

/// A thread keeps the worker after another thread of it was woken from outside. The time until that
/// one runs is in the histogram.
#[test]
fn a_thread_that_waits_for_its_worker_shows_as_latency() {
    const KEPT: Duration = Duration::from_millis(5);
    let runtime = runtime(1);
    for _ in 0..100 {
        let (wake, woken) = channel::bounded(1);
        let receiver = runtime.spawn(move || woken.recv().unwrap());
        until(&runtime, |metrics| {
            metrics.per_worker[0].ready == 0 && metrics.live == 1
        });
        let (begin, begun) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel();
        // It blocks the worker.
        let hog = runtime.spawn(move || {
            begin.send(()).unwrap();
            ended.recv().unwrap();
        });
        begun.recv().unwrap();
        wake.send(()).unwrap();
        std::thread::sleep(KEPT);
        end.send(()).unwrap();
        hog.join().unwrap();
        receiver.join().unwrap();
        let latency = &runtime.metrics().per_worker[0].scheduling_latency;
        let late = latency
            .buckets
            .iter()
            .filter(|bucket| bucket.up_to.is_none_or(|bound| bound >= KEPT));
        if late.map(|bucket| bucket.count).sum::<u64>() > 0 {
            assert!(latency.sum >= KEPT && latency.count > 0, "{latency:?}");
            assert!(latency.quantile(1.0).is_none_or(|most| most >= KEPT));
            return;
        }
    }
    panic!("{:#?}", runtime.metrics());
}

#[test]
fn a_busy_worker_measures_its_own_threads() {
    let runtime = runtime(1);
    let busy = runtime.spawn(|| {
        let threads: Vec<_> = (0..10)
            .map(|_| {
                rustlet::spawn(|| {
                    while !rustlet::is_cancelled() {
                        rustlet::yield_now();
                    }
                })
            })
            .collect();
        rustlet::park();
        drop(threads);
    });
    until(&runtime, |metrics| {
        metrics.per_worker[0].scheduling_latency.count > 10
    });
    busy.cancel();
    busy.join().unwrap_err();
}

#[test]
fn calls_on_the_pool_are_counted() {
    let runtime = runtime(1);
    runtime.run(|| {
        for n in 0..10 {
            assert_eq!(rustlet::unblock(move || n), n);
        }
    });
    let metrics = runtime.metrics();
    assert_eq!((metrics.blocking_calls, metrics.look_ups), (10, 0));
}

#[test]
fn a_handle_is_found_where_a_runtime_is() {
    assert!(Handle::current().is_none());
    let runtime = runtime(3);
    let workers = || Handle::current().map(|handle| handle.metrics().workers);
    assert_eq!(runtime.run(workers), Some(3));
    assert_eq!(runtime.run(move || rustlet::unblock(workers)), Some(3));
    assert_eq!(runtime.handle().metrics().workers, 3);
}
