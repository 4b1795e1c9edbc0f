#![allow(unsafe_code, reason = "mailboxes are found by address")]
//! What others do to a green thread: wake it, cancel it, give its block back.
//!
//! The invariants are those of the control block, in `green/mod.rs`, and of `mailbox.rs`.

use std::mem::offset_of;
use std::ptr::{self, NonNull};
use std::sync::atomic::{Ordering, fence};

use super::Green;
use super::blocks;
use crate::green::context::home;
use crate::green::context::home::Home;
use crate::green::context::remote::Mailbox;

impl Green {
    /// Unwinds it from its present or next wait; if it has not started, it never runs.
    pub(crate) fn cancel(&self) {
        self.note_cancelled();
        // Pairs with the fence of `adopt`.
        fence(Ordering::SeqCst);
        self.wake();
    }

    /// Ends its present wait, or its next.
    #[inline]
    pub(crate) fn wake(&self) {
        let home = self.home.load(Ordering::Acquire);
        // SAFETY: mailboxes are never freed.
        let Some(mailbox) = (unsafe { home.as_ref() }) else {
            return;
        };
        match Home::of_thread() {
            Some(here) if ptr::eq(here.mailbox, mailbox) => here.wake(self),
            _ => self.post(mailbox),
        }
    }

    #[cold]
    fn post(&self, mailbox: &'static Mailbox) {
        if self.mail.claim() {
            let message = self.to_ref().into_raw();
            // SAFETY: within the block.
            let mail = unsafe { message.byte_add(offset_of!(Green, mail)) };
            // SAFETY: claimed just now (M1); the reference goes with it (M2).
            unsafe { mailbox.inbox.push(mail.cast()) };
            mailbox.bell.ring();
        }
    }

    /// `Thread::unpark`: a token that `park` takes.
    #[inline]
    pub(crate) fn give_token(&self) {
        self.token.store(true, Ordering::Release);
        match Home::of_thread() {
            // Its own worker calls: nothing happens at the same time.
            Some(here) if ptr::eq(here.mailbox, self.home()) => here.wake(self),
            _ => {
                // Pairs with the fence of `adopt`.
                fence(Ordering::SeqCst);
                self.wake();
            }
        }
    }

    /// Whether it is the calling OS thread that has to step it, by hand: also before it is taken in, and has a home.
    pub(crate) fn is_stepped_here(&self) -> bool {
        home::is_stepped_here(self.group())
    }

    /// The last reference is gone.
    pub(super) fn recycle(&self) {
        // SAFETY: nobody else has it (G1).
        if unsafe { (*self.rare.get()).is_some() } {
            self.drop_rare();
        }
        let home = Home::of_thread();
        blocks::give(NonNull::from(self), home.map(|home| &home.spare));
    }

    #[cold]
    fn drop_rare(&self) {
        // SAFETY: nobody else has it (G1).
        drop(unsafe { (*self.rare.get()).take() });
    }
}

impl Mailbox {
    /// Gives it back. Messages that come later are dropped by whoever gets it next.
    pub(crate) fn close(&'static self) {
        drop(self.bell.set_line(None));
        self.bell.awake();
        for mail in self.inbox.take() {
            drop(Green::from_mail(mail));
        }
        self.keep_spare();
    }
}
