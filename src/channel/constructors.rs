//! Functions that create channels and receivers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::chan::UNBOUNDED;
use super::counter::Counter;
use super::select::poll_source::{At, Latch, LevelAdapter, LevelSource, Ticker};
use super::{Receiver, Sender};
use crate::sys::clock;

/// Creates a channel that holds at most `capacity` messages: senders wait while it is full. With
/// capacity 0 each send waits for a receive.
///
/// Memory is allocated as messages arrive, so a large capacity costs nothing by itself.
///
/// # Examples
///
/// ```
/// use rustlet::channel::bounded;
///
/// rustlet::run(|| {
///     let (sender, receiver) = bounded(0);
///     rustlet::spawn(move || sender.send("from hand to hand").unwrap());
///     assert_eq!(receiver.recv(), Ok("from hand to hand"));
/// });
/// ```
#[doc(alias = "chan")]
#[doc(alias = "make")]
#[doc(alias = "sync_channel")]
#[doc(alias = "rendezvous")]
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    // A limit that memory cannot reach is none, but the channel reports it.
    open(capacity.min(UNBOUNDED - 1))
}

/// Creates a channel without a capacity limit: senders never wait. Memory is released as messages
/// are received.
///
/// # Examples
///
/// ```
/// use rustlet::channel::unbounded;
///
/// let (sender, receiver) = unbounded();
/// sender.send("hello").unwrap();
/// assert_eq!(receiver.recv(), Ok("hello"));
/// ```
#[doc(alias = "unbounded_channel")]
#[doc(alias = "chan")]
#[must_use]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    open(UNBOUNDED)
}

fn open<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let counter = Counter::open(capacity);
    (Sender::new(counter), Receiver::new(counter))
}

/// Returns a receiver of one message, after `duration`: the moment at which it was due. Clones
/// share the message.
///
/// The receiver is never disconnected; after the message it is empty again. It costs nothing while
/// no thread waits for it. A duration beyond the range of [`Instant`] never passes.
///
/// # Examples
///
/// ```
/// use rustlet::channel::{after, select, unbounded};
/// use std::time::Duration;
///
/// rustlet::run(|| {
///     let (_sender, receiver) = unbounded::<()>();
///     select! {
///         recv(receiver) -> _ => unreachable!(),
///         recv(after(Duration::from_millis(1))) -> _ => println!("nothing came"),
///     }
/// });
/// ```
#[doc(alias = "timer")]
#[doc(alias = "sleep")]
#[doc(alias = "timeout")]
#[must_use]
pub fn after(duration: Duration) -> Receiver<Instant> {
    match clock::instant().checked_add(duration) {
        Some(moment) => at(moment),
        None => never(),
    }
}

/// Returns a receiver of one message, at `moment`: that moment. Otherwise like [`after`].
///
/// # Examples
///
/// ```
/// use rustlet::channel::at;
/// use std::time::Instant;
///
/// let moment = Instant::now();
/// assert_eq!(at(moment).recv(), Ok(moment));
/// ```
#[doc(alias = "deadline")]
#[doc(alias = "sleep_until")]
#[must_use]
pub fn at(moment: Instant) -> Receiver<Instant> {
    Receiver::from_source(Arc::new(At::new(moment)))
}

/// Returns a receiver that never gets a message and is never disconnected: for an arm of a
/// [`select!`](crate::select) that is disabled.
///
/// # Examples
///
/// ```
/// use rustlet::channel::{after, never, select};
/// use std::time::Duration;
///
/// # let limit = Some(Duration::from_millis(1));
/// let timer = limit.map(after).unwrap_or(never());
/// select! {
///     recv(timer) -> _ => {}
/// }
/// ```
#[must_use]
pub const fn never<T>() -> Receiver<T> {
    Receiver::never()
}

/// Returns a receiver of periodic messages, the first after `duration`: the moments at which they
/// were due. Clones share the messages.
///
/// It holds one message at most. Missed ticks are dropped, and after a late receive the next tick
/// comes `duration` later. A thread that waits for each tick gets them without drift. It costs
/// nothing while no thread waits for it.
///
/// # Examples
///
/// ```
/// use rustlet::channel::tick;
/// use std::time::Duration;
///
/// rustlet::run(|| {
///     let ticks = tick(Duration::from_millis(1));
///     let (first, second) = (ticks.recv().unwrap(), ticks.recv().unwrap());
///     assert!(second - first >= Duration::from_millis(1));
/// });
/// ```
#[doc(alias = "interval")]
#[doc(alias = "NewTicker")]
#[doc(alias = "Ticker")]
#[must_use]
pub fn tick(duration: Duration) -> Receiver<Instant> {
    match clock::instant().checked_add(duration) {
        Some(first) => Receiver::from_source(Arc::new(Ticker::new(first, duration))),
        None => never(),
    }
}

/// Creates a one-time event: once the latch is set, each `recv` of the receiver and its clones
/// returns `Ok(())`, forever.
#[allow(dead_code, reason = "for the ends of threads and of children")]
pub(crate) fn latch() -> (Latch, Receiver<()>) {
    let latch = Latch::new();
    let receiver = latch.receiver();
    (latch, receiver)
}

impl Latch {
    /// Returns a receiver that is ready once the latch is set.
    pub(crate) fn receiver(&self) -> Receiver<()> {
        source(self.source())
    }
}

/// Creates a receiver that yields `Ok(())` whenever `source` is ready.
#[allow(dead_code, reason = "for readiness of descriptors and the like")]
pub(crate) fn source(source: Arc<dyn LevelSource>) -> Receiver<()> {
    Receiver::from_source(Arc::new(LevelAdapter(source)))
}
