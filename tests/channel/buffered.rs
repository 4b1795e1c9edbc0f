//! Channels with a buffer, bounded or unbounded.

use super::channel::{
    RecvTimeoutError, SendTimeoutError, Sender, TryRecvError, TrySendError, bounded, unbounded,
};
use super::{enter, thread};
use crate::support::stress;
use std::rc::Rc;
use std::time::{Duration, Instant};

#[test]
fn comes_in_the_order_of_sending() {
    enter(|| {
        for (sender, receiver) in [unbounded(), bounded(1), bounded(3), bounded(1000)] {
            let count = stress(500);
            let thread = thread::spawn(move || {
                for n in 0..count {
                    sender.send(n).unwrap();
                }
            });
            for n in 0..count {
                assert_eq!(receiver.recv(), Ok(n));
            }
            assert!(receiver.recv().is_err());
            thread.join().unwrap();
        }
    });
}

#[test]
fn each_goes_to_one() {
    enter(|| {
        for (sender, receiver) in [unbounded(), bounded(1), bounded(3)] {
            let each = stress(200);
            let senders = (0..4).map(|of| {
                let sender = sender.clone();
                thread::spawn(move || (0..each).for_each(|n| sender.send(of * each + n).unwrap()))
            });
            let senders: Vec<_> = senders.collect();
            let receivers = (0..4).map(|_| {
                let receiver = receiver.clone();
                thread::spawn(move || receiver.iter().collect::<Vec<_>>())
            });
            let receivers: Vec<_> = receivers.collect();
            drop(sender);
            drop(receiver);
            senders.into_iter().for_each(|thread| thread.join().unwrap());
            let mut all = Vec::new();
            for thread in receivers {
                let some = thread.join().unwrap();
                // Each receiver gets the messages of one sender in order.
                for of in 0..4 {
                    let mut last = None;
                    for n in some.iter().filter(|&n| n / each == of) {
                        assert!(Some(n) > last);
                        last = Some(n);
                    }
                }
                all.extend(some);
            }
            all.sort_unstable();
            assert!(all.into_iter().eq(0..4 * each));
        }
    });
}

#[test]
fn says_what_is_in_it() {
    let (sender, receiver) = bounded(2);
    let both = |len| {
        assert_eq!((sender.len(), receiver.len()), (len, len));
        assert_eq!(sender.is_empty(), len == 0);
        assert_eq!(receiver.is_empty(), len == 0);
        assert_eq!(sender.is_full(), len == 2);
        assert_eq!(receiver.is_full(), len == 2);
    };
    assert_eq!((sender.capacity(), receiver.capacity()), (Some(2), Some(2)));
    both(0);
    sender.send(1).unwrap();
    both(1);
    sender.send(2).unwrap();
    both(2);
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    assert_eq!(receiver.try_recv(), Ok(1));
    both(1);
    assert_eq!(receiver.try_recv(), Ok(2));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    both(0);

    let (sender, receiver) = unbounded();
    assert_eq!((sender.capacity(), receiver.capacity()), (None, None));
    for n in 0..1000 {
        sender.send(n).unwrap();
    }
    assert_eq!(receiver.len(), 1000);
    assert!(!sender.is_full());
}

#[test]
fn waits_while_it_is_full() {
    enter(|| {
        let (sender, receiver) = bounded(1);
        let (tell, told) = unbounded();
        sender.send(0).unwrap();
        let thread = thread::spawn(move || {
            for n in 1..100 {
                sender.send(n).unwrap();
                tell.send(n).unwrap();
            }
        });
        for n in 0..100 {
            // Not before there is room.
            assert!(told.try_iter().all(|sent: i32| sent <= n));
            assert_eq!(receiver.recv(), Ok(n));
        }
        thread.join().unwrap();
    });
}

