#![allow(unsafe_code, reason = "the keys of events are addresses of sources")]
//! The readiness of one source, as a reactor delivers it and as threads wait for it.
//!
//! SO1. The address of one that is registered stays good until it is retired (R2 in `reactor.rs`).
//! SO2. `ended` is set before the direction becomes ready, so a reader that was woken by the event
//!      sees it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

use super::readiness::{Readiness, Wakeable};
use crate::green::{Unparker, task};

impl Wakeable for Unparker {
    fn wake(self) {
        self.unpark_and_drop();
    }

    fn wake_task(waker: Waker) {
        task::call(waker);
    }

    fn drop_task(waker: Waker) {
        task::discard(waker);
    }

    fn count_tasks(is_added: bool) {
        task::count_at_sources(is_added);
    }
}

/// The part of a source that the reactor uses.
#[derive(Debug)]
pub(crate) struct ScheduledIo {
    pub(super) read: Readiness<Unparker>,
    pub(super) write: Readiness<Unparker>,
    pub(super) ended: AtomicBool,
    /// A [`Nudge`] exists.
    is_nudged: AtomicBool,
}

/// A waker that makes the writing direction ready, so that those who wait try again: for where the
/// system does not report that a write may succeed.
struct Nudge(Weak<ScheduledIo>);

impl Wake for Nudge {
    fn wake(self: Arc<Nudge>) {
        if let Some(core) = self.0.upgrade() {
            // Before the wake-up: the next try makes a new one.
            core.is_nudged.store(false, Ordering::Release);
            core.write.publish_ready();
        }
    }
}

impl ScheduledIo {
    pub(super) fn new() -> ScheduledIo {
        ScheduledIo {
            read: Readiness::new(),
            write: Readiness::new(),
            ended: AtomicBool::new(false),
            is_nudged: AtomicBool::new(false),
        }
    }

    /// Returns a waker for a new try of writes, which is to be called once and later; `None` if
    /// there is one already.
    pub(super) fn nudge(self: &Arc<ScheduledIo>) -> Option<Waker> {
        let is_first = !self.is_nudged.swap(true, Ordering::AcqRel);
        is_first.then(|| Waker::from(Arc::new(Nudge(Arc::downgrade(self)))))
    }

    /// Wakes all waiters; they try again, and so find another reactor.
    pub(super) fn wake_all(&self) {
        self.read.publish_ready();
        self.write.publish_ready();
    }

    /// Delivers an event of the reactor to the source whose core is at `key`.
    pub(super) fn deliver(key: usize, readable: bool, writable: bool, ended: bool) {
        // SAFETY: SO1, and R1: this is the delivery.
        let core = unsafe { &*(key as *const ScheduledIo) };
        if ended && !core.ended.load(Ordering::Relaxed) {
            // SO2; the direction has Release and Acquire, which `set_ready` does not need if it is
            // ready.
            core.ended.store(true, Ordering::Relaxed);
            core.read.publish_ready();
        } else if readable {
            core.read.set_ready();
        }
        if writable {
            core.write.set_ready();
        }
    }
}
