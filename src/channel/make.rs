//! The functions that make channels.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::chan::UNBOUNDED;
use super::hub::Hub;
use super::select::polled::{Ask, At, Latch, Source, Ticker};
use super::{Receiver, Sender};
use crate::sys::clock;

/// A channel that holds at most `capacity` messages: a sender waits while it is full. With capacity 0 a sender waits for
/// a receiver, and hands it the message.
///
/// Memory is taken as messages come, so a large capacity costs nothing by itself.
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
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    // A limit that memory cannot reach is none, but it says so.
    open(capacity.min(UNBOUNDED - 1))
}

/// A channel that holds as many messages as memory does: senders never wait. Memory goes back as messages are
/// received.
///
/// ```
/// use rustlet::channel::unbounded;
///
/// let (sender, receiver) = unbounded();
/// sender.send("hello").unwrap();
/// assert_eq!(receiver.recv(), Ok("hello"));
/// ```
#[must_use]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    open(UNBOUNDED)
}

fn open<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let hub = Hub::open(capacity);
    (Sender::new(hub), Receiver::new(hub))
}

/// A receiver that gives one message, when `duration` has passed: the moment when it was due. Clones share it.
///
/// It is never disconnected, only empty again. It costs nothing while nobody waits for it. A duration beyond what an [`Instant`]
/// can say never passes.
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
#[must_use]
pub fn after(duration: Duration) -> Receiver<Instant> {
    match clock::instant().checked_add(duration) {
        Some(moment) => at(moment),
        None => never(),
    }
}

/// A receiver that gives one message, at `moment`: that moment. Otherwise as [`after`].
///
/// ```
/// use rustlet::channel::at;
/// use std::time::Instant;
///
/// let moment = Instant::now();
/// assert_eq!(at(moment).recv(), Ok(moment));
/// ```
#[must_use]
pub fn at(moment: Instant) -> Receiver<Instant> {
    Receiver::asking(Arc::new(At::new(moment)))
}

/// A receiver that never gives anything, and is never disconnected: for an arm of a [`select!`](crate::select) that is not wanted.
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
    Receiver::silent()
}

/// A receiver that gives a message every `duration`, the first when one has passed: the moment when it was due. Clones share them.
///
/// It holds one message at most: moments that nobody has received in time are left out, and the next is a `duration` after the
/// late one was received. Whoever waits for each gets them without drift. It costs nothing while nobody waits for it.
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
#[must_use]
pub fn tick(duration: Duration) -> Receiver<Instant> {
    match clock::instant().checked_add(duration) {
        Some(first) => Receiver::asking(Arc::new(Ticker::new(first, duration))),
        None => never(),
    }
}

/// Something that happens once: when the latch has been set, each `recv` of the receiver and its clones gives `Ok(())`, for ever.
#[allow(dead_code, reason = "for the ends of threads and of children")]
pub(crate) fn latch() -> (Latch, Receiver<()>) {
    let latch = Latch::new();
    let receiver = latch.receiver();
    (latch, receiver)
}

impl Latch {
    /// Ready from when it is set.
    pub(crate) fn receiver(&self) -> Receiver<()> {
        source(self.question())
    }
}

/// A receiver that gives `Ok(())` whenever the answer is yes.
#[allow(dead_code, reason = "for readiness of descriptors and the like")]
pub(crate) fn source(question: Arc<dyn Ask>) -> Receiver<()> {
    Receiver::asking(Arc::new(Source(question)))
}
