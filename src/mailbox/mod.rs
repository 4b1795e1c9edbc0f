//! Mailboxes: messages that are received by choice, not only in the order in which they came.
//!
//! A channel gives what came first. A [`Mailbox`] gives the first message that the receiver's question says yes to, and leaves the
//! others where they are, in order, for later questions: Erlang's selective receive. So a conversation can wait for its
//! answer while other messages arrive.
//!
//! ```
//! use rustlet::mailbox::Mailbox;
//!
//! enum Message {
//!     Answer(u32),
//!     Chatter(&'static str),
//! }
//!
//! rustlet::run(|| {
//!     let mailbox = Mailbox::new();
//!     let address = mailbox.address();
//!     rustlet::spawn(move || {
//!         address.send(Message::Chatter("by the way")).unwrap();
//!         address.send(Message::Answer(42)).unwrap();
//!     });
//!     let answer = mailbox.receive_match(|message| matches!(message, Message::Answer(_)));
//!     assert!(matches!(answer, Ok(Message::Answer(42))));
//!     assert!(matches!(mailbox.receive(), Ok(Message::Chatter("by the way"))));
//! });
//! ```
//!
//! How it is done. Each message has a number, and stands in a queue by its number, under a lock. The question is code of the user's, which may
//! take long, wait, panic, or use the mailbox: it is asked under no lock. For that long the message is *held*: it keeps its
//! place in the queue, but nobody else finds it.
//!
//! MB1. A place is `Here` (a message), `Held` (by the one who asks about it) or `Gone`. Only the holder changes a `Held` place, and
//!      does: to `Gone` when it takes the message, to `Here` when it does not, unwinding included.
//! MB2. A receiver that waits has asked about every message that was `Here` since its question began, or has noted its number
//!      because it was `Held`. It is registered under the lock under which it found nothing more. Whoever makes a place
//!      `Here`, or drops the last address, takes all that are registered out, under the lock, and wakes them.
//! MB3. Under the lock no code of the user's runs: no question, no destructor, no wake-up.

mod state;

use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use self::state::{Search, State, Waiters};
use crate::channel::limit::{Limit, give_way};
use crate::channel::{RecvError, RecvTimeoutError, SendError, TryRecvError};
use crate::green::budget::spend_quietly;
use crate::green::completion::Waiter;
use crate::green::{Reason, Unparker, Wait, park};
use crate::sync::wait::spin::Spin;
use crate::sys::clock;

struct Shared<M> {
    state: Spin<State<M>>,
    addresses: AtomicUsize,
}

impl<M> Shared<M> {
    fn has_addresses(&self) -> bool {
        // Acquire: pairs with the Release of an address that goes; what it has sent was seen under the lock.
        self.addresses.load(Ordering::Acquire) > 0
    }
}

/// A message that somebody is asked about (MB1).
struct Held<'a, M> {
    shared: &'a Shared<M>,
    number: u64,
    message: Option<M>,
}

impl<M> Held<'_, M> {
    fn take(mut self) -> Option<M> {
        let message = self.message.take();
        let mut state = self.shared.state.lock();
        state.free(self.number);
        // Who waits for this one only, and for no address, has nothing to wait for now.
        let waiters = (!self.shared.has_addresses()).then(|| state.waiters());
        drop(state);
        waiters.into_iter().for_each(Waiters::wake);
        message
    }

    /// It stays, and `search` goes on: with the next message in hand, under one lock.
    fn exchange(&mut self, search: &mut Search) {
        let message = self.message.take();
        let mut state = self.shared.state.lock();
        state.put_back(self.number, message);
        let waiters = state.waiters();
        if let Some((number, message)) = state.hold_next(search) {
            self.number = number;
            self.message = Some(message);
        }
        drop(state);
        waiters.wake();
    }
}

impl<M> Drop for Held<'_, M> {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            let mut state = self.shared.state.lock();
            state.put_back(self.number, Some(message));
            let waiters = state.waiters();
            drop(state);
            waiters.wake();
        }
    }
}

