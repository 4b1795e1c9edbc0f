//! `mailbox`: messages selected by predicates, in order, between threads of every kind.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests are on OS threads of their own"
)]

use rustlet::channel::{RecvError, RecvTimeoutError, SendError, TryRecvError};
use rustlet::mailbox::{Address, Mailbox};
use rustlet::runtime::Builder;
use rustlet::{park, spawn, yield_now};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::stress;

mod support;

const LONG: Duration = Duration::from_secs(3600);

fn filled(numbers: impl IntoIterator<Item = i32>) -> (Mailbox<i32>, Address<i32>) {
    let mailbox = Mailbox::new();
    let address = mailbox.address();
    for number in numbers {
        address.send(number).unwrap();
    }
    (mailbox, address)
}

fn rest(mailbox: &Mailbox<i32>) -> Vec<i32> {
    std::iter::from_fn(|| mailbox.try_receive().ok()).collect()
}

/// Long enough for every ready thread to reach its next wait.
fn turns() {
    for _ in 0..20 {
        yield_now();
    }
}

/// Runs `f` on a runtime with one worker, where the order of execution is fixed.
fn one_worker<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    Builder::new().workers(1).build().unwrap().run(f)
}

/// Runs `f` on runtimes with one worker and with two, and on an OS thread.
fn everywhere(f: fn()) {
    for workers in [1, 2] {
        Builder::new().workers(workers).build().unwrap().run(f);
    }
    f();
}

#[test]
fn messages_come_in_order() {
    let (mailbox, _address) = filled(0..100);
    assert_eq!(mailbox.len(), 100);
    assert_eq!(rest(&mailbox), (0..100).collect::<Vec<_>>());
    assert!(mailbox.is_empty());
}

/// As Kiwi's `WaitForMessages(accept)`: the accepted message comes out, the others stay in order.
#[test]
fn the_others_stay_in_order() {
    let (mailbox, _address) = filled(0..10);
    assert_eq!(mailbox.receive_match(|&n| n == 5), Ok(5));
    assert_eq!(mailbox.receive_match(|&n| n > 6), Ok(7));
    assert_eq!(mailbox.receive(), Ok(0));
    assert_eq!(mailbox.receive_match(|&n| n % 2 == 0), Ok(2));
    assert_eq!(rest(&mailbox), [1, 3, 4, 6, 8, 9]);
}

#[test]
fn errors() {
    let (mailbox, address) = filled([1]);
    assert_eq!(
        mailbox.try_receive_match(|&n| n == 2),
        Err(TryRecvError::Empty)
    );
    let late = mailbox.receive_match_timeout(|&n| n == 2, Duration::from_millis(1));
    assert_eq!(late, Err(RecvTimeoutError::Timeout));
    let late = mailbox.receive_match_deadline(|&n| n == 2, Instant::now());
    assert_eq!(late, Err(RecvTimeoutError::Timeout));
    let other = address.clone();
    assert!(other.same_mailbox(&address));
    drop(address);
    assert_eq!(
        mailbox.try_receive_match(|&n| n == 2),
        Err(TryRecvError::Empty)
    );
    drop(other);
    assert_eq!(
        mailbox.try_receive_match(|&n| n == 2),
        Err(TryRecvError::Disconnected)
    );
    assert_eq!(mailbox.receive_match(|&n| n == 2), Err(RecvError));
    assert_eq!(
        mailbox.receive_match_timeout(|&n| n == 2, LONG),
        Err(RecvTimeoutError::Disconnected)
    );
    assert_eq!(mailbox.receive_timeout(Duration::MAX), Ok(1));
    assert_eq!(mailbox.receive(), Err(RecvError));
    // A new address opens it again.
    let address = mailbox.address();
    assert_eq!(mailbox.try_receive(), Err(TryRecvError::Empty));
    assert_eq!(
        mailbox.receive_timeout(Duration::ZERO),
        Err(RecvTimeoutError::Timeout)
    );
    address.send(3).unwrap();
    assert_eq!(
        mailbox.receive_deadline(Instant::now() - Duration::from_millis(1)),
        Ok(3)
    );
    drop(mailbox);
    assert_eq!(address.send(4), Err(SendError(4)));
}

