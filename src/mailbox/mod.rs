//! Mailboxes: channels with selective receive, as in Erlang.
//!
//! A channel returns the oldest message. A [`Mailbox`] returns the oldest message that the
//! receiver's predicate accepts, and leaves the others in order for later calls. So a conversation
//! can wait for its answer while other messages arrive.
//!
//! # Examples
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

// How it works. Each message has a number and is in a queue by its number, under a lock. The
// predicate is user code, which may take long, wait, panic, or use the mailbox: it is called
// without the lock. Meanwhile the message is *held*: it keeps its place in the queue, but other
// receivers do not find it.
//
// MB1. A place is `Full` (a message), `Held` (by a receiver that examines it) or `Empty`. Only the
//      holder changes a `Held` place, and always does: to `Empty` when it takes the message, to
//      `Full` when it does not, also when it unwinds.
// MB2. A receiver that waits has examined every message that was `Full` since its call began, or
//      has noted its number because it was `Held`. It is registered under the lock under which it
//      found nothing more. A thread that makes a place `Full`, or drops the last address, takes out
//      all registered receivers, under the lock, and wakes them.
// MB3. No user code runs under the lock: no predicate, no destructor, no wake-up.

mod state;

use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use self::state::{Search, State, Waiters};
use crate::channel::wait_limit::{WaitLimit, yield_point};
use crate::channel::{RecvError, RecvTimeoutError, SendError, TryRecvError};
use crate::green::budget::poll_budget_quietly;
use crate::green::completion::PackedWaiter;
use crate::green::{Reason, Unparker, Wait, park};
use crate::sync::wait::spin::Spin;
use crate::sys::clock;

struct Shared<M> {
    state: Spin<State<M>>,
    addresses: AtomicUsize,
}

impl<M> Shared<M> {
    fn has_addresses(&self) -> bool {
        // Acquire: pairs with the Release of an address that goes; what it has sent was seen under
        // the lock.
        self.addresses.load(Ordering::Acquire) > 0
    }
}

/// A message that a receiver examines (MB1).
struct HeldMessage<'a, M> {
    shared: &'a Shared<M>,
    number: u64,
    message: Option<M>,
}

impl<M> HeldMessage<'_, M> {
    fn take(mut self) -> Option<M> {
        let message = self.message.take();
        let mut state = self.shared.state.lock();
        state.free(self.number);
        // Receivers that wait for this message only, without an address, have nothing to wait for
        // now.
        let waiters = (!self.shared.has_addresses()).then(|| state.waiters());
        drop(state);
        waiters.into_iter().for_each(Waiters::wake);
        message
    }

    /// Puts the message back and holds the next one for `search`, under one lock.
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

impl<M> Drop for HeldMessage<'_, M> {
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

/// A registration, withdrawn on every path.
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

/// Reason why nothing was received.
enum ReceiveFailure {
    /// Within the time limit.
    Empty,
    /// And nothing can follow.
    Disconnected,
}

/// How long to wait.
enum ReceiveMode {
    Try,
    Wait(WaitLimit),
}

/// A mailbox: an unbounded channel with selective receive. Other threads send to its
/// [`address`](Mailbox::address).
///
/// Sending never waits. The mailbox is made for one receiver, which may be any thread, green or
/// not. If several receive, each message goes to one of them; which one, if several predicates
/// accept it, is unspecified.
///
/// Dropping the mailbox drops its messages; sending fails from then on.
///
/// # Examples
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
#[doc(alias = "actor")]
#[doc(alias = "inbox")]
pub struct Mailbox<M> {
    shared: Arc<Shared<M>>,
}

/// Sending side of a [`Mailbox`]; clone it, or share it, to send from several threads.
///
/// # Examples
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

// As for channels: an unwinding leaves no broken state in the library.
impl<M> UnwindSafe for Mailbox<M> {}
impl<M> RefUnwindSafe for Mailbox<M> {}
impl<M> UnwindSafe for Address<M> {}
impl<M> RefUnwindSafe for Address<M> {}

impl<M> Mailbox<M> {
    /// Creates an empty mailbox without addresses.
    ///
    /// # Examples
    ///
    /// ```
    /// let mailbox = rustlet::mailbox::Mailbox::<u8>::new();
    /// assert!(mailbox.is_empty());
    /// ```
    #[must_use]
    pub fn new() -> Mailbox<M> {
        Mailbox {
            shared: Arc::new(Shared {
                state: Spin::new(State::new()),
                addresses: AtomicUsize::new(0),
            }),
        }
    }

