//! Where messages for a worker go, and how it is woken for them.

use std::io;
use std::sync::Mutex;

use super::mailbox::{Bell, Inbox, Line};
use crate::shim::lock;
use crate::sys::poll::event::EventFd;

/// Where messages for a worker go. Process-wide, recycled, never freed: a stale pointer to one is harmless.
#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) inbox: Inbox,
    pub(crate) bell: Bell<EventFd>,
}

impl Line for EventFd {
    fn signal(&self) {
        EventFd::signal(self);
    }
}

static SPARE: Mutex<Vec<&'static Mailbox>> = Mutex::new(Vec::new());

impl Mailbox {
    /// One that nobody uses, with a line of its own.
    pub(crate) fn open() -> io::Result<&'static Mailbox> {
        let line = EventFd::new()?;
        let spare = lock(&SPARE).pop();
        let mailbox = spare.unwrap_or_else(|| {
            Box::leak(Box::new(Mailbox {
                inbox: Inbox::new(),
                bell: Bell::new(None),
            }))
        });
        mailbox.bell.set_line(Some(line));
        Ok(mailbox)
    }

    /// Keeps it for the next [`Mailbox::open`].
    pub(crate) fn keep_spare(&'static self) {
        lock(&SPARE).push(self);
    }
}
