//! `channel`.

use super::mpsc::{RecvError, SendError, Sender, TryRecvError, channel};
use super::{enter, thread};
use crate::support::stress;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

#[test]
fn in_the_order_of_sending() {
    enter(|| {
        let (sender, receiver) = channel();
        let count = stress(1_000);
        let thread = thread::spawn(move || (0..count).for_each(|n| sender.send(n).unwrap()));
        for n in 0..count {
            assert_eq!(receiver.recv(), Ok(n));
        }
        assert_eq!(receiver.recv(), Err(RecvError));
        thread.join().unwrap();
    });
}

#[test]
fn from_several() {
    enter(|| {
        let (sender, receiver) = channel();
        let each = stress(300);
        let shared = Arc::new(sender.clone());
        let threads: Vec<_> = (0..4)
            .map(|of| {
                let (own, shared) = (sender.clone(), Arc::clone(&shared));
                thread::spawn(move || {
                    for n in 0..each {
                        let sender: &Sender<_> = if n % 2 == 0 { &own } else { &shared };
                        sender.send((of, n)).unwrap();
                    }
                })
            })
            .collect();
        drop((sender, shared));
        let mut next = [0; 4];
        for (of, n) in &receiver {
            assert_eq!(next[of], n);
            next[of] += 1;
        }
        assert_eq!(next, [each; 4]);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn ends() {
    enter(|| {
        let (sender, receiver) = channel();
        let message = Arc::new(());
        sender.send(Arc::clone(&message)).unwrap();
        drop(receiver);
        assert_eq!(Arc::strong_count(&message), 1);
        let SendError(back) = sender.send(message).unwrap_err();
        assert_eq!(Arc::strong_count(&back), 1);
        let (sender, receiver) = channel();
        sender.send(1).unwrap();
        drop(sender.clone());
        drop(sender);
        assert_eq!(receiver.try_recv(), Ok(1));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
        let (sender, receiver) = channel::<()>();
        let thread = thread::spawn(move || receiver.recv());
        drop(sender);
        assert_eq!(thread.join().unwrap(), Err(RecvError));
    });
}

#[test]
fn traits_and_formats() {
    fn send<T: Send>(_: &T) {}
    fn sync<T: Sync>(_: &T) {}
    fn unwind<T: UnwindSafe + RefUnwindSafe>(_: &T) {}
    let (sender, receiver) = channel::<std::cell::Cell<i32>>();
    send(&sender);
    sync(&sender);
    unwind(&sender);
    send(&receiver);
    unwind(&receiver);
    assert_eq!(format!("{sender:?}"), "Sender { .. }");
    assert_eq!(format!("{receiver:?}"), "Receiver { .. }");
    assert_eq!(format!("{:?}", receiver.iter()), "Iter { rx: Receiver { .. } }");
    assert_eq!(format!("{:?}", receiver.try_iter()), "TryIter { rx: Receiver { .. } }");
    assert_eq!(format!("{:?}", receiver.into_iter()), "IntoIter { rx: Receiver { .. } }");
}
