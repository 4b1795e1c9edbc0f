//! The measured operations; the module that includes this file decides which kind of threads.
//!
//! Each function does the operation about `count` times and returns the time for `count` of them.

use super::{channel, thread};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Measures `threads` threads that only yield.
pub(crate) fn yield_now(threads: usize, count: u64) -> Duration {
    // A few yields each would measure mostly the start and the end.
    let each = count.div_ceil(threads as u64).max(8);
    let crowd = Arc::new(Crowd::default());
    let main = thread::current();
    let yielding = |_| {
        let (crowd, main) = (Arc::clone(&crowd), main.clone());
        thread::spawn(move || {
            crowd.ready.fetch_add(1, SeqCst);
            while !crowd.go.load(SeqCst) {
                thread::yield_now();
            }
            for _ in 0..each {
                thread::yield_now();
            }
            if crowd.done.fetch_add(1, SeqCst) + 1 == threads {
                main.unpark();
            }
            // Ending a thread costs more than a yield, and must happen after the measurement.
            while !crowd.leave.load(SeqCst) {
                thread::park();
            }
        })
    };
    let handles: Vec<_> = (0..threads).map(yielding).collect();
    while crowd.ready.load(SeqCst) < threads {
        thread::yield_now();
    }
    let begin = Instant::now();
    crowd.go.store(true, SeqCst);
    while crowd.done.load(SeqCst) < threads {
        thread::park();
    }
    let elapsed = begin.elapsed();
    crowd.leave.store(true, SeqCst);
    for handle in handles {
        handle.thread().unpark();
        assert!(handle.join().is_ok());
    }
    scaled(elapsed, count, each * threads as u64)
}

/// The progress of the threads of a measurement.
#[derive(Default)]
struct Crowd {
    ready: AtomicUsize,
    go: AtomicBool,
    done: AtomicUsize,
    leave: AtomicBool,
}

/// Spawns and joins one thread after the other.
pub(crate) fn spawn_and_join(count: u64) -> Duration {
    let begin = Instant::now();
    for _ in 0..count {
        assert!(thread::spawn(|| ()).join().is_ok());
    }
    begin.elapsed()
}

/// Spawns `threads` threads, then joins them.
pub(crate) fn spawn_all_then_join(threads: usize, count: u64) -> Duration {
    let rounds = count.div_ceil(threads as u64);
    let mut handles = Vec::with_capacity(threads);
    let begin = Instant::now();
    for _ in 0..rounds {
        handles.extend((0..threads).map(|_| thread::spawn(|| ())));
        for handle in handles.drain(..) {
            assert!(handle.join().is_ok());
        }
    }
    scaled(begin.elapsed(), count, rounds * threads as u64)
}

/// Measures two threads that wake each other in turn: one round trip, two wake-ups.
pub(crate) fn ping_pong(count: u64) -> Duration {
    turns(count, thread::park)
}

/// Does the same, but each sets a timer as it parks, which the wake-up cancels.
pub(crate) fn ping_pong_with_timeout(count: u64) -> Duration {
    turns(count, || thread::park_timeout(Duration::from_secs(60)))
}

fn turns(count: u64, wait: impl Fn() + Copy + Send + 'static) -> Duration {
    let turn = Arc::new(AtomicBool::new(false));
    let main = thread::current();
    let other = thread::spawn({
        let turn = Arc::clone(&turn);
        move || {
            for _ in 0..count {
                while !turn.load(SeqCst) {
                    wait();
                }
                turn.store(false, SeqCst);
                main.unpark();
            }
        }
    });
    // The other thread has certainly started before the clock does.
    thread::yield_now();
    let begin = Instant::now();
    for _ in 0..count {
        turn.store(true, SeqCst);
        other.thread().unpark();
        while turn.load(SeqCst) {
            wait();
        }
    }
    let elapsed = begin.elapsed();
    assert!(other.join().is_ok());
    elapsed
}

/// Measures two threads that send each other the same message in turn: one round trip.
pub(crate) fn channel_ping_pong(count: u64) -> Duration {
    let (there, stones) = channel::bounded(1);
    let (back, returned) = channel::bounded(1);
    let other = thread::spawn(move || {
        for stone in stones {
            if back.send(stone).is_err() {
                return;
            }
        }
    });
    // The other thread has certainly started before the clock does.
    thread::yield_now();
    let begin = Instant::now();
    for n in 0..count {
        assert!(there.send(n).is_ok());
        assert_eq!(returned.recv(), Ok(n));
    }
    let elapsed = begin.elapsed();
    drop(there);
    assert!(other.join().is_ok());
    elapsed
}

/// Measures several senders and receivers on one channel: one message.
pub(crate) fn channel_crowd(
    senders: u64,
    receivers: u64,
    capacity: Option<usize>,
    count: u64,
) -> Duration {
    let (sender, receiver) = capacity.map_or_else(channel::unbounded, channel::bounded);
    let each = count.div_ceil(senders);
    let begin = Instant::now();
    let mut handles = Vec::new();
    for _ in 0..senders {
        let sender = sender.clone();
        handles.push(thread::spawn(move || {
            for n in 0..each {
                assert!(sender.send(n).is_ok());
            }
        }));
    }
    drop(sender);
    for _ in 0..receivers {
        let receiver = receiver.clone();
        handles.push(thread::spawn(move || {
            for message in receiver {
                std::hint::black_box(message);
            }
        }));
    }
    for handle in handles {
        assert!(handle.join().is_ok());
    }
    scaled(begin.elapsed(), count, each * senders)
}

/// Scales `elapsed`, the time for `done` operations, to `wanted` operations.
fn scaled(elapsed: Duration, wanted: u64, done: u64) -> Duration {
    elapsed.mul_f64(wanted as f64 / done as f64)
}
