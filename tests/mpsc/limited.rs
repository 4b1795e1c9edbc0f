//! `sync_channel`.

use super::mpsc::{RecvError, SendError, TryRecvError, TrySendError, sync_channel};
use super::{enter, thread};
use crate::support::stress;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

#[test]
fn of_every_bound() {
    enter(|| {
        for bound in [0, 1, 2, 100] {
            let (sender, receiver) = sync_channel(bound);
            let count = stress(300);
            let sent = Arc::new(AtomicUsize::new(0));
            let counting = Arc::clone(&sent);
            let thread = thread::spawn(move || {
                for n in 0..count {
                    sender.send(n).unwrap();
                    counting.store(n + 1, SeqCst);
                }
            });
            for n in 0..count {
                // No more than fit, plus the one that is handed over.
                assert!(sent.load(SeqCst) <= n + bound);
                assert_eq!(receiver.recv(), Ok(n));
            }
            assert_eq!(receiver.recv(), Err(RecvError));
            thread.join().unwrap();
        }
    });
}

#[test]
fn tries() {
    enter(|| {
        let (sender, receiver) = sync_channel(1);
        assert_eq!(sender.try_send(1), Ok(()));
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
        assert_eq!(receiver.try_recv(), Ok(1));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        drop(receiver);
        assert_eq!(sender.try_send(3), Err(TrySendError::Disconnected(3)));
        let (sender, receiver) = sync_channel(0);
        assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
        let thread = thread::spawn(move || receiver.recv());
        while sender.try_send(2).is_err() {
            thread::yield_now();
        }
        assert_eq!(thread.join().unwrap(), Ok(2));
    });
}

#[test]
fn waiting_senders_see_the_disconnection() {
    enter(|| {
        for bound in [0, 1] {
            let (sender, receiver) = sync_channel(bound);
            (0..bound).for_each(|n| sender.send(n).unwrap());
            let threads: Vec<_> = (0..3)
                .map(|n| {
                    let sender = sender.clone();
                    thread::spawn(move || sender.send(10 + n))
                })
                .collect();
            thread::yield_now();
            drop(receiver);
            for (n, thread) in threads.into_iter().enumerate() {
                assert_eq!(thread.join().unwrap(), Err(SendError(10 + n)));
            }
            assert_eq!(format!("{sender:?}"), "SyncSender { .. }");
        }
    });
}
