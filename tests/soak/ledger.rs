//! The outcome of each item that was ever sent: received once, or given back, or dropped by the
//! cancelled send.

use crate::watch::wrong;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};

/// The send has reported success.
const SENT: u8 = 1;
/// The send has returned it.
const BACK: u8 = 2;
/// The send was unwound.
const ENDED: u8 = 4;
/// A receiver has it.
const RECEIVED: u8 = 8;
const DROPPED: u8 = 16;
/// It may be dropped with its channel, which ends with its owner.
const LOOSE: u8 = 32;

pub(crate) struct Ledger {
    items: Vec<AtomicU8>,
    next: AtomicUsize,
}

/// An item to send.
pub(crate) struct Token {
    pub(crate) number: usize,
    ledger: Arc<Ledger>,
}

impl Drop for Token {
    fn drop(&mut self) {
        self.ledger.note(self.number, DROPPED);
    }
}

impl Token {
    /// Records its arrival.
    pub(crate) fn receive(self) {
        self.ledger.note(self.number, RECEIVED);
    }
}

/// The counts at the end of a round.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) received: usize,
    pub(crate) back: usize,
    pub(crate) ended: usize,
    pub(crate) loose: usize,
}

impl Ledger {
    pub(crate) fn new(items: usize) -> Arc<Ledger> {
        Arc::new(Ledger {
            items: (0..items).map(|_| AtomicU8::new(0)).collect(),
            next: AtomicUsize::new(0),
        })
    }

    fn note(&self, number: usize, what: u8) {
        let before = self.items[number].fetch_or(what, SeqCst);
        if before & what != 0 {
            wrong(&format!("item {number}: {what} twice, after {before:#b}"));
        }
    }

    /// Sends one that arrives, or is left in the channel until it is emptied.
    pub(crate) fn send(self: &Arc<Ledger>, send: impl FnOnce(Token) -> Result<(), Token>) {
        self.send_as(0, send);
    }

    /// Sends one through a channel that may end with it in the buffer.
    pub(crate) fn send_loose(self: &Arc<Ledger>, send: impl FnOnce(Token) -> Result<(), Token>) {
        self.send_as(LOOSE, send);
    }

    fn send_as(self: &Arc<Ledger>, class: u8, send: impl FnOnce(Token) -> Result<(), Token>) {
        struct Ends<'a>(&'a Ledger, usize, u8);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.note(self.1, self.2);
            }
        }
        let number = self.next.fetch_add(1, SeqCst);
        if number >= self.items.len() {
            return;
        }
        self.items[number].store(class, SeqCst);
        let mut ends = Ends(self, number, ENDED);
        let token = Token {
            number,
            ledger: Arc::clone(self),
        };
        ends.2 = match send(token) {
            Ok(()) => SENT,
            Err(back) => {
                if back.number != number {
                    wrong("another item was given back");
                }
                BACK
            }
        };
    }

    /// Checks the counts. No thread sends or receives any more, and the remaining channels were
    /// emptied.
    pub(crate) fn settle(&self) -> Count {
        let mut count = Count::default();
        let made = self.next.load(SeqCst).min(self.items.len());
        for (number, item) in self.items[..made].iter().enumerate() {
            let fate = item.load(SeqCst);
            let of = match (fate & !LOOSE, fate & LOOSE != 0) {
                (f, _) if f == SENT | RECEIVED | DROPPED => &mut count.received,
                (f, _) if f == BACK | DROPPED => &mut count.back,
                (f, _) if f == ENDED | DROPPED => &mut count.ended,
                (f, true) if f == SENT | DROPPED => &mut count.loose,
                (f, _) if f == SENT | DROPPED => {
                    wrong(&format!("item {number} was sent and is lost"))
                }
                (f, _) if f & DROPPED == 0 => {
                    wrong(&format!("item {number} is still alive: {f:#b}"))
                }
                (f, _) => wrong(&format!("item {number} has had a strange fate: {f:#b}")),
            };
            *of += 1;
        }
        count
    }
}
