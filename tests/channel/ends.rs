//! Behaviour when one side is dropped.

use super::channel::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError, bounded,
    select, unbounded,
};
use super::{enter, thread};
use crate::support::stress;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn without_receivers() {
    enter(|| {
        for (sender, receiver) in [unbounded(), bounded(2), bounded(0)] {
            drop(receiver);
            assert_eq!(sender.send(1), Err(SendError(1)));
            assert_eq!(sender.try_send(2), Err(TrySendError::Disconnected(2)));
            assert_eq!(
                sender.send_timeout(3, Duration::MAX),
                Err(SendTimeoutError::Disconnected(3))
            );
            select! {
                send(sender, 4) -> sent => assert_eq!(sent, Err(SendError(4))),
            }
        }
    });
}

#[test]
fn without_senders() {
    enter(|| {
        for (sender, receiver) in [unbounded(), bounded(2), bounded(0)] {
            let left = usize::from(sender.try_send(1).is_ok());
            drop(sender.clone());
            drop(sender);
            assert_eq!(receiver.len(), left);
            if left == 1 {
                assert_eq!(receiver.recv(), Ok(1));
            }
            assert_eq!(receiver.recv(), Err(RecvError));
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
            assert_eq!(
                receiver.recv_deadline(Instant::now()),
                Err(RecvTimeoutError::Disconnected)
            );
            select! {
                recv(receiver) -> message => assert_eq!(message, Err(RecvError)),
            }
            assert_eq!(receiver.iter().next(), None);
        }
    });
}

#[test]
fn waiters_see_the_disconnection() {
    enter(|| {
        for _ in 0..stress(20) {
            for (sender, receiver) in [unbounded::<i32>(), bounded(2), bounded(0)] {
                let waiting: Vec<_> = (0..5)
                    .map(|n| {
                        let receiver = receiver.clone();
                        thread::spawn(move || {
                            if n % 2 == 0 {
                                receiver.recv()
                            } else {
                                select! { recv(receiver) -> message => message }
                            }
                        })
                    })
                    .collect();
                thread::yield_now();
                drop(sender);
                for thread in waiting {
                    assert_eq!(thread.join().unwrap(), Err(RecvError));
                }
            }
            for (sender, receiver) in [bounded(1), bounded(0)] {
                let room = sender.capacity().unwrap();
                (0..room).for_each(|_| sender.send(9).unwrap());
                let waiting: Vec<_> = (0..5)
                    .map(|n| {
                        let sender = sender.clone();
                        thread::spawn(move || {
                            if n % 2 == 0 {
                                sender.send(n)
                            } else {
                                select! { send(sender, n) -> sent => sent }
                            }
                        })
                    })
                    .collect();
                thread::yield_now();
                drop(receiver);
                for (n, thread) in waiting.into_iter().enumerate() {
                    assert_eq!(thread.join().unwrap(), Err(SendError(n)));
                }
            }
        }
    });
}

#[test]
fn remaining_messages_are_dropped_with_the_last_receiver() {
    enter(|| {
        let (sender, receiver) = unbounded();
        let message = Arc::new(());
        for _ in 0..150 {
            sender.send(Arc::clone(&message)).unwrap();
        }
        let other = receiver.clone();
        drop(receiver);
        assert_eq!(Arc::strong_count(&message), 151);
        drop(other);
        assert_eq!(Arc::strong_count(&message), 1);
        assert!(sender.send(Arc::clone(&message)).is_err());
        assert_eq!(Arc::strong_count(&message), 1);
    });
}

#[test]
fn a_message_may_hold_the_channel() {
    enter(|| {
        struct Holder(#[allow(dead_code, reason = "it is dropped")] Box<dyn std::any::Any + Send>);
        let (sender, receiver) = unbounded::<Holder>();
        sender.send(Holder(Box::new(sender.clone()))).unwrap();
        let (sender, other) = (sender.clone(), sender);
        drop(receiver);
        assert!(sender.send(Holder(Box::new(()))).is_err());
        drop(other);
    });
}

#[test]
fn races_of_sending_and_going() {
    enter(|| {
        let message = Arc::new(());
        for round in 0..stress(200) {
            let (sender, receiver) = if round % 2 == 0 { unbounded() } else { bounded(0) };
            let copy = Arc::clone(&message);
            let sending = thread::spawn(move || {
                let mut sent = 0;
                while sender.send(Arc::clone(&copy)).is_ok() {
                    sent += 1;
                }
                sent
            });
            let received = receiver.iter().take(round % 5).count();
            drop(receiver);
            assert!(sending.join().unwrap() >= received);
            assert_eq!(Arc::strong_count(&message), 1);
        }
    });
}
