//! `oneshot` and `Callback` in `select!` among other operations: from green threads, from OS
//! threads, and across.

use super::on_workers;
use super::support::stress;
use rustlet::channel::{Receiver, TryRecvError, after, never, select, unbounded};
use rustlet::sync::{Callback, oneshot};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(1);

/// On one worker, on two, and on OS threads.
fn everywhere(case: impl Fn() + Send + Sync) {
    on_workers(1, &case);
    on_workers(2, &case);
    case();
}

/// Waits in a select.
fn arrives(receiver: &Receiver<()>) {
    select! {
        recv(receiver) -> told => assert_eq!(told, Ok(())),
        recv(never::<()>()) -> _ => unreachable!(),
    }
}

fn is_silent(receiver: &Receiver<()>) {
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    select! {
        recv(receiver) -> _ => panic!("there is nothing"),
        recv(after(SHORT)) -> _ => {}
    }
}

#[test]
fn the_value_of_a_oneshot_makes_its_receiver_ready() {
    everywhere(|| {
        let (sender, receiver) = oneshot::channel();
        let (first, second) = (receiver.receiver(), receiver.receiver());
        is_silent(&first);
        let thread = rustlet::spawn(move || {
            rustlet::sleep(SHORT);
            sender.send("value").unwrap();
        });
        arrives(&first);
        arrives(&second);
        arrives(&receiver.receiver());
        assert_eq!(receiver.recv(), Ok("value"));
        // `recv` has nothing to wait for, now or later.
        arrives(&first);
        assert!(receiver.recv().is_err());
        drop(receiver);
        arrives(&second);
        thread.join().unwrap();
    });
}

#[test]
fn a_oneshot_without_a_value_makes_its_receiver_ready() {
    everywhere(|| {
        let (sender, receiver) = oneshot::channel::<u8>();
        let told = receiver.receiver();
        let thread = rustlet::spawn(move || {
            rustlet::sleep(SHORT);
            drop(sender);
        });
        arrives(&told);
        assert!(receiver.recv().is_err());
        thread.join().unwrap();

        let (_sender, receiver) = oneshot::channel::<u8>();
        let told = receiver.receiver();
        is_silent(&told);
        receiver.close();
        arrives(&told);

        let (_sender, receiver) = oneshot::channel::<u8>();
        let told = receiver.receiver();
        let thread = rustlet::spawn(move || drop(receiver));
        arrives(&told);
        thread.join().unwrap();
    });
}

/// The receiver of readiness also works for values that borrow: it does not depend on the value.
#[test]
fn a_oneshot_of_what_is_borrowed() {
    let text = String::from("borrowed");
    let (sender, receiver) = oneshot::channel::<&str>();
    let told = receiver.receiver();
    std::thread::scope(|s| {
        s.spawn(|| sender.send(&text).unwrap());
        arrives(&told);
    });
    assert_eq!(receiver.try_recv(), Ok("borrowed"));
}

/// The sender sends while the receiver begins to query.
#[test]
fn a_oneshot_is_not_missed() {
    let count = stress(2_000);
    everywhere(|| {
        let (questions, asked) = unbounded::<oneshot::Sender<usize>>();
        let answering = rustlet::spawn(move || {
            for (n, sender) in asked.into_iter().enumerate() {
                (0..n % 3).for_each(|_| std::hint::spin_loop());
                sender.send(n).unwrap();
            }
        });
        for n in 0..count {
            let (sender, receiver) = oneshot::channel();
            questions.send(sender).unwrap();
            arrives(&receiver.receiver());
            assert_eq!(receiver.try_recv(), Ok(n));
        }
        drop(questions);
        answering.join().unwrap();
    });
}

#[test]
fn the_calls_of_a_callback_make_its_receiver_ready() {
    everywhere(|| {
        let callback = Callback::new();
        let told = callback.receiver();
        is_silent(&told);
        let called = callback.clone();
        let thread = rustlet::spawn(move || {
            rustlet::sleep(SHORT);
            called.call(1);
            called.call(2);
        });
        arrives(&told);
        // It takes nothing out.
        arrives(&told);
        thread.join().unwrap();
        assert_eq!(callback.wait(), 1);
        arrives(&told.clone());
        assert_eq!(callback.try_wait(), Some(2));
        is_silent(&told);
        // It keeps its source alive.
        callback.call(3);
        drop(callback);
        arrives(&told);
    });
}

/// Some select, some wait: exactly one of them receives each call.
#[test]
fn a_callback_loses_no_call() {
    const ASKING: usize = 3;
    let count = stress(1_000);
    everywhere(|| {
        let callback = Callback::new();
        let got = AtomicUsize::new(0);
        let sum = AtomicUsize::new(0);
        let (_open, closed) = unbounded::<()>();
        let has = |n: usize| {
            sum.fetch_add(n, Ordering::Relaxed);
            got.fetch_add(1, Ordering::Relaxed);
        };
        rustlet::scope(|s| {
            for _ in 0..ASKING {
                let (told, closed) = (callback.receiver(), closed.clone());
                let (callback, has, got) = (&callback, &has, &got);
                s.spawn(move || {
                    while got.load(Ordering::Relaxed) < count {
                        select! {
                            recv(told) -> _ => callback.try_wait().into_iter().for_each(has),
                            recv(closed) -> _ => unreachable!(),
                            recv(after(SHORT)) -> _ => {}
                        }
                    }
                });
            }
            s.spawn(|| {
                while got.load(Ordering::Relaxed) < count {
                    callback.wait_timeout(SHORT).into_iter().for_each(has);
                }
            });
            for n in 0..count {
                callback.call(n);
                if n % 7 == 0 {
                    rustlet::yield_now();
                }
            }
        });
        assert_eq!(got.into_inner(), count);
        assert_eq!(sum.into_inner(), count * (count - 1) / 2);
        assert_eq!(callback.try_wait(), None);
    });
}

/// The only waiter that can be notified is notified: no timer helps.
#[test]
fn a_callback_is_not_missed() {
    let count = stress(2_000);
    everywhere(|| {
        let (there, back) = (Callback::new(), Callback::new());
        let (their_there, their_back) = (there.clone(), back.clone());
        let other = rustlet::spawn(move || {
            let told = their_there.receiver();
            for n in 0..count {
                arrives(&told);
                assert_eq!(their_there.try_wait(), Some(n));
                their_back.call(n);
            }
        });
        let told = back.receiver();
        for n in 0..count {
            there.call(n);
            arrives(&told);
            assert_eq!(back.try_wait(), Some(n));
        }
        other.join().unwrap();
    });
}
