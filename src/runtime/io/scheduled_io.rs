#![allow(unsafe_code, reason = "events name sources by address")]
//! The readiness of one source, as a reactor delivers it and as threads wait for it.
//!
//! SO1. The address of one that is registered stays good until it is retired (R2 in `reactor.rs`).
//! SO2. `ended` is set before the direction becomes ready, so a reader that was woken by the event
//!      sees it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::readiness::{Readiness, Wakeable};
use crate::green::Unparker;

impl Wakeable for Unparker {
    fn wake(self) {
        self.unpark();
    }
}

/// The part of a source that the reactor uses.
#[derive(Debug)]
pub(crate) struct ScheduledIo {
    pub(super) read: Readiness<Unparker>,
    pub(super) write: Readiness<Unparker>,
    pub(super) ended: AtomicBool,
}

impl ScheduledIo {
    pub(super) fn new() -> ScheduledIo {
        ScheduledIo {
            read: Readiness::new(),
            write: Readiness::new(),
            ended: AtomicBool::new(false),
        }
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
