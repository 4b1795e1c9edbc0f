//! `select!` and `select_biased!`: their syntax and their behaviour.
#![allow(
    unreachable_code,
    clippy::diverging_sub_expression,
    clippy::unnecessary_literal_unwrap,
    clippy::redundant_closure_call,
    clippy::never_loop,
    reason = "whatever can be written as an arm"
)]

use super::channel::{
    Receiver, RecvError, SendError, Sender, after, bounded, never, select, select_biased, unbounded,
};
use super::{enter, thread};
use crate::support::stress;
use std::cell::Cell;
use std::ops::Deref;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(2);

#[test]
fn does_one() {
    enter(|| {
        let (sender, receiver) = bounded(1);
        let (other, silent) = bounded(1);
        for round in 0..10 {
            let sent = select! {
                send(sender, round) -> sent => sent.is_ok(),
                recv(receiver) -> _ => unreachable!(),
                recv(silent) -> _ => unreachable!(),
            };
            assert!(sent);
            select! {
                send(sender, 99) -> _ => unreachable!(),
                recv(receiver) -> message => assert_eq!(message, Ok(round)),
                recv(silent) -> _ => unreachable!(),
            }
        }
        other.send(()).unwrap();
        assert_eq!((receiver.len(), silent.len()), (0, 1));
    });
}

#[test]
fn default_arms() {
    enter(|| {
        let (sender, receiver) = bounded::<i32>(0);
        select! { recv(receiver) -> _ => unreachable!(), default => {} }
        select! { send(sender, 1) -> _ => unreachable!(), default() => {} }
        select! { default => {}, recv(receiver) -> _ => unreachable!() }
        let value = select! {
            recv(receiver) -> _ => "message",
            default(SHORT) => "nothing",
        };
        assert_eq!(value, "nothing");
        select! { default => {} }
        select! { default(SHORT) => {} }
        select! { default(SHORT,) => {}, }
        let count = Cell::new(0);
        let span = || {
            count.set(count.get() + 1);
            SHORT
        };
        select! { recv(receiver) -> _ => unreachable!(), default(span()) => {} }
        assert_eq!(count.get(), 1);
    });
}

#[test]
fn a_message_is_evaluated_when_it_is_sent() {
    enter(|| {
        let (sender, receiver) = bounded(1);
        let (full, _held) = bounded(0);
        let message = String::from("one value for two arms");
        select! {
            send(full, message) -> _ => unreachable!(),
            send(sender, message) -> sent => sent.unwrap(),
        }
        select! {
            send(sender, unreachable!()) -> _ => {},
            recv(receiver) -> message => assert!(message.is_ok()),
        }
        let count = Cell::new(0);
        let next = || {
            count.set(count.get() + 1);
            String::new()
        };
        select! { send(sender, next()) -> _ => {} }
        select! { send(sender, next()) -> _ => unreachable!(), default => {} }
        assert_eq!(count.get(), 1);
    });
}

#[test]
fn syntax_of_the_arms() {
    enter(|| {
        struct Wrapped<T>(T);
        impl<T> Deref for Wrapped<T> {
            type Target = T;
            fn deref(&self) -> &T {
                &self.0
            }
        }
        let (s, r): (Sender<i32>, Receiver<i32>) = unbounded();
        select! { send(&&&s, 0) -> _ => {} recv(&&&r) -> _ => {} }
        let boxed = Box::new(r.clone());
        select! { recv(*boxed) -> _ => {}, send(s, 1,) -> _ => {}, }
        let wrapped = Wrapped(r.clone());
        select! { recv(wrapped,) -> _ => {}, default => {}, }
        select! { recv(Some(&r).unwrap_or(&never())) -> _ => {}, default => {} }
        select! { recv((|| r.clone())()) -> _ => {}, default => () }
        while r.try_recv().is_ok() {}
        let value: f64 = select! {
            recv(r) -> _ => loop { break 3.0 },
            recv(r) -> message => match message { Ok(n) => n.into(), Err(RecvError) => 1. },
            recv(r) -> message => if message.is_ok() { 1. } else { 2. },
            default => 7.
        };
        assert_eq!(value, 7.);
        let text = select! {
            recv(r) -> _ => "first".into(),
            send(s, 3) -> _ => { String::from("second") }
            default => "third".to_owned(),
        };
        assert_eq!(text, "second");
        // The handles are free in the body.
        select! { recv(r) -> r => assert_eq!(r, Ok(3)), }
        select! {
            recv(r) -> _ => drop(r),
            send(s, 4) -> _ => drop((s, r)),
        }
        let once = Box::new(());
        let (s, r) = bounded::<i32>(1);
        select! {
            recv(r) -> _ => drop(once),
            send(s, 0) -> _ => drop(once),
            default => drop(once),
        }
        for n in 0..10 {
            select! {
                recv(r) -> _ => continue,
                default => if n > 5 { break },
            }
        }
    });
}

#[test]
fn types_of_results() {
    enter(|| {
        let (sender, _) = bounded::<i32>(0);
        let (_, receiver) = bounded::<i32>(0);
        select! {
            send(sender, 0) -> sent => { let _: Result<(), SendError<i32>> = sent; },
            recv(receiver) -> received => { let _: Result<i32, RecvError> = received; }
        }
    });
}

#[test]
fn fair_or_biased() {
    enter(|| {
        let count = stress(600);
        let (first, second) = (unbounded(), unbounded());
        for _ in 0..count {
            first.0.send(()).unwrap();
            second.0.send(()).unwrap();
        }
        let mut hits = [0; 3];
        for _ in 0..count {
            select! {
                recv(first.1) -> _ => hits[0] += 1,
                recv(second.1) -> _ => hits[1] += 1,
                recv(after(Duration::ZERO)) -> _ => hits[2] += 1,
            }
        }
        assert!(hits.iter().all(|&hits| hits > count / 6), "{hits:?}");
        let left = first.1.len();
        for _ in 0..left {
            select_biased! {
                recv(first.1) -> _ => {},
                recv(second.1) -> _ => unreachable!(),
            }
        }
        select_biased! {
            recv(first.1) -> _ => unreachable!(),
            recv(second.1) -> _ => {},
            default => unreachable!(),
        }
    });
}

#[test]
fn a_ring() {
    enter(|| {
        let hands = 5;
        let rounds = stress(50);
        let channels: Vec<_> = (0..hands).map(|at| bounded::<usize>(at % 3)).collect();
        let threads: Vec<_> = (0..hands)
            .map(|at| {
                let receiver = channels[at].1.clone();
                let sender = channels[(at + 1) % hands].0.clone();
                thread::spawn(move || {
                    let quiet = never::<()>();
                    let mut kept = (at == 0).then_some(0);
                    loop {
                        if let Some(stone) = kept.take() {
                            select! {
                                send(sender, stone + 1) -> sent => if sent.is_err() { return },
                                recv(quiet) -> _ => unreachable!(),
                            }
                            if stone + 1 > rounds * hands {
                                return;
                            }
                        }
                        select! {
                            recv(receiver) -> message => match message {
                                Ok(stone) => kept = Some(stone),
                                Err(RecvError) => return,
                            },
                            recv(quiet) -> _ => unreachable!(),
                        }
                    }
                })
            })
            .collect();
        drop(channels);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
