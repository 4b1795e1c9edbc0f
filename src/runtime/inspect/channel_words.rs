//! Reads the state of a channel from its memory, for dumps. It takes no lock, and the channel may
//! be freed meanwhile.
//!
//! A wait for a channel records the channel's address (`ThreadInner::subject`). The words of a
//! channel and of a waiter are at fixed offsets, which `channel/core/chan.rs` asserts. They are
//! read one after the other while threads change them. So the values are only shown, and nothing
//! else depends on them.

use std::fmt;

use crate::sys::mem::Peek;

/// The offsets of the words, in words from the address of the channel or of a waiter.
pub(crate) mod words {
    /// The first waiter of the queue of receivers, or null.
    pub(crate) const RECEIVERS: usize = 0;
    /// The first waiter of the queue of senders, or null.
    pub(crate) const SENDERS: usize = 2;
    /// The capacity in messages; all bits are one if there is no limit.
    pub(crate) const CAPACITY: usize = 6;
    /// The number of messages in the channel.
    pub(crate) const LEN: usize = 10;
    /// The number of words to read from a channel.
    pub(crate) const COUNT: usize = 11;
    /// In a waiter: the waiter before it, or null.
    pub(crate) const PREVIOUS: usize = 0;
    /// In a waiter: the waiter behind it, or null.
    pub(crate) const NEXT: usize = 1;
}

/// State of a channel: its messages and the threads that wait for it. Part of a
/// [`WaitsFor`](super::registry::WaitsFor).
///
/// # Examples
///
/// ```
/// use rustlet::runtime::WaitsFor;
/// use std::time::Duration;
///
/// rustlet::run(|| {
///     let (sender, receiver) = rustlet::channel::bounded(1);
///     sender.send(1).unwrap();
///     let blocked = rustlet::spawn(move || sender.send(2).unwrap());
///     let state = loop {
///         let threads = rustlet::runtime::threads();
///         let states = threads.into_iter().filter_map(|thread| match thread.waits_for {
///             Some(WaitsFor::Channel { state, .. }) => state,
///             _ => None,
///         });
///         match states.last() {
///             Some(state) => break state,
///             None => rustlet::sleep(Duration::from_millis(1)),
///         }
///     };
///     assert_eq!((state.len, state.capacity, state.senders_waiting), (1, Some(1), 1));
///     assert_eq!(receiver.iter().collect::<Vec<_>>(), [1, 2]);
///     blocked.join().unwrap();
/// });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelState {
    /// Number of messages in the channel.
    pub len: usize,
    /// Number of messages that the channel may hold; `None` if there is no limit.
    pub capacity: Option<usize>,
    /// Number of threads that wait to send, including those in a select, and of tasks in
    /// `send_async`. At most 10,000 are counted.
    pub senders_waiting: usize,
    /// Number of threads that wait to receive, including those in a select. Tasks in `recv_async`
    /// are not counted. At most 10,000 are counted.
    pub receivers_waiting: usize,
}

impl fmt::Display for ChannelState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.len)?;
        match self.capacity {
            Some(capacity) => write!(f, " of {capacity} messages")?,
            None => write!(f, " messages")?,
        }
        for (count, what) in [
            (self.senders_waiting, "send"),
            (self.receivers_waiting, "receive"),
        ] {
            match count {
                0 => {}
                1 => write!(f, ", 1 thread waits to {what}")?,
                count => write!(f, ", {count} threads wait to {what}")?,
            }
        }
        Ok(())
    }
}

/// Returns the state of the channel at `address`. Returns `None` if the memory cannot be read, or
/// if the queues change during the read.
pub(super) fn read(peek: &mut Peek, address: usize) -> Option<ChannelState> {
    let channel = peek.words::<{ words::COUNT }>(address)?;
    let capacity = channel[words::CAPACITY];
    Some(ChannelState {
        len: channel[words::LEN],
        capacity: (capacity != usize::MAX).then_some(capacity),
        senders_waiting: count(peek, channel[words::SENDERS])?,
        receivers_waiting: count(peek, channel[words::RECEIVERS])?,
    })
}

/// Counts the waiters from `first` on. Each waiter points to the one before it, so memory that does
/// not belong to a waiter any more is detected; then the result is `None`.
fn count(peek: &mut Peek, first: usize) -> Option<usize> {
    const MAX_COUNTED: usize = 10_000;
    let (mut before, mut at) = (0, first);
    for count in 0..MAX_COUNTED {
        if at == 0 {
            return Some(count);
        }
        let waiter = peek.words::<2>(at)?;
        if waiter[words::PREVIOUS] != before {
            return None;
        }
        (before, at) = (at, waiter[words::NEXT]);
    }
    Some(MAX_COUNTED)
}