#[test]
fn time_is_up() {
    enter(|| {
        let (sender, receiver) = bounded(1);
        let (short, past) = (Duration::from_millis(2), Instant::now());
        assert_eq!(receiver.recv_timeout(short), Err(RecvTimeoutError::Timeout));
        assert_eq!(receiver.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        assert_eq!(receiver.recv_deadline(past), Err(RecvTimeoutError::Timeout));
        sender.send(1).unwrap();
        assert_eq!(sender.send_timeout(2, short), Err(SendTimeoutError::Timeout(2)));
        assert_eq!(sender.send_deadline(3, past), Err(SendTimeoutError::Timeout(3)));
        // An operation that needs no wait completes, whatever the time limit.
        assert_eq!(receiver.recv_deadline(past), Ok(1));
        assert_eq!(sender.send_deadline(4, past), Ok(()));
        assert_eq!(receiver.recv_timeout(Duration::MAX), Ok(4));
        drop(sender);
        assert_eq!(receiver.recv_timeout(Duration::MAX), Err(RecvTimeoutError::Disconnected));
    });
}

#[test]
fn a_wait_without_end_ends_with_a_message() {
    enter(|| {
        let (sender, receiver) = bounded(1);
        let thread = thread::spawn(move || {
            sender.send_timeout(1, Duration::MAX).unwrap();
            sender.send_timeout(2, Duration::MAX).unwrap();
            sender.send_timeout(3, Duration::from_secs(3600)).unwrap();
        });
        for n in 1..=3 {
            assert_eq!(receiver.recv_timeout(Duration::MAX), Ok(n));
        }
        thread.join().unwrap();
    });
}

#[test]
fn iterators() {
    enter(|| {
        let (sender, receiver) = unbounded();
        (0..10).for_each(|n| sender.send(n).unwrap());
        assert!(receiver.try_iter().take(3).eq(0..3));
        assert!(receiver.iter().take(2).eq(3..5));
        let mut some = IntoIterator::into_iter(&receiver);
        assert_eq!(some.next(), Some(5));
        drop(sender);
        let mut rest = receiver.into_iter();
        assert!(rest.by_ref().eq(6..10));
        assert_eq!(rest.next(), None);
    });
}

#[test]
fn senders_are_compared_by_channel() {
    let ((one, this), (other, that)) = (unbounded::<()>(), unbounded::<()>());
    assert!(one.same_channel(&one.clone()) && !one.same_channel(&other));
    assert!(this.same_channel(&this.clone()) && !this.same_channel(&that));
    let (zero, _receiver) = bounded::<()>(0);
    assert!(!zero.same_channel(&one));
}

#[test]
fn of_any_size_and_alignment() {
    #[repr(align(64))]
    #[derive(Clone, Copy, PartialEq, Debug)]
    struct Wide([u8; 100]);
    fn passes<T: Clone + PartialEq + std::fmt::Debug>(value: &T) {
        for (sender, receiver) in [bounded(1), bounded(100), unbounded()] {
            for _ in 0..3 {
                let room = sender.capacity().unwrap_or(500);
                for _ in 0..room {
                    sender.send(value.clone()).unwrap();
                }
                assert_eq!(sender.is_full(), sender.capacity().is_some());
                for _ in 0..room {
                    assert_eq!(receiver.recv().as_ref(), Ok(value));
                }
            }
        }
    }
    enter(|| {
        passes(&());
        passes(&7_u8);
        passes(&Wide([3; 100]));
        passes(&[5_u64; 200]);
        passes(&"text".to_owned());
    });
}

#[test]
fn is_send_and_sync_as_its_messages() {
    fn both<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>(_: &T) {}
    let (sender, receiver) = unbounded::<std::cell::Cell<i32>>();
    both(&sender);
    both(&receiver);
    // The receivers of messages that are not `Send` still work on one thread.
    let (sender, receiver): (Sender<Rc<i32>>, _) = unbounded();
    sender.send(Rc::new(1)).unwrap();
    assert_eq!(*receiver.recv().unwrap(), 1);
}
