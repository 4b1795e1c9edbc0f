//! What the list of threads says of waits: their limits, the state of a channel, and a call on the
//! pool.

use rustlet::JoinHandle;
use rustlet::channel;
use rustlet::runtime::{Builder, ThreadInfo, WaitsFor, threads};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Waits until the thread waits in `operation`, and for an object if `is_known`.
fn info_in<T>(thread: &JoinHandle<T>, operation: &str, is_known: bool) -> ThreadInfo {
    let id = thread.thread().id();
    loop {
        let info = threads().into_iter().find(|info| info.id == id);
        let info = info.expect("it is alive");
        if info.waits_in == operation && (info.waits_for.is_some() || !is_known) {
            return info;
        }
        rustlet::yield_now();
    }
}

fn end<T>(thread: JoinHandle<T>) {
    thread.cancel();
    drop(thread.join());
}

#[test]
fn a_wait_shows_how_long_it_may_last() {
    super::runtime(2).run(|| {
        let sleeper = rustlet::spawn(|| rustlet::sleep(HOUR));
        let limited = rustlet::spawn(|| rustlet::timeout(2 * HOUR, rustlet::park));
        // The earlier of the two ends it.
        let nested = rustlet::spawn(|| rustlet::timeout(HOUR, || rustlet::sleep(2 * HOUR)));
        let (_sender, receiver) = channel::bounded::<()>(1);
        let receiving = rustlet::spawn(move || receiver.recv_timeout(HOUR));
        let parked = rustlet::spawn(rustlet::park);
        for (info, hours) in [
            (info_in(&sleeper, "sleep", false), 1),
            (info_in(&limited, "park", false), 2),
            (info_in(&nested, "sleep", false), 1),
            (info_in(&receiving, "recv", true), 1),
        ] {
            let limit = info.limit.unwrap_or_else(|| panic!("{info}"));
            assert!(
                limit <= hours * HOUR && limit > hours * HOUR - HOUR / 2,
                "{info}"
            );
            let text = info.to_string();
            assert!(
                text.contains(" and at most ") && text.contains(" more"),
                "{text}"
            );
        }
        let info = info_in(&parked, "park", false);
        assert_eq!(info.limit, None, "{info}");
        end(sleeper);
        end(limited);
        end(nested);
        end(receiving);
        end(parked);
    });
}

#[test]
fn a_wait_for_a_channel_shows_what_is_in_it_and_how_many_wait() {
    super::runtime(2).run(|| {
        let (sender, receiver) = channel::bounded(3);
        let senders: Vec<_> = (0..5)
            .map(|n| {
                let sender = sender.clone();
                rustlet::spawn(move || sender.send(n))
            })
            .collect();
        // Three of them are done; which ones is not said.
        let state = loop {
            let mut states = threads()
                .into_iter()
                .filter_map(|info| match info.waits_for {
                    Some(WaitsFor::Channel { state, .. }) => state,
                    _ => None,
                });
            match states.next_back() {
                Some(state) if state.senders_waiting == 2 => break state,
                _ => rustlet::yield_now(),
            }
        };
        assert_eq!(
            (state.len, state.capacity, state.receivers_waiting),
            (3, Some(3), 0)
        );
        assert_eq!(state.to_string(), "3 of 3 messages, 2 threads wait to send");
        assert_eq!(receiver.iter().take(5).count(), 5);
        for sender in senders {
            sender.join().unwrap().unwrap();
        }
        let waiting = rustlet::spawn(move || receiver.recv());
        let info = info_in(&waiting, "recv", true);
        let Some(WaitsFor::Channel {
            state: Some(state), ..
        }) = &info.waits_for
        else {
            panic!("{info}");
        };
        assert_eq!(
            state.to_string(),
            "0 of 3 messages, 1 thread waits to receive"
        );
        assert!(
            info.to_string()
                .contains("(0 of 3 messages, 1 thread waits to receive)"),
            "{info}"
        );
        drop(sender);
        waiting.join().unwrap().unwrap_err();

        let (_sender, receiver) = channel::unbounded::<u8>();
        let waiting = rustlet::spawn(move || receiver.recv());
        match info_in(&waiting, "recv", true).waits_for {
            Some(WaitsFor::Channel {
                state: Some(state), ..
            }) => {
                assert_eq!((state.len, state.capacity), (0, None));
            }
            other => panic!("{other:?}"),
        }
        end(waiting);
    });
}

