//! A future's task as a waiter. Other code wakes it like a thread; the wake-up calls the waker of
//! its last poll.
//!
//! TA1. Wakers are code of other crates. They are called and dropped with no lock of this crate
//!      held, and a panic in one of them affects nothing else. A waker may be called on any thread,
//!      also in a worker's own code, and while that worker delivers events (R2 in
//!      `runtime/io/reactor.rs` explains why a source may be dropped there).
//! TA2. A task registers its waker before it checks the condition that it waits for. Code that
//!      makes the condition true calls `wake` afterwards. The lock orders the two: either the check
//!      succeeds, or the waker is called.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use super::cancel::catch_and_discard;
use crate::shim::lock;

/// A future's task, which holds the waker of its last poll. See the module documentation.
#[derive(Debug, Default)]
#[repr(align(8))]
pub(crate) struct Task {
    waker: Mutex<Option<Waker>>,
}

impl Task {
    pub(crate) fn new() -> Arc<Task> {
        Arc::default()
    }

    /// Sets the waker for the next [`Task::wake`]. It replaces that of an earlier poll (TA2).
    pub(crate) fn register(&self, waker: &Waker) {
        let is_same = lock(&self.waker)
            .as_ref()
            .is_some_and(|known| known.will_wake(waker));
        if !is_same {
            let new = waker.clone();
            let old = lock(&self.waker).replace(new);
            if let Some(waker) = old {
                discard(waker);
            }
        }
    }

    /// Calls and removes the registered waker. Does nothing if the task has not polled since it was
    /// last woken.
    pub(crate) fn wake(&self) {
        let waker = lock(&self.waker).take();
        if let Some(waker) = waker {
            call(waker);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(waker) = lock(&self.waker).take() {
            discard(waker);
        }
    }
}

/// How many directions of sources have a task that waits for them.
static AT_SOURCES: AtomicUsize = AtomicUsize::new(0);

/// Counts the directions of sources at which tasks wait: one more, or one less.
pub(crate) fn count_at_sources(is_added: bool) {
    match is_added {
        true => AT_SOURCES.fetch_add(1, Ordering::Relaxed),
        false => AT_SOURCES.fetch_sub(1, Ordering::Relaxed),
    };
}

/// Returns whether an event of a source may call the waker of a task.
pub(crate) fn any_at_sources() -> bool {
    AT_SOURCES.load(Ordering::Relaxed) > 0
}

/// Drops a waker (TA1).
pub(crate) fn discard(waker: Waker) {
    catch_and_discard(|| drop(waker));
}

/// Calls a waker (TA1).
pub(crate) fn call(waker: Waker) {
    catch_and_discard(|| waker.wake());
}
