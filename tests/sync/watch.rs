//! `watch`: from green threads, from OS threads, and across.

use crate::{let_others_block, on_workers};
use rustlet::channel::{after, select};
use rustlet::sync::watch::{self, RecvError};
use rustlet::{Cancelled, spawn, timeout};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(1);

/// On green threads of one and of two workers, and on an OS thread.
fn everywhere(case: fn()) {
    on_workers(1, case);
    on_workers(2, case);
    case();
}

#[test]
fn a_receiver_sees_the_newest_value_once() {
    everywhere(|| {
        let (sender, mut receiver) = watch::channel(0);
        assert_eq!(receiver.has_changed(), Ok(false));
        assert_eq!(receiver.changed_timeout(Duration::ZERO), Ok(false));
        for n in 1..=3 {
            sender.send(n).unwrap();
        }
        assert!(receiver.borrow().has_changed());
        assert_eq!(receiver.changed(), Ok(()));
        assert_eq!(*receiver.borrow(), 3);
        assert_eq!(receiver.changed_timeout(SHORT), Ok(false));
        // A clone has seen what the original has.
        let mut other = receiver.clone();
        assert_eq!(other.has_changed(), Ok(false));
        assert!(other.same_channel(&receiver));
        sender.send_modify(|value| *value *= 2);
        let seen = other.borrow_and_update();
        assert!(*seen == 6 && seen.has_changed());
        drop(seen);
        assert_eq!(other.has_changed(), Ok(false));
        assert_eq!(receiver.has_changed(), Ok(true));
        receiver.mark_unchanged();
        assert_eq!(receiver.has_changed(), Ok(false));
        receiver.mark_changed();
        assert_eq!(receiver.changed(), Ok(()));
        assert!(!sender.send_if_modified(|_| false));
        assert_eq!(receiver.has_changed(), Ok(false));
    });
}

#[test]
fn the_last_value_is_seen_after_the_senders_are_gone() {
    everywhere(|| {
        let (sender, mut receiver) = watch::channel(0);
        let other = sender.clone();
        sender.send(1).unwrap();
        drop(sender);
        assert_eq!(receiver.has_changed(), Ok(true));
        drop(other);
        assert_eq!(receiver.has_changed(), Err(RecvError));
        assert_eq!(receiver.changed(), Ok(()));
        assert_eq!(receiver.changed(), Err(RecvError));
        assert_eq!(receiver.changed_timeout(SHORT), Err(RecvError));
        assert_eq!(*receiver.borrow(), 1);
        assert_eq!(*receiver.wait_for(|&n| n == 1).unwrap(), 1);
        assert_eq!(receiver.wait_for(|&n| n == 2).err(), Some(RecvError));
    });
}

#[test]
fn a_value_without_receivers_comes_back() {
    everywhere(|| {
        let (sender, receiver) = watch::channel(0);
        assert_eq!((sender.receiver_count(), sender.is_closed()), (1, false));
        drop(receiver);
        sender.closed();
        assert_eq!(sender.send(1), Err(watch::SendError(1)));
        assert_eq!(sender.send_replace(2), 0);
        let mut late = sender.subscribe();
        assert_eq!((*late.borrow(), late.has_changed()), (2, Ok(false)));
        sender.send(3).unwrap();
        assert_eq!(late.changed(), Ok(()));
    });
}

#[test]
fn all_receivers_wait_for_a_change() {
    for workers in [1, 2] {
        on_workers(workers, || {
            let (sender, receiver) = watch::channel(0_u64);
            let wait = |mut receiver: watch::Receiver<u64>| {
                move || {
                    let mut last = 0;
                    while receiver.changed().is_ok() {
                        let value = *receiver.borrow_and_update();
                        assert!(value >= last);
                        last = value;
                    }
                    last
                }
            };
            let threads = [(); 5].map(|()| spawn(wait(receiver.clone())));
            let os = std::thread::spawn(wait(receiver.clone()));
            let third = spawn({
                let mut receiver = receiver;
                move || *receiver.wait_for(|&value| value >= 300).unwrap()
            });
            for n in 1..=1_000 {
                sender.send(n).unwrap();
                if n % 10 == 0 {
                    rustlet::yield_now();
                }
            }
            drop(sender);
            for thread in threads {
                assert_eq!(thread.join().unwrap(), 1_000);
            }
            assert_eq!(os.join().unwrap(), 1_000);
            assert!(third.join().unwrap() >= 300);
        });
    }
}

