//! The slot of a [`oneshot`](crate::sync::oneshot) channel: one value and its waiters.
//!
//! OS1. Everything is under one lock. Values of the user are dropped outside of it.
//! OS2. The event that ends a wait, the value or the end of the sender, wakes all waiters; the
//!      first to take the value gets it, and there is no other.

use crate::sync::wait::spin::Spin;
use crate::sync::wait::wait_in_queue::{Ended, QueuePosition, Sleep, wait_in_queue, wake_some};
use crate::sync::wait::wait_queue::WaitQueue;

/// See the module documentation.
pub(crate) struct RawOneshot<T, S> {
    state: Spin<State<T, S>>,
}

struct State<T, S> {
    value: Option<T>,
    /// The sender has sent or was dropped.
    sender_done: bool,
    receiver_closed: bool,
    waiters: WaitQueue<S>,
}

/// The result of a receive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received<T> {
    Value(T),
    /// Nothing yet.
    Nothing,
    /// Nothing, and no value can follow.
    Never,
    /// The receiver was cancelled while it waited.
    Cancelled,
}

impl<T, S: Sleep> RawOneshot<T, S> {
    pub(crate) fn new() -> RawOneshot<T, S> {
        RawOneshot {
            state: Spin::new(State {
                value: None,
                sender_done: false,
                receiver_closed: false,
                waiters: WaitQueue::new(),
            }),
        }
    }

    /// Sends the value; called once.
    pub(crate) fn send(&self, value: T) -> Result<(), T> {
        let mut state = self.state.lock();
        state.sender_done = true;
        if state.receiver_closed {
            return Err(value);
        }
        state.value = Some(value);
        wake_some(&self.state, state, |state| &mut state.waiters, usize::MAX);
        Ok(())
    }

    /// Called when the sender is dropped without having sent.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.lock();
        state.sender_done = true;
        wake_some(&self.state, state, |state| &mut state.waiters, usize::MAX);
    }

    /// Rejects what is sent from now on.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.receiver_closed = true;
        wake_some(&self.state, state, |state| &mut state.waiters, usize::MAX);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().receiver_closed
    }

    /// Returns whether a receiver will never wait again.
    pub(crate) fn is_done(&self) -> bool {
        let state = self.state.lock();
        state.sender_done || state.receiver_closed
    }

    /// Takes the value if it is there.
    pub(crate) fn try_receive(&self) -> Received<T> {
        self.state.lock().take()
    }

    /// Waits for the value; returns `Nothing` if the deadline passed first.
    pub(crate) fn receive(&self, wait: &S::Wait) -> Received<T> {
        loop {
            let mut state = self.state.lock();
            match state.take() {
                Received::Nothing => {}
                found => return found,
            }
            let ended = wait_in_queue(
                &self.state,
                state,
                |state| &mut state.waiters,
                &QueuePosition::BACK,
                wait,
                || {},
                |_| {},
            );
            match ended {
                Ended::Dequeued => {}
                Ended::Elapsed => return Received::Nothing,
                Ended::Cancelled => return Received::Cancelled,
            }
        }
    }
}

impl<T, S> State<T, S> {
    fn take(&mut self) -> Received<T> {
        match self.value.take() {
            Some(value) => Received::Value(value),
            None if self.sender_done || self.receiver_closed => Received::Never,
            None => Received::Nothing,
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::wait::wait_in_queue::model::{Model, Until, check};
    use loom::sync::Arc;
    use loom::thread;

    type Channel = RawOneshot<u32, Model>;

    #[test]
    fn loom_oneshot_is_received() {
        check(None, || {
            let channel = Arc::new(Channel::new());
            let sender = channel.clone();
            let sender = thread::spawn(move || sender.send(7));
            assert_eq!(channel.receive(&Until::Dequeued), Received::Value(7));
            assert_eq!(channel.receive(&Until::Dequeued), Received::Never);
            assert_eq!(sender.join().unwrap(), Ok(()));
        });
    }

    /// A value is sent to a receiver that gives up and closes: the receiver has it, or the sender
    /// gets it back.
    #[test]
    fn loom_oneshot_is_received_or_comes_back() {
        check(None, || {
            let channel = Arc::new(Channel::new());
            let sender = channel.clone();
            let sender = thread::spawn(move || sender.send(7));
            let mut got = channel.receive(&Until::GivesUp);
            channel.close();
            if got == Received::Nothing {
                got = channel.try_receive();
            }
            match sender.join().unwrap() {
                Ok(()) => assert_eq!(got, Received::Value(7)),
                Err(value) => assert_eq!((value, got), (7, Received::Never)),
            }
        });
    }

    #[test]
    fn loom_oneshot_is_abandoned() {
        check(None, || {
            let channel = Arc::new(Channel::new());
            let sender = channel.clone();
            let sender = thread::spawn(move || sender.abandon());
            assert_eq!(channel.receive(&Until::Dequeued), Received::Never);
            sender.join().unwrap();
        });
    }
}