#[test]
fn a_message_wakes_the_waiting_receiver() {
    everywhere(|| {
        let mailbox = Mailbox::new();
        let address = mailbox.address();
        let sender = spawn(move || {
            for number in 0..20 {
                address.send(number).unwrap();
                yield_now();
            }
        });
        assert_eq!(mailbox.receive_match(|&n| n == 15), Ok(15));
        assert_eq!(mailbox.receive(), Ok(0));
        assert_eq!(mailbox.receive_match(|&n| n == 19), Ok(19));
        sender.join().unwrap();
        assert_eq!(mailbox.receive_match(|&n| n == 19), Err(RecvError));
        assert_eq!(mailbox.len(), 17);
    });
}

#[test]
fn dropping_the_last_address_wakes_the_receiver() {
    everywhere(|| {
        let mailbox = Mailbox::<()>::new();
        let addresses = [mailbox.address(), mailbox.address()];
        let dropper = spawn(move || {
            for address in addresses {
                yield_now();
                drop(address);
            }
        });
        assert_eq!(mailbox.receive(), Err(RecvError));
        dropper.join().unwrap();
    });
}

/// Each predicate checks each message once, however many arrive.
#[test]
fn a_rejected_message_is_not_checked_again() {
    one_worker(|| {
        let (mailbox, address) = filled(0..1_000);
        let sender = spawn(move || {
            for number in 1_000..2_000 {
                address.send(number).unwrap();
                yield_now();
            }
        });
        let asked = Cell::new(0);
        let found = mailbox.receive_match(|&n| {
            assert_eq!(n, asked.replace(asked.get() + 1));
            n == 1_999
        });
        assert_eq!(found, Ok(1_999));
        assert_eq!(asked.get(), 2_000);
        sender.join().unwrap();
    });
}

#[test]
fn a_cancelled_receive_has_taken_nothing() {
    for workers in [1, 2] {
        let runtime = Builder::new().workers(workers).build().unwrap();
        runtime.run(|| {
            for _ in 0..stress(200) {
                let mailbox = Arc::new(Mailbox::new());
                let address = mailbox.address();
                let theirs = Arc::clone(&mailbox);
                let receiver = spawn(move || theirs.receive_match(|&n| n == 2).unwrap());
                let sender = spawn(move || {
                    for number in 0..4 {
                        address.send(number).unwrap();
                        yield_now();
                    }
                });
                yield_now();
                receiver.cancel();
                let received = receiver.join();
                sender.join().unwrap();
                let left = rest(&mailbox);
                match received {
                    Ok(2) => assert_eq!(left, [0, 1, 3]),
                    Ok(other) => panic!("{other}"),
                    Err(payload) => {
                        assert!(payload.is::<rustlet::Cancelled>());
                        assert_eq!(left, [0, 1, 2, 3]);
                    }
                }
            }
        });
    }
}

// --- predicates with side effects ---

#[test]
fn a_predicate_that_panics_leaves_the_message() {
    everywhere(|| {
        let (mailbox, _address) = filled(0..4);
        let asked = catch_unwind(AssertUnwindSafe(|| {
            mailbox.receive_match(|&n| {
                if n == 2 {
                    resume_unwind(Box::new("no"));
                }
                false
            })
        }));
        assert!(asked.is_err());
        assert_eq!(rest(&mailbox), [0, 1, 2, 3]);
    });
}

#[test]
fn a_predicate_may_use_the_mailbox_and_wait() {
    everywhere(|| {
        let (mailbox, address) = filled(0..4);
        let found = mailbox.receive_match(|&n| {
            yield_now();
            if n == 1 {
                // This message is taken out, the others are there.
                assert_eq!(mailbox.len(), 3);
                assert_eq!(mailbox.receive(), Ok(0));
                assert_eq!(mailbox.receive_match(|&n| n == 3), Ok(3));
                address.send(4).unwrap();
            }
            n == 4
        });
        assert_eq!(found, Ok(4));
        assert_eq!(rest(&mailbox), [1, 2]);
    });
}

#[test]
fn a_predicate_that_is_cancelled_leaves_the_message() {
    one_worker(|| {
        let (mailbox, _address) = filled(0..2);
        let mailbox = Arc::new(mailbox);
        let theirs = Arc::clone(&mailbox);
        let asker = spawn(move || {
            theirs.receive_match(|_| {
                park();
                true
            })
        });
        turns();
        assert_eq!(mailbox.len(), 1);
        // A receiver that arrives meanwhile gets the next, and then waits for the one that is taken
        // out.
        assert_eq!(mailbox.receive(), Ok(1));
        let theirs = Arc::clone(&mailbox);
        let waiter = spawn(move || theirs.receive());
        turns();
        asker.cancel();
        assert!(asker.join().is_err());
        assert_eq!(waiter.join().unwrap(), Ok(0));
    });
}