/// A registration, withdrawn on every way out.
struct Registered<'a, M> {
    shared: &'a Shared<M>,
    word: usize,
}

impl<M> Drop for Registered<'_, M> {
    fn drop(&mut self) {
        let gone = self.shared.state.lock().withdraw(self.word);
        drop(gone);
    }
}

/// Why nothing was received.
enum Nothing {
    /// In time.
    YetThere,
    /// Nor will be.
    Ever,
}

/// How long to wait.
enum Patience {
    None,
    Limited(Limit),
}

/// Messages that are received by choice. Its [`address`](Mailbox::address)es are what others send to.
///
/// It has no limit: sending never waits. It is made for one receiver, which may be any thread, green or not. If several receive, each
/// message goes to one, and to whom, if several questions say yes to it, is not said.
///
/// Dropping it drops what it holds; sending is an error from then on.
///
/// ```
/// use rustlet::mailbox::Mailbox;
///
/// let mailbox = Mailbox::new();
/// let address = mailbox.address();
/// for number in 1..=4 {
///     address.send(number).unwrap();
/// }
/// assert_eq!(mailbox.receive_match(|number| number % 2 == 0), Ok(2));
/// assert_eq!(mailbox.receive_match(|number| *number > 2), Ok(3));
/// assert_eq!(mailbox.receive(), Ok(1));
/// assert_eq!(mailbox.receive(), Ok(4));
/// ```
pub struct Mailbox<M> {
    shared: Arc<Shared<M>>,
}

/// Where to send messages for a [`Mailbox`]. Clone it to send from several threads, or share it.
///
/// ```
/// use rustlet::mailbox::{Address, Mailbox};
///
/// fn report(to: &Address<String>) {
///     to.send("done".to_string()).unwrap();
/// }
///
/// let mailbox = Mailbox::new();
/// report(&mailbox.address());
/// assert_eq!(mailbox.receive().unwrap(), "done");
/// ```
pub struct Address<M> {
    shared: Arc<Shared<M>>,
}

// As channels: nothing of the library's is left half done by an unwinding.
impl<M> UnwindSafe for Mailbox<M> {}
impl<M> RefUnwindSafe for Mailbox<M> {}
impl<M> UnwindSafe for Address<M> {}
impl<M> RefUnwindSafe for Address<M> {}

impl<M> Mailbox<M> {
    /// An empty one, without addresses.
    #[must_use]
    pub fn new() -> Mailbox<M> {
        Mailbox {
            shared: Arc::new(Shared {
                state: Spin::new(State::new()),
                addresses: AtomicUsize::new(0),
            }),
        }
    }

    /// An address of it.
    #[must_use]
    pub fn address(&self) -> Address<M> {
        Address::of(&self.shared)
    }

    /// Receives the message that came first, and waits for one if there is none.
    ///
    /// # Errors
    ///
    /// There is no message, and no address is left that one could be sent to.
    ///
    /// # Cancellation
    ///
    /// The wait may unwind; no message has been taken then.
    ///
    /// ```
    /// use rustlet::mailbox::Mailbox;
    ///
    /// rustlet::run(|| {
    ///     let mailbox = Mailbox::new();
    ///     let address = mailbox.address();
    ///     rustlet::spawn(move || address.send("hello").unwrap());
    ///     assert_eq!(mailbox.receive(), Ok("hello"));
    ///     assert!(mailbox.receive().is_err()); // its address is gone
    /// });
    /// ```
    #[track_caller]
    pub fn receive(&self) -> Result<M, RecvError> {
        self.receive_match(|_| true)
    }

    /// Receives the first message that `accept` says yes to, and waits for one if there is none. The others stay, in their order.
    ///
    /// `accept` is asked once about each message, oldest first, then about those that come. It may do what it likes, wait
    /// or use this mailbox too; meanwhile the message that it is asked about is not there for others. If it panics, the message stays.
    ///
    /// # Errors
    ///
    /// There is no such message, and no address is left that one could be sent to. Other messages may be left.
    ///
    /// # Cancellation
    ///
    /// The wait may unwind; no message has been taken then.
    #[track_caller]
    pub fn receive_match(&self, accept: impl FnMut(&M) -> bool) -> Result<M, RecvError> {
        self.find(accept, &Patience::Limited(Limit::Never), Location::caller())
            .map_err(|_| RecvError)
    }