    /// Returns an address to send to.
    ///
    /// # Examples
    ///
    /// ```
    /// let mailbox = rustlet::mailbox::Mailbox::new();
    /// mailbox.address().send(1).unwrap();
    /// assert_eq!(mailbox.receive(), Ok(1));
    /// ```
    #[must_use]
    pub fn address(&self) -> Address<M> {
        Address::of(&self.shared)
    }

    /// Receives the oldest message, waiting for one if there is none.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no message and no address is left.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until a message arrives or the last address is dropped;
    /// blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; no message has been taken.
    ///
    /// # Examples
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

    /// Receives the oldest message that `accept` accepts, waiting for one if there is none. The
    /// others stay, in their order.
    ///
    /// `accept` is called once for each message, oldest first, then for new ones. It may wait or
    /// use this mailbox too; meanwhile other receivers do not see the message that it examines. If
    /// it panics, the message stays.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such message and no address is left. Other messages may be
    /// left.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; no message has been taken.
    ///
    /// # Examples
    ///
    /// ```
    /// let mailbox = rustlet::mailbox::Mailbox::new();
    /// let address = mailbox.address();
    /// (1..=3).for_each(|n| address.send(n).unwrap());
    /// assert_eq!(mailbox.receive_match(|n| n % 2 == 0), Ok(2));
    /// assert_eq!(mailbox.receive(), Ok(1));
    /// ```
    #[doc(alias = "selective receive")]
    #[track_caller]
    pub fn receive_match(&self, accept: impl FnMut(&M) -> bool) -> Result<M, RecvError> {
        self.find(
            accept,
            &ReceiveMode::Wait(WaitLimit::Never),
            Location::caller(),
        )
        .map_err(|_| RecvError)
    }

    /// Receives the oldest message if there is one. Does not wait.
    ///
    /// # Errors
    ///
    /// `Empty`: there is no message. `Disconnected`: there is none, and no address is left.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::TryRecvError;
    /// use rustlet::mailbox::Mailbox;
    ///
    /// let mailbox = Mailbox::new();
    /// let address = mailbox.address();
    /// assert_eq!(mailbox.try_receive(), Err(TryRecvError::Empty));
    /// address.send(1).unwrap();
    /// assert_eq!(mailbox.try_receive(), Ok(1));
    /// ```
    #[track_caller]
    pub fn try_receive(&self) -> Result<M, TryRecvError> {
        self.try_receive_match(|_| true)
    }

