//! The cost of locks under several threads; the module that includes this file decides which kind
//! of threads and locks.
//!
//! Each function does the operation about `count` times and returns the time for `count` of them.

use super::{sync, thread};

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Threads that lock, count and unlock.
pub(crate) fn mutex(threads: usize, count: u64) -> Duration {
    let number = sync::Mutex::new(0_u64);
    contend(threads, count, move |_| {
        *number.lock().expect("no thread panics") += 1;
    })
}

/// Threads that read, and sometimes write.
pub(crate) fn rwlock(threads: usize, once_in: u64, count: u64) -> Duration {
    let number = sync::RwLock::new(0_u64);
    contend(threads, count, move |turn| {
        if turn % once_in == 0 {
            *number.write().expect("no thread panics") += 1;
        } else {
            black_box(*number.read().expect("no thread panics"));
        }
    })
}

/// Runs `threads` threads that call `operation` concurrently.
fn contend(
    threads: usize,
    count: u64,
    operation: impl Fn(u64) + Send + Sync + 'static,
) -> Duration {
    let each = count.div_ceil(threads as u64);
    let operation = Arc::new(operation);
    let ready = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..threads)
        .map(|_| {
            let (operation, ready) = (Arc::clone(&operation), Arc::clone(&ready));
            thread::spawn(move || {
                // The main thread also waits at the barrier, and starts the clock.
                ready.fetch_add(1, SeqCst);
                while ready.load(SeqCst) <= threads {
                    thread::yield_now();
                }
                for turn in 0..each {
                    operation(turn);
                }
            })
        })
        .collect();
    while ready.load(SeqCst) < threads {
        thread::yield_now();
    }
    let begin = Instant::now();
    ready.fetch_add(1, SeqCst);
    for handle in handles {
        assert!(handle.join().is_ok());
    }
    let done = each * threads as u64;
    begin.elapsed().mul_f64(count as f64 / done as f64)
}