/// Thousands of receivers of one channel: it is looked at once, not for each of them.
#[test]
fn many_waiters_of_one_channel_are_listed_quickly() {
    const MANY: usize = 2_000;
    super::runtime(1).run(|| {
        let (sender, receiver) = channel::unbounded::<()>();
        let arrived = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..MANY)
            .map(|_| {
                let (receiver, arrived) = (receiver.clone(), Arc::clone(&arrived));
                rustlet::spawn(move || {
                    arrived.fetch_add(1, Relaxed);
                    receiver.recv()
                })
            })
            .collect();
        // There is one worker: a thread that has begun waits by the time another one runs.
        while arrived.load(Relaxed) < MANY {
            rustlet::yield_now();
        }
        let text = rustlet::dump().to_string();
        assert!(
            text.contains(&format!("{MANY} threads wait to receive")),
            "{text}"
        );
        assert!(text.lines().count() < 20, "{text}");
        drop((sender, receiver));
        for thread in threads {
            thread.join().unwrap().unwrap_err();
        }
    });
}

#[test]
fn a_call_on_the_pool_shows_where_it_is() {
    let builder = Builder::new().workers(1).blocking_threads(1);
    builder.build().unwrap().run(|| {
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let running = rustlet::spawn(move || rustlet::unblock(move || gone.recv()));
        let made = loop {
            let info = info_in(&running, "a call on the blocking pool", true);
            match &info.waits_for {
                Some(WaitsFor::RunningCall { os_thread, .. }) => {
                    break (*os_thread, info.to_string());
                }
                Some(WaitsFor::QueuedCall { .. }) => rustlet::yield_now(),
                other => panic!("{other:?}"),
            }
        };
        let name = std::fs::read_to_string(format!("/proc/self/task/{}/comm", made.0)).unwrap();
        assert!(name.starts_with("rustlet-pool"), "{name}");
        assert!(
            made.1.contains(&format!("made by OS thread {}", made.0)),
            "{}",
            made.1
        );
        let queued: Vec<_> = (0..2)
            .map(|_| rustlet::spawn(|| rustlet::unblock(|| {})))
            .collect();
        for (ahead, thread) in queued.iter().enumerate() {
            let info = info_in(thread, "a call on the blocking pool", true);
            match info.waits_for {
                Some(WaitsFor::QueuedCall { ahead: before, .. }) => assert_eq!(before, ahead),
                other => panic!("{other:?}"),
            }
        }
        go.send(()).unwrap();
        running.join().unwrap().unwrap();
        for thread in queued {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_worker_shows_how_many_threads_are_ready() {
    super::runtime(1).run(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let stop = Arc::clone(&stop);
                rustlet::spawn(move || {
                    while !stop.load(Relaxed) {
                        rustlet::yield_now();
                    }
                })
            })
            .collect();
        let (mut ready, mut dump) = (0, rustlet::dump());
        for _ in 0..1000 {
            let worker = dump.workers.iter().find(|worker| worker.live == 4).unwrap();
            ready = worker.ready;
            if ready == 3 {
                break;
            }
            rustlet::yield_now();
            dump = rustlet::dump();
        }
        stop.store(true, Relaxed);
        assert_eq!(ready, 3, "{dump}");
        assert!(
            dump.to_string().contains("3 of them ready to run"),
            "{dump}"
        );
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