    /// Receives the oldest message that `accept` accepts, if there is one; otherwise like
    /// [`receive_match`](Mailbox::receive_match). Does not wait.
    ///
    /// # Errors
    ///
    /// `Empty`: there is no such message. `Disconnected`: there is none, and no address is left.
    ///
    /// # Examples
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
        self.find(accept, &ReceiveMode::Try, Location::caller())
            .map_err(|nothing| match nothing {
                ReceiveFailure::Empty => TryRecvError::Empty,
                ReceiveFailure::Disconnected => TryRecvError::Disconnected,
            })
    }

    /// Receives the oldest message, waiting for at most `timeout`; otherwise like
    /// [`receive`](Mailbox::receive).
    ///
    /// # Errors
    ///
    /// `Timeout`: the time has passed. `Disconnected`: there is no message and no address is left.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::RecvTimeoutError;
    /// use rustlet::mailbox::Mailbox;
    /// use std::time::Duration;
    ///
    /// let mailbox = Mailbox::<u8>::new();
    /// let _address = mailbox.address();
    /// let late = mailbox.receive_timeout(Duration::from_millis(1));
    /// assert_eq!(late, Err(RecvTimeoutError::Timeout));
    /// ```
    #[track_caller]
    pub fn receive_timeout(&self, timeout: Duration) -> Result<M, RecvTimeoutError> {
        self.find_until(|_| true, WaitLimit::For(timeout), Location::caller())
    }

    /// Receives the oldest message, waiting until `deadline` at the latest; otherwise like
    /// [`receive`](Mailbox::receive).
    ///
    /// # Errors
    ///
    /// As [`receive_timeout`](Mailbox::receive_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::RecvTimeoutError;
    /// use rustlet::mailbox::Mailbox;
    /// use std::time::Instant;
    ///
    /// let mailbox = Mailbox::<u8>::new();
    /// let _address = mailbox.address();
    /// assert_eq!(mailbox.receive_deadline(Instant::now()), Err(RecvTimeoutError::Timeout));
    /// ```
    #[track_caller]
    pub fn receive_deadline(&self, deadline: Instant) -> Result<M, RecvTimeoutError> {
        self.find_until(|_| true, WaitLimit::Until(deadline), Location::caller())
    }

    /// Receives the oldest message that `accept` accepts, waiting for at most `timeout`; otherwise
    /// like [`receive_match`](Mailbox::receive_match).
    ///
    /// # Errors
    ///
    /// `Timeout`: the time has passed. `Disconnected`: there is no such message and no address is
    /// left.
    ///
    /// # Examples
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
        self.find_until(accept, WaitLimit::For(timeout), Location::caller())
    }

    /// Receives the oldest message that `accept` accepts, waiting until `deadline` at the latest;
    /// otherwise like [`receive_match`](Mailbox::receive_match).
    ///
    /// # Errors
    ///
    /// As [`receive_match_timeout`](Mailbox::receive_match_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::mailbox::Mailbox;
    /// use std::time::Instant;
    ///
    /// let mailbox = Mailbox::new();
    /// mailbox.address().send(2).unwrap();
    /// assert_eq!(mailbox.receive_match_deadline(|&n| n == 2, Instant::now()), Ok(2));
    /// ```
    #[track_caller]
    pub fn receive_match_deadline(
        &self,
        accept: impl FnMut(&M) -> bool,
        deadline: Instant,
    ) -> Result<M, RecvTimeoutError> {
        self.find_until(accept, WaitLimit::Until(deadline), Location::caller())
    }

    /// Returns the number of messages.
    ///
    /// # Examples
    ///
    /// ```
    /// let mailbox = rustlet::mailbox::Mailbox::new();
    /// mailbox.address().send(1).unwrap();
    /// assert_eq!(mailbox.len(), 1);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn len(&self) -> usize {
        poll_budget_quietly(Location::caller());
        self.shared.state.lock().full
    }

    /// Returns `true` if there is no message.
    ///
    /// # Examples
    ///
    /// ```
    /// let mailbox = rustlet::mailbox::Mailbox::new();
    /// mailbox.address().send(1).unwrap();
    /// assert!(!mailbox.is_empty());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn find_until(
        &self,
        accept: impl FnMut(&M) -> bool,
        limit: WaitLimit,
        at: &'static Location<'static>,
    ) -> Result<M, RecvTimeoutError> {
        self.find(accept, &ReceiveMode::Wait(limit), at)
            .map_err(|nothing| match nothing {
                ReceiveFailure::Empty => RecvTimeoutError::Timeout,
                ReceiveFailure::Disconnected => RecvTimeoutError::Disconnected,
            })
    }

    fn find(
        &self,
        mut accept: impl FnMut(&M) -> bool,
        mode: &ReceiveMode,
        at: &'static Location<'static>,
    ) -> Result<M, ReceiveFailure> {
        yield_point(at);
        let shared = &*self.shared;
        let mut search = Search::default();
        let mut wait = None;
        loop {
            let mut state = shared.state.lock();
            if let Some((number, message)) = state.hold_next(&mut search) {
                drop(state);
                let mut held = HeldMessage {
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
            // Under the lock: messages of dropped addresses have been found.
            if search.passed.is_empty() && !shared.has_addresses() {
                return Err(ReceiveFailure::Disconnected);
            }
            let ReceiveMode::Wait(limit) = mode else {
                return Err(ReceiveFailure::Empty);
            };
            // The clock is read once, when the call has to wait.
            let wait =
                wait.get_or_insert_with(|| Wait::at(Reason::Receive, at).until(limit.tick()));
            if wait.deadline != clock::NEVER && clock::now() >= wait.deadline {
                return Err(ReceiveFailure::Empty);
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
        // Relaxed: it orders nothing; the caller has the mailbox or another address.
        shared.addresses.fetch_add(1, Ordering::Relaxed);
        Address {
            shared: Arc::clone(shared),
        }
    }

    /// Appends a message to the mailbox. Never waits for the receiver.
    ///
    /// # Errors
    ///
    /// Returns the message in the error if the mailbox was dropped.
    ///
    /// # Examples
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
        yield_point(Location::caller());
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

    /// Returns `true` if both send to the same mailbox.
    ///
    /// # Examples
    ///
    /// ```
    /// let mailbox = rustlet::mailbox::Mailbox::<u8>::new();
    /// assert!(mailbox.address().same_mailbox(&mailbox.address()));
    /// ```
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
