//! `repeat`: a green thread that calls a function periodically.

use std::time::Duration;

use super::{JoinHandle, spawn_failed};
use crate::runtime::current::spawn_static;
use crate::runtime::spawn::SpawnRequest;
use crate::time::interval;

/// Spawns a green thread that calls `f` at once and then periodically, each `every`, without drift.
/// It ends when it is cancelled, `f` panics, or its runtime ends; dropping the handle detaches it.
///
/// If `f` takes longer than `every`, it is called again at once for the first tick that passed
/// meanwhile; the other missed ticks are skipped, and later ticks stay aligned to the original
/// schedule. Calls never overlap. With a period of zero, the thread yields between calls.
///
/// # Panics
///
/// The same as for [`spawn`](super::spawn).
///
/// # Examples
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
#[doc(alias = "interval")]
#[doc(alias = "ticker")]
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
    crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
    match spawn_static(SpawnRequest::new(), body) {
        Ok(handle) => handle,
        Err(error) => spawn_failed(&error),
    }
}
