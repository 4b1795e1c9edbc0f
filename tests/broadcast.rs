//! `sync::broadcast`: all receivers get all messages, or learn how many they have lost.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

mod support;

use rustlet::channel::{select, unbounded};
use rustlet::sync::broadcast::{
    Receiver, RecvError, RecvTimeoutError, SendError, Sender, TryRecvError, channel,
};
use rustlet::{Cancelled, spawn, yield_now};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;
use support::stress;

fn on_workers<T: Send>(workers: usize, case: impl FnOnce() -> T + Send) -> T {
    rustlet::Builder::new()
        .workers(workers)
        .build()
        .expect("a runtime")
        .run(case)
}

/// On one worker, on two, and with the case itself on an OS thread.
fn everywhere(case: fn()) {
    on_workers(1, case);
    on_workers(2, case);
    case();
}

#[test]
fn all_get_all() {
    everywhere(|| {
        let count = stress(200);
        let (sender, first) = channel(count);
        let receivers = std::iter::once(first).chain((0..4).map(|_| sender.subscribe()));
        let threads: Vec<_> = receivers
            .map(|mut receiver| {
                spawn(move || {
                    (0..count).for_each(|n| assert_eq!(receiver.recv(), Ok(n)));
                    assert_eq!(receiver.recv(), Err(RecvError::Closed));
                })
            })
            .collect();
        for n in 0..count {
            assert_eq!(sender.send(n), Ok(5));
        }
        drop(sender);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_slow_receiver_learns_how_many_messages_it_lost() {
    let (sender, mut slow) = channel(4);
    let mut quick = sender.subscribe();
    for n in 0..10 {
        sender.send(n).unwrap();
        assert_eq!(quick.try_recv(), Ok(n));
    }
    assert_eq!((slow.len(), sender.len(), quick.len()), (4, 4, 0));
    assert_eq!(slow.recv(), Err(RecvError::Lagged(6)));
    assert_eq!(slow.try_recv(), Ok(6));
    sender.send(10).unwrap();
    sender.send(11).unwrap();
    assert_eq!(slow.try_recv(), Err(TryRecvError::Lagged(1)));
    assert!((8..12).all(|n| slow.recv() == Ok(n)));
    assert_eq!(slow.try_recv(), Err(TryRecvError::Empty));
    sender.send(12).unwrap();
    drop(sender);
    assert_eq!(slow.recv(), Ok(12));
    assert_eq!(slow.try_recv(), Err(TryRecvError::Closed));
}

/// Received and lost messages together are all messages that were sent.
#[test]
fn nothing_is_lost_in_silence() {
    everywhere(|| {
        let count = stress(2_000) as u64;
        let (sender, _first) = channel(8);
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let mut receiver = sender.subscribe();
                spawn(move || {
                    let mut next = 0;
                    loop {
                        match receiver.recv() {
                            Ok(n) => {
                                assert_eq!(n, next);
                                next += 1;
                            }
                            Err(RecvError::Lagged(lost)) => next += lost,
                            Err(RecvError::Closed) => return next,
                        }
                    }
                })
            })
            .collect();
        for n in 0..count {
            sender.send(n).unwrap();
            if n % 16 == 0 {
                yield_now();
            }
        }
        drop(sender);
        for thread in threads {
            assert_eq!(thread.join().unwrap(), count);
        }
    });
}

#[test]
fn messages_are_dropped_when_all_have_seen_them() {
    let message = Arc::new(());
    let (sender, mut first) = channel(100);
    let second = sender.subscribe();
    for _ in 0..3 {
        sender.send(Arc::clone(&message)).unwrap();
    }
    assert_eq!(Arc::strong_count(&message), 4);
    drop(first.recv());
    assert_eq!(Arc::strong_count(&message), 4);
    drop(second);
    assert_eq!(Arc::strong_count(&message), 3);
    drop(first);
    assert_eq!(Arc::strong_count(&message), 1);
    let SendError(back) = sender.send(message).unwrap_err();
    assert_eq!(Arc::strong_count(&back), 1);
    assert_eq!(sender.receiver_count(), 0);
}

#[test]
fn subscribers_begin_where_they_come() {
    let (sender, first) = channel(4);
    sender.send(1).unwrap();
    let mut late = first.resubscribe();
    assert!(late.is_empty() && late.same_channel(&first));
    assert_eq!(sender.receiver_count(), 2);
    sender.clone().send(2).unwrap();
    assert_eq!(late.recv(), Ok(2));
    assert!(sender.same_channel(&sender.clone()));
    assert!(!sender.same_channel(&Sender::new(1)));
}

#[test]
fn time_is_up() {
    everywhere(|| {
        let (sender, mut receiver) = channel(1);
        let late = receiver.recv_timeout(Duration::from_millis(2));
        assert_eq!(late, Err(RecvTimeoutError::Timeout));
        let thread = spawn(move || receiver.recv_timeout(Duration::MAX));
        sender.send(1).unwrap();
        assert_eq!(thread.join().unwrap(), Ok(1));
    });
}

#[test]
fn in_a_select() {
    everywhere(|| {
        let (sender, mut receiver) = channel(8);
        let (other, quiet) = unbounded::<()>();
        let thread = spawn(move || {
            let mut sum = 0;
            loop {
                select! {
                    recv(quiet) -> _ => unreachable!(),
                    recv(receiver.receiver()) -> _ => match receiver.try_recv() {
                        Ok(n) => sum += n,
                        Err(TryRecvError::Closed) => return sum,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        });
        for n in 0..100 {
            while sender.len() == 8 {
                yield_now();
            }
            sender.send(n).unwrap();
        }
        drop(sender);
        assert_eq!(thread.join().unwrap(), (0..100).sum::<i32>());
        drop(other);
    });
}

#[test]
fn a_cancelled_wait_takes_nothing() {
    everywhere(|| {
        let (sender, mut receiver) = channel(1);
        let thread = spawn(move || receiver.recv());
        yield_now();
        thread.cancel();
        assert!(thread.join().unwrap_err().is::<Cancelled>());
        assert_eq!(sender.send(1), Err(SendError(1)));
    });
}

/// A message whose `clone` waits, and uses the channel.
#[test]
fn destructors_of_messages_may_use_the_channel() {
    struct Curious(Sender<Option<Curious>>, Cell<u32>);
    impl Clone for Curious {
        fn clone(&self) -> Curious {
            yield_now();
            let _sent = self.0.send(None);
            Curious(self.0.clone(), Cell::new(self.1.get() + 1))
        }
    }
    impl Drop for Curious {
        fn drop(&mut self) {
            let _sent = self.0.send(None);
        }
    }
    on_workers(1, || {
        let (sender, mut receiver): (_, Receiver<Option<Curious>>) = channel(2);
        let mut other = sender.subscribe();
        let curious = Curious(sender.clone(), Cell::new(0));
        assert!(sender.send(Some(curious)).is_ok());
        assert_eq!(receiver.recv().ok().flatten().map(|c| c.1.get()), Some(1));
        while other.try_recv().is_ok() {}
    });
}
