//! The remote queue and the notifier of a worker.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::remote_queue::{Notifier, RemoteQueue, Wakeup};
use crate::shim::lock;
use crate::sys::clock::{self, Tick};
use crate::sys::poll::event_fd::EventFd;

/// The destination of wake-ups for a worker. Process-wide, recycled, never freed: a stale pointer
/// to one is harmless.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) queue: RemoteQueue,
    pub(crate) notifier: Notifier<EventFd>,
    /// When a wake-up that is in the queue was posted, if one of them is timed, else 0. Only for
    /// metrics: two posters at once may overwrite each other's.
    posted_at: AtomicU64,
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
                posted_at: AtomicU64::new(0),
            }))
        });
        remote.notifier.set_wakeup(Some(wakeup));
        remote.posted_at.store(0, Ordering::Relaxed);
        Ok(remote)
    }

    /// Notes that a wake-up is about to be pushed to the queue, if it is the first one there.
    pub(crate) fn note_post(&self) {
        if self.queue.is_empty() {
            self.posted_at.store(clock::now(), Ordering::Relaxed);
        }
    }

    /// Takes the time at which a wake-up in the queue was posted; 0 if none of them is timed.
    pub(super) fn take_posted_at(&self) -> Tick {
        let posted_at = self.posted_at.load(Ordering::Relaxed);
        if posted_at != 0 {
            self.posted_at.store(0, Ordering::Relaxed);
        }
        posted_at
    }

    /// Keeps it for the next [`Remote::open`].
    pub(crate) fn keep_spare(&'static self) {
        lock(&SPARE).push(self);
    }
}
