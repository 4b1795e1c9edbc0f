//! Capacity 0.

use super::channel::{
    RecvTimeoutError, Select, SendTimeoutError, TryRecvError, TrySendError, bounded, select,
    unbounded,
};
use super::{enter, thread};
use crate::support::stress;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

#[test]
fn holds_nothing() {
    enter(|| {
        let (sender, receiver) = bounded(0);
        assert_eq!((sender.len(), receiver.len()), (0, 0));
        assert!(sender.is_empty() && sender.is_full() && receiver.is_empty() && receiver.is_full());
        assert_eq!((sender.capacity(), receiver.capacity()), (Some(0), Some(0)));
        assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        let short = Duration::from_millis(2);
        assert_eq!(sender.send_timeout(2, short), Err(SendTimeoutError::Timeout(2)));
        assert_eq!(receiver.recv_timeout(short), Err(RecvTimeoutError::Timeout));
    });
}

#[test]
fn a_send_ends_when_it_was_received() {
    enter(|| {
        let (sender, receiver) = bounded(0);
        let received = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&received);
        let count = stress(300);
        let thread = thread::spawn(move || {
            for n in 0..count {
                sender.send(n).unwrap();
                assert!(seen.load(SeqCst) >= n);
            }
        });
        for n in 0..count {
            received.store(n, SeqCst);
            thread::yield_now();
            assert_eq!(receiver.recv(), Ok(n));
        }
        thread.join().unwrap();
    });
}

#[test]
fn a_try_finds_a_waiting_partner() {
    enter(|| {
        let (sender, receiver) = bounded(0);
        let thread = thread::spawn(move || receiver.recv());
        let mut message = 5;
        while let Err(error) = sender.try_send(message) {
            message = error.into_inner();
            thread::yield_now();
        }
        assert_eq!(thread.join().unwrap(), Ok(5));

        let (sender, receiver) = bounded(0);
        let thread = thread::spawn(move || sender.send(6));
        let received = loop {
            match receiver.try_recv() {
                Ok(message) => break message,
                Err(TryRecvError::Empty) => thread::yield_now(),
                Err(TryRecvError::Disconnected) => unreachable!(),
            }
        };
        assert_eq!(received, 6);
        thread.join().unwrap().unwrap();
    });
}

#[test]
fn many_senders_and_many_receivers() {
    enter(|| {
        let (sender, receiver) = bounded(0);
        let each = stress(100);
        let senders: Vec<_> = (0..4)
            .map(|of| {
                let sender = sender.clone();
                thread::spawn(move || (0..each).for_each(|n| sender.send(of * each + n).unwrap()))
            })
            .collect();
        drop(sender);
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let receiver = receiver.clone();
                thread::spawn(move || receiver.iter().collect::<Vec<_>>())
            })
            .collect();
        drop(receiver);
        senders.into_iter().for_each(|thread| thread.join().unwrap());
        let all = receivers.into_iter().flat_map(|thread| thread.join().unwrap());
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..4 * each));
    });
}

/// All pairs of a plain operation, an arm of the macro, and an entry of a list.
#[test]
fn every_kind_meets_every_kind() {
    const KINDS: usize = 4;
    enter(|| {
        for round in 0..stress(KINDS * KINDS * 4) {
            let (send_as, receive_as) = (round % KINDS, round / KINDS % KINDS);
            let (sender, receiver) = bounded(0);
            let (_other, silent) = unbounded::<usize>();
            let thread = thread::spawn(move || match send_as {
                0 => sender.send(round).unwrap(),
                1 => select! {
                    send(sender, { thread::yield_now(); round }) -> sent => sent.unwrap(),
                    recv(silent) -> _ => unreachable!(),
                },
                2 => {
                    let mut list = Select::new();
                    list.recv(&silent);
                    let index = list.send(&sender);
                    let chosen = list.select();
                    assert_eq!(chosen.index(), index);
                    thread::yield_now();
                    chosen.send(&sender, round).unwrap();
                }
                _ => {
                    let mut message = round;
                    while let Err(error) = sender.try_send(message) {
                        message = error.into_inner();
                        thread::yield_now();
                    }
                }
            });
            let (_other, silent) = unbounded::<usize>();
            let received = match receive_as {
                0 => receiver.recv().unwrap(),
                1 => select! {
                    recv(silent) -> _ => unreachable!(),
                    recv(receiver) -> message => message.unwrap(),
                },
                2 => {
                    let mut list = Select::new();
                    list.recv(&silent);
                    list.recv(&receiver);
                    let chosen = list.select();
                    assert_eq!(chosen.index(), 1);
                    chosen.recv(&receiver).unwrap()
                }
                // Two that do not wait never meet.
                _ if send_as == 3 => receiver.recv_timeout(Duration::MAX).unwrap(),
                _ => loop {
                    match receiver.try_recv() {
                        Ok(message) => break message,
                        Err(_) => thread::yield_now(),
                    }
                },
            };
            assert_eq!(received, round);
            thread.join().unwrap();
        }
    });
}
