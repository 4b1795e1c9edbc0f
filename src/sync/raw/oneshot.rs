//! The place of a [`oneshot`](crate::sync::oneshot) channel: one value, and who waits for it.
//!
//! OS1. All is under one lock. Values of the user are dropped outside of it.
//! OS2. What ends a wait, the value or the end of the sender, wakes all that wait; the value goes to the one that takes it
//!      first, and there is no other.

use crate::sync::wait::line::Line;
use crate::sync::wait::spin::Spin;
use crate::sync::wait::stand::{Ended, Place, Sleep, stand, wake_some};

/// See the module's text.
pub(crate) struct RawOneshot<T, S> {
    state: Spin<State<T, S>>,
}

struct State<T, S> {
    value: Option<T>,
    /// It has sent, or is gone.
    sender_done: bool,
    receiver_closed: bool,
    line: Line<S>,
}

/// What a receiver finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received<T> {
    Value(T),
    /// Nothing yet.
    Nothing,
    /// Nothing, and nothing will come.
    Never,
    /// It was cancelled while it waited.
    Cancelled,
}

impl<T, S: Sleep> RawOneshot<T, S> {
    pub(crate) fn new() -> RawOneshot<T, S> {
        RawOneshot {
            state: Spin::new(State {
                value: None,
                sender_done: false,
                receiver_closed: false,
                line: Line::new(),
            }),
        }
    }

    /// The sender, once.
    pub(crate) fn send(&self, value: T) -> Result<(), T> {
        let mut state = self.state.lock();
        state.sender_done = true;
        if state.receiver_closed {
            return Err(value);
        }
        state.value = Some(value);
        wake_some(&self.state, state, |state| &mut state.line, usize::MAX);
        Ok(())
    }

    /// The sender goes without having sent.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.lock();
        state.sender_done = true;
        wake_some(&self.state, state, |state| &mut state.line, usize::MAX);
    }

    /// The receiver takes nothing that is sent from now on.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.receiver_closed = true;
        wake_some(&self.state, state, |state| &mut state.line, usize::MAX);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().receiver_closed
    }

    /// Whether a receiver has nothing to wait for, now and for ever.
    pub(crate) fn is_settled(&self) -> bool {
        let state = self.state.lock();
        state.sender_done || state.receiver_closed
    }

    /// Takes the value if it is there.
    pub(crate) fn try_receive(&self) -> Received<T> {
        self.state.lock().take()
    }

    /// Waits for the value; `Nothing` if the time was up first.
    pub(crate) fn receive(&self, wait: &S::Wait) -> Received<T> {
        loop {
            let mut state = self.state.lock();
            match state.take() {
                Received::Nothing => {}
                found => return found,
            }
            let ended = stand(
                &self.state,
                state,
                |state| &mut state.line,
                &Place::BACK,
                wait,
                || {},
                |_| {},
            );
            match ended {
                Ended::Claimed => {}
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
    use crate::sync::wait::stand::model::{Model, Until, check};
    use loom::sync::Arc;
    use loom::thread;

    type Channel = RawOneshot<u32, Model>;

    #[test]
    fn loom_oneshot_is_received() {
        check(None, || {
            let channel = Arc::new(Channel::new());
            let sender = channel.clone();
            let sender = thread::spawn(move || sender.send(7));
            assert_eq!(channel.receive(&Until::Claimed), Received::Value(7));
            assert_eq!(channel.receive(&Until::Claimed), Received::Never);
            assert_eq!(sender.join().unwrap(), Ok(()));
        });
    }

    /// Sent to one that gives up and closes: it has the value, or the sender has it back.
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
            assert_eq!(channel.receive(&Until::Claimed), Received::Never);
            sender.join().unwrap();
        });
    }
}