    /// As [`receive`](Mailbox::receive), without waiting.
    ///
    /// # Errors
    ///
    /// There is no message; the error says whether one may still come.
    #[track_caller]
    pub fn try_receive(&self) -> Result<M, TryRecvError> {
        self.try_receive_match(|_| true)
    }

    /// As [`receive_match`](Mailbox::receive_match), without waiting.
    ///
    /// # Errors
    ///
    /// There is no such message; the error says whether one may still come.
    ///
    /// ```
    /// use rustlet::channel::TryRecvError;
    /// use rustlet::mailbox::Mailbox;
    ///
    /// let mailbox = Mailbox::new();
    /// let address = mailbox.address();
    /// address.send('a').unwrap();
    /// assert_eq!(mailbox.try_receive_match(|&c| c == 'b'), Err(TryRecvError::Empty));
    /// drop(address);
    /// assert_eq!(mailbox.try_receive_match(|&c| c == 'b'), Err(TryRecvError::Disconnected));
    /// assert_eq!(mailbox.try_receive(), Ok('a'));
    /// ```
    #[track_caller]
    pub fn try_receive_match(&self, accept: impl FnMut(&M) -> bool) -> Result<M, TryRecvError> {
        self.find(accept, &Patience::None, Location::caller())
            .map_err(|nothing| match nothing {
                Nothing::YetThere => TryRecvError::Empty,
                Nothing::Ever => TryRecvError::Disconnected,
            })
    }

    /// As [`receive`](Mailbox::receive), and waits for at most `timeout`.
    ///
    /// # Errors
    ///
    /// The time is up, or there is no message and no address is left.
    #[track_caller]
    pub fn receive_timeout(&self, timeout: Duration) -> Result<M, RecvTimeoutError> {
        self.find_until(|_| true, Limit::For(timeout), Location::caller())
    }

    /// As [`receive`](Mailbox::receive), and waits until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`receive_timeout`](Mailbox::receive_timeout).
    #[track_caller]
    pub fn receive_deadline(&self, deadline: Instant) -> Result<M, RecvTimeoutError> {
        self.find_until(|_| true, Limit::Until(deadline), Location::caller())
    }

    /// As [`receive_match`](Mailbox::receive_match), and waits for at most `timeout`.
    ///
    /// # Errors
    ///
    /// The time is up, or there is no such message and no address is left.
    ///
    /// ```
    /// use rustlet::channel::RecvTimeoutError;
    /// use rustlet::mailbox::Mailbox;
    /// use std::time::Duration;
    ///
    /// let mailbox = Mailbox::new();
    /// let address = mailbox.address();
    /// address.send(1).unwrap();
    /// let late = mailbox.receive_match_timeout(|&n| n == 2, Duration::from_millis(1));
    /// assert_eq!(late, Err(RecvTimeoutError::Timeout));
    /// ```
    #[track_caller]
    pub fn receive_match_timeout(
        &self,
        accept: impl FnMut(&M) -> bool,
        timeout: Duration,
    ) -> Result<M, RecvTimeoutError> {
        self.find_until(accept, Limit::For(timeout), Location::caller())
    }

    /// As [`receive_match`](Mailbox::receive_match), and waits until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`receive_match_timeout`](Mailbox::receive_match_timeout).
    #[track_caller]
    pub fn receive_match_deadline(
        &self,
        accept: impl FnMut(&M) -> bool,
        deadline: Instant,
    ) -> Result<M, RecvTimeoutError> {
        self.find_until(accept, Limit::Until(deadline), Location::caller())
    }

    /// How many messages are there.
    #[must_use]
    #[track_caller]
    pub fn len(&self) -> usize {
        spend_quietly(Location::caller());
        self.shared.state.lock().here
    }

