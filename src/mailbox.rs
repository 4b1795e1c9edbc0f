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

use std::collections::VecDeque;
use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::channel::limit::{Limit, give_way};
use crate::channel::{RecvError, RecvTimeoutError, SendError, TryRecvError};
use crate::green::completion::Waiter;
use crate::green::{Reason, Unparker, Wait, park};
use crate::sync::spin::Spin;
use crate::sys::clock;

/// A place in the queue (MB1).
enum Place<M> {
    Here(M),
    Held,
    Gone,
}

struct State<M> {
    /// By number, which grows.
    places: VecDeque<(u64, Place<M>)>,
    next: u64,
    here: usize,
    gone: usize,
    closed: bool,
    /// Those who wait: as a rule one.
    waiter: Option<Unparker>,
    more_waiters: Vec<Unparker>,
}

/// Whom to wake when the lock is released.
#[must_use]
struct Waiters(Option<Unparker>, Vec<Unparker>);

impl Waiters {
    fn wake(self) {
        self.0.into_iter().chain(self.1).for_each(|w| w.unpark());
    }
}

impl<M> State<M> {
    fn waiters(&mut self) -> Waiters {
        Waiters(self.waiter.take(), std::mem::take(&mut self.more_waiters))
    }

    fn register(&mut self, waiter: Unparker) {
        match &self.waiter {
            None => self.waiter = Some(waiter),
            Some(_) => self.more_waiters.push(waiter),
        }
    }

    /// A waiter goes by itself; it may have been taken out before.
    fn withdraw(&mut self, word: usize) -> Option<Unparker> {
        let is_it = |waiter: &Unparker| waiter.word() == word;
        if self.waiter.as_ref().is_some_and(is_it) {
            return self.waiter.take();
        }
        let found = self.more_waiters.iter().position(is_it);
        found.map(|index| self.more_waiters.swap_remove(index))
    }

    fn index_of(&self, number: u64) -> Option<usize> {
        self.places
            .binary_search_by_key(&number, |place| place.0)
            .ok()
    }

    /// Takes the message at `index` out, if it is there; its place is held.
    fn hold(&mut self, index: usize) -> Option<M> {
        let place = &mut self.places[index].1;
        match std::mem::replace(place, Place::Held) {
            Place::Here(message) => {
                self.here -= 1;
                Some(message)
            }
            other => {
                *place = other;
                None
            }
        }
    }

    /// The next message that `search` has not asked about, with its number.
    fn hold_next(&mut self, search: &mut Search) -> Option<(u64, M)> {
        // First those that somebody else held when the search came by.
        let mut passed = 0;
        while let Some(&number) = search.passed.get(passed) {
            let index = self.index_of(number);
            match index.map(|index| (index, &self.places[index].1)) {
                Some((_, Place::Held)) => passed += 1,
                None | Some((_, Place::Gone)) => drop(search.passed.remove(passed)),
                Some((index, Place::Here(_))) => {
                    search.passed.remove(passed);
                    return self.hold(index).map(|message| (number, message));
                }
            }
        }
        if self.here == 0 {
            // What is held now is put back under a number that has to be noted, so it is not skipped.
            search.pass_held(self);
            return None;
        }
        let mut index = self.places.partition_point(|place| place.0 < search.from);
        while let Some((number, place)) = self.places.get(index) {
            let number = *number;
            search.from = number + 1;
            match place {
                Place::Here(_) => return self.hold(index).map(|message| (number, message)),
                Place::Held => search.passed.push(number),
                Place::Gone => {}
            }
            index += 1;
        }
        None
    }

    /// A message that was in hand is there again. Its place is, too: who asks about it has the mailbox (MB1).
    fn put_back(&mut self, number: u64, message: Option<M>) {
        if let Some(index) = self.index_of(number)
            && let Some(message) = message
        {
            self.places[index].1 = Place::Here(message);
            self.here += 1;
        }
    }

    /// The place of a message that was taken is free; gives memory back as places go.
    fn free(&mut self, number: u64) {
        if let Some(index) = self.index_of(number) {
            self.places[index].1 = Place::Gone;
            self.gone += 1;
        }
        while let Some((_, Place::Gone)) = self.places.front() {
            self.places.pop_front();
            self.gone -= 1;
        }
        // Holes in the middle, when they are the larger part: each removal pays for one of them.
        if self.gone > self.places.len() / 2 && self.gone > 32 {
            self.places.retain(|place| !matches!(place.1, Place::Gone));
            self.gone = 0;
        }
        if self.places.capacity() > 64 && self.places.len() < self.places.capacity() / 4 {
            self.places.shrink_to(self.places.len() * 2);
        }
    }
}

/// How far a question has come.
#[derive(Default)]
struct Search {
    /// The first number that was not looked at.
    from: u64,
    /// Numbers before it that somebody else held.
    passed: Vec<u64>,
}

impl Search {
    /// Goes on to the end of a queue in which nothing is `Here`.
    fn pass_held<M>(&mut self, state: &State<M>) {
        if self.from < state.next && !state.places.is_empty() {
            let first = state.places.partition_point(|place| place.0 < self.from);
            let rest = state.places.range(first..);
            let held = rest.filter(|place| matches!(place.1, Place::Held));
            self.passed.extend(held.map(|place| place.0));
        }
        self.from = state.next;
    }
}

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
                state: Spin::new(State {
                    places: VecDeque::new(),
                    next: 0,
                    here: 0,
                    gone: 0,
                    closed: false,
                    waiter: None,
                    more_waiters: Vec::new(),
                }),
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
    pub fn len(&self) -> usize {
        self.shared.state.lock().here
    }

    /// Whether no message is there.
    #[must_use]
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
        state.closed = true;
        let left = std::mem::take(&mut state.places);
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
        let number = state.next;
        state.next += 1;
        state.here += 1;
        state.places.push_back((number, Place::Here(message)));
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
