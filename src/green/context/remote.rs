//! The remote queue and the notifier of a worker.

use std::io;
use std::sync::Mutex;

use super::remote_queue::{Notifier, RemoteQueue, Wakeup};
use crate::shim::lock;
use crate::sys::poll::event_fd::EventFd;

/// The destination of wake-ups for a worker. Process-wide, recycled, never freed: a stale pointer
/// to one is harmless.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) queue: RemoteQueue,
    pub(crate) notifier: Notifier<EventFd>,
}

impl Wakeup for EventFd {
    fn signal(&self) {
        EventFd::signal(self);
    }
}

static SPARE: Mutex<Vec<&'static Remote>> = Mutex::new(Vec::new());

impl Remote {
    /// Takes an unused one, and gives it an eventfd of its own.
    pub(crate) fn open() -> io::Result<&'static Remote> {
        let wakeup = EventFd::new()?;
        let spare = lock(&SPARE).pop();
        let remote = spare.unwrap_or_else(|| {
            Box::leak(Box::new(Remote {
                queue: RemoteQueue::new(),
                notifier: Notifier::new(None),
            }))
        });
        remote.notifier.set_wakeup(Some(wakeup));
        Ok(remote)
    }

    /// Keeps it for the next [`Remote::open`].
    pub(crate) fn keep_spare(&'static self) {
        lock(&SPARE).push(self);
    }
}
