//! The readiness of a descriptor as a channel receiver, for `select!`.
//!
//! - **RE1** `poll(2)` answers for the present. A registration only wakes the waiter, which checks
//!   again.
//! - **RE2** A green thread is registered with its worker's reactor, as if it read or wrote; an OS
//!   thread, a task, or a green thread that the reactor refuses, uses the poll thread
//!   (`poll_thread.rs`). The lowest bit of the key tells which: it is clear in words of green
//!   threads.
//!
//! Any thread may use it at any time; nothing here suspends.

use std::sync::Arc;

use crate::channel::{self, Key, LevelSource, Receiver};
use crate::green::{Unparker, WorkerContext};
use crate::poll_thread::{self, RequestId};
use crate::retry;
use crate::runtime::io::source::{Interest, Source};

struct ReadySource {
    source: Arc<Source>,
    interest: Interest,
}

/// Creates a receiver that yields `Ok(())` whenever `source` is ready that way.
pub(crate) fn receiver(source: Arc<Source>, interest: Interest) -> Receiver<()> {
    channel::source(Arc::new(ReadySource { source, interest }))
}

/// There is no registration: the waiter has been woken already.
const NONE: Key = 0;

impl LevelSource for ReadySource {
    /// An error counts as ready: the operation returns it.
    fn is_ready(&self) -> bool {
        retry::is_ready(self.source.fd(), self.interest).unwrap_or(true)
    }

    fn arm(&self, waiter: Unparker) -> Key {
        if let Unparker::Green(_) = waiter
            && let Some(cx) = WorkerContext::get()
            && let Ok(key) = self.register(cx)
        {
            return key.map_or_else(
                || {
                    // Other threads may consume the readiness before the waiter checks again; then
                    // it must not sleep on this answer.
                    waiter.unpark();
                    NONE
                },
                |word| word as Key,
            );
        }
        let woken = waiter.clone();
        match poll_thread::submit(Arc::clone(&self.source), self.interest, move || {
            woken.unpark()
        }) {
            Ok(RequestId(number)) => (number as Key) << 1 | 1,
            Err(unpolled) => {
                // No means of waiting is left. A busy thread is better than one that sleeps
                // forever; and its request must not stay.
                poll_thread::cancel(unpolled);
                waiter.unpark();
                NONE
            }
        }
    }

    fn disarm(&self, key: Key) {
        match key {
            NONE => {}
            key if key & 1 == 1 => {
                let _run = poll_thread::cancel(RequestId((key >> 1) as usize));
            }
            word => self.source.remove_waiter(self.interest, word as usize),
        }
    }
}

impl ReadySource {
    /// Registers with the reactor of `cx` (RE2). Like an operation: take the readiness, try, wait
    /// for the next event. Returns `None` if it is ready.
    fn register(&self, cx: &WorkerContext) -> std::io::Result<Option<usize>> {
        let direction = self.source.readiness(self.interest);
        loop {
            direction.take();
            if self.is_ready() {
                // Other waiters may use it.
                direction.set_ready();
                return Ok(None);
            }
            if let Some(turn) = self.source.register_waiter(cx, self.interest)? {
                return Ok(Some(turn.keep()));
            }
        }
    }
}