#[test]
fn a_waiter_learns_that_the_message_another_one_checks_was_taken() {
    one_worker(|| {
        let (mailbox, address) = filled([7]);
        let mailbox = Arc::new(mailbox);
        let theirs = Arc::clone(&mailbox);
        let asker = spawn(move || {
            theirs.receive_match(|_| {
                park();
                true
            })
        });
        turns();
        let theirs = Arc::clone(&mailbox);
        let waiter = spawn(move || theirs.receive());
        turns();
        drop(address);
        turns();
        assert!(!waiter.is_finished(), "it may come back yet");
        asker.thread().unpark();
        assert_eq!(asker.join().unwrap(), Ok(7));
        assert_eq!(waiter.join().unwrap(), Err(RecvError));
    });
}

// --- many ---

#[test]
fn many_senders_keep_their_own_order() {
    everywhere(|| {
        let mailbox = Mailbox::new();
        for sender in 0..4 {
            let address = mailbox.address();
            let send = move || (0..200).for_each(|number| address.send((sender, number)).unwrap());
            if sender == 0 {
                drop(std::thread::spawn(send));
            } else {
                drop(spawn(send));
            }
        }
        for sender in [2, 0, 3, 1] {
            for number in 0..200 {
                let found = mailbox.receive_match(|&(from, _)| from == sender);
                assert_eq!(found, Ok((sender, number)));
            }
        }
        assert_eq!(mailbox.receive(), Err(RecvError));
    });
}

#[test]
fn several_receivers_share_the_messages() {
    let count = stress(2_000);
    let runtime = Builder::new().workers(2).build().unwrap();
    runtime.run(move || {
        let mailbox = Arc::new(Mailbox::new());
        // Before the first receiver, which finds a mailbox without addresses closed.
        let address = mailbox.address();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let receivers: Vec<_> = (0..4)
            .map(|rest| {
                let (mailbox, seen) = (Arc::clone(&mailbox), Arc::clone(&seen));
                let receive = move || {
                    // Two want any message, two want their own.
                    let accept = |n: &usize| rest % 2 == 0 || n % 4 == rest;
                    while let Ok(number) = mailbox.receive_match(accept) {
                        assert!(accept(&number));
                        seen.lock().unwrap().push(number);
                    }
                };
                if rest == 3 {
                    Err(std::thread::spawn(receive))
                } else {
                    Ok(spawn(receive))
                }
            })
            .collect();
        for number in 0..count {
            address.send(number).unwrap();
            if number % 7 == 0 {
                yield_now();
            }
        }
        drop(address);
        for receiver in receivers {
            match receiver {
                Ok(green) => green.join().unwrap(),
                Err(os) => os.join().unwrap(),
            }
        }
        let mut seen = std::mem::take(&mut *seen.lock().unwrap());
        seen.sort_unstable();
        assert_eq!(seen, (0..count).collect::<Vec<_>>());
    });
}

#[test]
fn holes_are_filled() {
    let (mailbox, address) = filled(0..1_000);
    for number in (900..1_000).rev().filter(|n| n % 3 != 0) {
        assert_eq!(mailbox.try_receive_match(|&n| n == number), Ok(number));
    }
    while mailbox.try_receive_match(|&n| n % 3 != 0).is_ok() {}
    address.send(-1).unwrap();
    let left: Vec<_> = (0..1_000).filter(|n| n % 3 == 0).chain([-1]).collect();
    assert_eq!(rest(&mailbox), left);
}

#[test]
fn what_is_left_is_dropped() {
    struct Counted(Arc<AtomicUsize>, Option<Address<Counted>>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            // A destructor may use the mailbox: no lock is held.
            if let Some(address) = &self.1 {
                let again = Counted(Arc::clone(&self.0), None);
                assert!(address.send(again).is_err());
            }
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let mailbox = Mailbox::new();
    for _ in 0..3 {
        let address = mailbox.address();
        let message = Counted(Arc::clone(&dropped), Some(mailbox.address()));
        address.send(message).unwrap();
    }
    drop(mailbox);
    assert_eq!(dropped.load(Ordering::Relaxed), 6);
}