    /// Whether no message is there.
    #[must_use]
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn find_until(
        &self,
        accept: impl FnMut(&M) -> bool,
        limit: Limit,
        at: &'static Location<'static>,
    ) -> Result<M, RecvTimeoutError> {
        self.find(accept, &Patience::Limited(limit), at)
            .map_err(|nothing| match nothing {
                Nothing::YetThere => RecvTimeoutError::Timeout,
                Nothing::Ever => RecvTimeoutError::Disconnected,
            })
    }

    fn find(
        &self,
        mut accept: impl FnMut(&M) -> bool,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<M, Nothing> {
        give_way(at);
        let shared = &*self.shared;
        let mut search = Search::default();
        let mut wait = None;
        loop {
            let mut state = shared.state.lock();
            if let Some((number, message)) = state.hold_next(&mut search) {
                drop(state);
                let mut held = Held {
                    shared,
                    number,
                    message: Some(message),
                };
                while let Some(message) = &held.message {
                    if !accept(message) {
                        held.exchange(&mut search);
                    } else if let Some(message) = held.take() {
                        return Ok(message);
                    } else {
                        break;
                    }
                }
                continue;
            }
            // Under the lock: what addresses that are gone have sent was found.
            if search.passed.is_empty() && !shared.has_addresses() {
                return Err(Nothing::Ever);
            }
            let Patience::Limited(limit) = patience else {
                return Err(Nothing::YetThere);
            };
            // The clock is read when there is something to wait for, once.
            let wait =
                wait.get_or_insert_with(|| Wait::at(Reason::Receive, at).until(limit.tick()));
            if wait.deadline != clock::NEVER && clock::now() >= wait.deadline {
                return Err(Nothing::YetThere);
            }
            let waiter = Unparker::current();
            let word = waiter.word();
            state.register(waiter);
            drop(state);
            let _registered = Registered { shared, word };
            park(wait);
        }
    }
}

impl<M> Default for Mailbox<M> {
    fn default() -> Mailbox<M> {
        Mailbox::new()
    }
}

impl<M> Drop for Mailbox<M> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        let left = state.close();
        drop(state);
        drop(left);
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Mailbox { .. }")
    }
}

impl<M> Address<M> {
    fn of(shared: &Arc<Shared<M>>) -> Address<M> {
        // Relaxed: it carries nothing; who makes one has the mailbox or another address.
        shared.addresses.fetch_add(1, Ordering::Relaxed);
        Address {
            shared: Arc::clone(shared),
        }
    }

    /// Puts a message at the end of the mailbox. Never waits for the receiver.
    ///
    /// # Errors
    ///
    /// The mailbox is gone. The message comes back in the error.
    ///
    /// ```
    /// use rustlet::channel::SendError;
    /// use rustlet::mailbox::Mailbox;
    ///
    /// let mailbox = Mailbox::new();
    /// let address = mailbox.address();
    /// drop(mailbox);
    /// assert_eq!(address.send(5), Err(SendError(5)));
    /// ```
    #[track_caller]
    pub fn send(&self, message: M) -> Result<(), SendError<M>> {
        give_way(Location::caller());
        let mut state = self.shared.state.lock();
        if state.closed {
            return Err(SendError(message));
        }
        state.push(message);
        let waiters = state.waiters();
        drop(state);
        waiters.wake();
        Ok(())
    }

    /// Whether both are of the same mailbox.
    #[must_use]
    pub fn same_mailbox(&self, other: &Address<M>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<M> Clone for Address<M> {
    fn clone(&self) -> Address<M> {
        Address::of(&self.shared)
    }
}

impl<M> Drop for Address<M> {
    fn drop(&mut self) {
        // Release: pairs with `has_addresses`.
        if self.shared.addresses.fetch_sub(1, Ordering::Release) == 1 {
            let waiters = self.shared.state.lock().waiters();
            waiters.wake();
        }
    }
}

impl<M> fmt::Debug for Address<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Address { .. }")
    }
}
