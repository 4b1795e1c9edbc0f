//! `repeat`: a green thread that does something again and again.
//!
//! Owns nothing: the thread belongs to its handle. May be called from any thread.

use std::time::Duration;

use super::{JoinHandle, spawn_failed};
use crate::runtime::current::spawn_static;
use crate::runtime::spawn::Order;
use crate::time::interval;

/// Spawns a green thread that calls `f` at once and then each time that `every` has passed since the first time, without drift. It goes on until it
/// is cancelled, `f` panics, or its runtime ends; dropping the handle detaches it.
///
/// An `f` that takes longer than `every` is called again at once, for the first moment that passed meanwhile; the others it has missed,
/// and the next one is on the grid of the first. It never runs beside itself. With a period of zero it is called at each turn of the thread.
///
/// # Panics
///
/// As [`spawn`](super::spawn).
///
/// ```
/// use rustlet::{repeat, run, sleep};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::time::Duration;
///
/// run(|| {
///     let beats = Arc::new(AtomicU32::new(0));
///     let counter = beats.clone();
///     let heart = repeat(Duration::from_millis(1), move || {
///         counter.fetch_add(1, Ordering::Relaxed);
///     });
///     while beats.load(Ordering::Relaxed) < 3 {
///         sleep(Duration::from_millis(1));
///     }
///     heart.cancel();
/// });
/// ```
#[track_caller]
pub fn repeat<F>(every: Duration, mut f: F) -> JoinHandle<()>
where
    F: FnMut() + Send + 'static,
{
    let body = move || {
        for _ in interval(every) {
            f();
        }
    };
    crate::green::budget::spend_quietly(std::panic::Location::caller());
    match spawn_static(Order::new(), body) {
        Ok(handle) => handle,
        Err(error) => spawn_failed(&error),
    }
}