#[test]
fn a_sender_waits_until_no_receiver_is_left() {
    on_workers(1, || {
        let (sender, receiver) = watch::channel(());
        let second = receiver.clone();
        let other = sender.clone();
        let threads = [
            spawn(move || sender.closed()),
            spawn(move || other.closed()),
        ];
        let_others_block();
        drop(receiver);
        let_others_block();
        assert!(threads.iter().all(|thread| !thread.is_finished()));
        drop(second);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_cancelled_wait_has_seen_nothing() {
    on_workers(1, || {
        let (sender, mut receiver) = watch::channel(0);
        assert!(timeout(SHORT, || receiver.changed()).is_err());
        assert!(timeout(SHORT, || receiver.wait_for(|&n| n > 0).is_ok()).is_err());
        assert!(timeout(SHORT, || sender.closed()).is_err());
        sender.send(1).unwrap();
        assert_eq!(receiver.has_changed(), Ok(true));

        let cancelled = spawn(move || {
            receiver.mark_unchanged();
            receiver.changed()
        });
        let_others_block();
        cancelled.cancel();
        assert!(cancelled.join().unwrap_err().is::<Cancelled>());
        // The receiver was dropped by the unwinding.
        assert!(sender.is_closed());
    });
}

#[test]
fn a_sender_waits_for_a_borrow_and_others_go_on() {
    on_workers(1, || {
        let (sender, receiver) = watch::channel(0);
        let borrowed = receiver.borrow();
        assert_eq!(timeout(SHORT, || sender.send(1).is_ok()).ok(), None);
        assert_eq!(*borrowed, 0);
        drop(borrowed);
        // The cancelled send has not changed the value.
        assert_eq!((*receiver.borrow(), receiver.has_changed()), (0, Ok(false)));
        sender.send(2).unwrap();
        assert_eq!(*receiver.borrow(), 2);
    });
}

#[test]
fn a_panic_in_a_change_notifies_no_receiver() {
    let (sender, receiver) = watch::channel(0);
    let change = || sender.send_modify(|_| resume_unwind(Box::new("no")));
    assert!(catch_unwind(AssertUnwindSafe(change)).is_err());
    assert_eq!(receiver.has_changed(), Ok(false));
    sender.send(1).unwrap();
    assert_eq!(*receiver.borrow(), 1);
}

#[test]
fn a_change_is_waited_for_in_a_select() {
    for workers in [1, 2] {
        on_workers(workers, || {
            let (sender, mut receiver) = watch::channel(0);
            let thread = spawn(move || {
                for n in 1..=100 {
                    sender.send_replace(n);
                    rustlet::yield_now();
                }
            });
            let mut last = 0;
            while last < 100 {
                select! {
                    recv(receiver.receiver()) -> _ => last = *receiver.borrow_and_update(),
                    recv(after(Duration::from_secs(600))) -> _ => panic!("no change"),
                }
            }
            thread.join().unwrap();
            // Closed counts as ready.
            select! {
                recv(receiver.receiver()) -> _ => assert!(receiver.changed().is_err()),
                recv(after(Duration::from_secs(600))) -> _ => panic!("not closed"),
            }
        });
    }
}

#[test]
fn values_are_dropped_once() {
    let value = std::sync::Arc::new(());
    let (sender, receiver) = watch::channel(std::sync::Arc::clone(&value));
    sender.send(std::sync::Arc::clone(&value)).unwrap();
    assert_eq!(std::sync::Arc::strong_count(&value), 2);
    drop((sender, receiver));
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
}
