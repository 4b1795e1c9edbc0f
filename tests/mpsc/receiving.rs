//! The receiver's ways to wait.

use super::mpsc::{RecvTimeoutError, channel, sync_channel};
use super::{enter, thread};
use crate::support::stress;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(2);

#[test]
fn in_time_or_not() {
    enter(|| {
        let (sender, receiver) = channel();
        assert_eq!(receiver.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
        assert_eq!(receiver.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        sender.send(1).unwrap();
        assert_eq!(receiver.recv_timeout(Duration::ZERO), Ok(1));
        let thread = thread::spawn(move || sender.send(2).unwrap());
        assert_eq!(receiver.recv_timeout(Duration::MAX), Ok(2));
        thread.join().unwrap();
        let ended = receiver.recv_timeout(Duration::MAX);
        assert_eq!(ended, Err(RecvTimeoutError::Disconnected));
    });
}

#[test]
fn nothing_is_lost_to_a_timeout() {
    enter(|| {
        for bound in [0, 1, 3] {
            let (sender, receiver) = sync_channel(bound);
            let count = stress(200);
            let thread = thread::spawn(move || (0..count).for_each(|n| sender.send(n).unwrap()));
            let mut next = 0;
            loop {
                match receiver.recv_timeout(Duration::from_micros(1)) {
                    Ok(n) => {
                        assert_eq!(n, next);
                        next += 1;
                    }
                    Err(RecvTimeoutError::Timeout) => thread::yield_now(),
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            assert_eq!(next, count);
            thread.join().unwrap();
        }
    });
}

#[test]
fn iterators() {
    enter(|| {
        let (sender, receiver) = channel();
        (0..10).for_each(|n| sender.send(n).unwrap());
        assert!(receiver.try_iter().take(3).eq(0..3));
        assert!(receiver.iter().take(2).eq(3..5));
        let mut some = IntoIterator::into_iter(&receiver);
        assert_eq!(some.next(), Some(5));
        assert_eq!(receiver.try_iter().count(), 4);
        drop(sender);
        assert_eq!(receiver.into_iter().next(), None);
    });
}
