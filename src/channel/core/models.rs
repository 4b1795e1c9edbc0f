//! Models of the channels, on their real source, with loom's threads.

#![allow(unsafe_code, reason = "slots of selects")]

use loom::sync::Arc;
use loom::thread;

use super::chan::{Chan, UNBOUNDED};
use super::outcome::Side;
use super::outcome::{Unreceived, Unsent};
use super::sleep::Waits;
use super::slot::{Fate, Head, Offer, Place, Pledge};
use crate::channel::select::several::{Arm, Arms, Order, Pause, Polled, Verdict};
use crate::sync::wait::line::Ticket;
use crate::sync::wait::stand::model::{Model, Until};
use crate::sync::wait::stand::{Ended, Sleep};

impl Waits for Model {
    fn wait_out(ticket: &Ticket<Model>) {
        assert_eq!(Model::wait_for(ticket, &Until::Claimed), Ended::Claimed);
    }

    unsafe fn can_come(&self) -> bool {
        true
    }

    fn unwind() {}
}

type Channel = Chan<usize, Model>;

fn bounded(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

fn channel(capacity: usize) -> Arc<Channel> {
    Arc::new(Chan::new(capacity))
}

fn send(channel: &Channel, value: usize, until: Until) -> Result<(), Unsent> {
    channel.send(&Offer::new(value), || until)
}

fn receive(channel: &Channel, until: Until) -> Result<usize, Unreceived> {
    let place = Place::new();
    channel.recv(&place, || until)?;
    Ok(place.take().expect("the receive succeeded"))
}

/// No arms of the models are polled.
struct Nothing;

impl Polled for Nothing {
    unsafe fn poll(&self, _: *mut ()) -> bool {
        false
    }

    fn is_ready(&self) -> bool {
        false
    }
}

struct Waiting(Until);

impl Pause<Model> for Waiting {
    fn pause(&mut self, ticket: &Ticket<Model>) -> Verdict {
        if Model::wait_for(ticket, &self.0) == Ended::Claimed {
            return Verdict::Claimed;
        }
        if ticket.give_up() {
            return Verdict::Elapsed;
        }
        Model::wait_out(ticket);
        Verdict::Claimed
    }

    fn unwind(&mut self) {}
}

/// The result of a select of the models.
#[derive(Debug, PartialEq, Eq)]
enum Did {
    Sent,
    Received(usize),
    Nothing,
    Disconnected,
}

/// Sends `value` to the first channel, or receives from the second. `keeps`: releases the
/// reservation instead of sending.
fn select(to: &Channel, value: usize, from: &Channel, until: Until, keeps: bool) -> Did {
    let (head, place) = (Head::lazy(), Place::<usize>::new());
    let arms: [(Arm<'_, Model, Nothing>, *mut ()); 2] = [
        (Arm::meeting(Side::Send, to), head.slot()),
        (Arm::meeting(Side::Recv, from), place.slot()),
    ];
    let arms = Arms {
        arms: &arms,
        order: &Order::Written,
    };
    match arms.select(Some(Waiting(until))) {
        None => Did::Nothing,
        Some(0) if keeps => {
            to.renounce(head.take_pledge());
            Did::Nothing
        }
        Some(0) => match to.redeem(head.take_pledge(), &Offer::new(value)) {
            Ok(()) => Did::Sent,
            Err(_) => Did::Disconnected,
        },
        Some(_) => match place.take() {
            Some(value) => Did::Received(value),
            None => {
                assert_eq!(place.fate(), Fate::Disconnected);
                Did::Disconnected
            }
        },
    }
}

fn passes_two(capacity: usize) {
    loom::model(move || {
        let channel = channel(capacity);
        let other = channel.clone();
        let sender = thread::spawn(move || {
            send(&other, 1, Until::Claimed).unwrap();
            send(&other, 2, Until::Claimed).unwrap();
        });
        assert_eq!(receive(&channel, Until::Claimed), Ok(1));
        assert_eq!(receive(&channel, Until::Claimed), Ok(2));
        sender.join().unwrap();
    });
}

#[test]
fn loom_capacity_0() {
    passes_two(0);
}

#[test]
fn loom_capacity_1() {
    passes_two(1);
}

#[test]
fn loom_unbounded() {
    passes_two(UNBOUNDED);
}

#[test]
fn loom_two_senders_two_receivers() {
    for capacity in [0, 1] {
        bounded(2, move || {
            let channel = channel(capacity);
            let threads = [1, 2].map(|value| {
                let channel = channel.clone();
                thread::spawn(move || send(&channel, value, Until::Claimed).unwrap())
            });
            let other = channel.clone();
            let receiver = thread::spawn(move || receive(&other, Until::Claimed).unwrap());
            let first = receive(&channel, Until::Claimed).unwrap();
            assert_eq!(first + receiver.join().unwrap(), 3);
            threads.map(|thread| thread.join().unwrap());
        });
    }
}

/// The value is received exactly if the send succeeds.
#[test]
fn loom_a_sender_gives_up() {
    for capacity in [0, 1] {
        loom::model(move || {
            let channel = channel(capacity);
            if capacity == 1 {
                send(&channel, 7, Until::Claimed).unwrap();
            }
            let other = channel.clone();
            let sender = thread::spawn(move || send(&other, 1, Until::GivesUp));
            if capacity == 1 {
                assert_eq!(receive(&channel, Until::Claimed), Ok(7));
            }
            let received = receive(&channel, Until::GivesUp);
            let sent = sender.join().unwrap();
            let late = receive(&channel, Until::GivesUp);
            let got = received.is_ok() as usize + late.is_ok() as usize;
            assert_eq!(got, sent.is_ok() as usize);
        });
    }
}

#[test]
fn loom_a_receiver_gives_up() {
    for capacity in [0, 1, UNBOUNDED] {
        loom::model(move || {
            let channel = channel(capacity);
            let other = channel.clone();
            let receiver = thread::spawn(move || receive(&other, Until::GivesUp));
            let sent = send(&channel, 1, Until::GivesUp);
            let received = receiver.join().unwrap();
            let left = receive(&channel, Until::GivesUp);
            let got = received.is_ok() as usize + left.is_ok() as usize;
            assert_eq!(got, sent.is_ok() as usize);
        });
    }
}

#[test]
fn loom_the_receivers_go() {
    for capacity in [0, 1] {
        loom::model(move || {
            let channel = channel(capacity);
            let other = channel.clone();
            let sender = thread::spawn(move || {
                let first = send(&other, 1, Until::Claimed);
                let second = send(&other, 2, Until::Claimed);
                assert!(first.is_ok() || second.is_err());
                assert_eq!(second, Err(Unsent::Disconnected));
            });
            channel.disconnect_receivers();
            sender.join().unwrap();
            assert_eq!(channel.len(), 0);
        });
    }
}

#[test]
fn loom_the_senders_go() {
    for capacity in [0, 1] {
        loom::model(move || {
            let channel = channel(capacity);
            let other = channel.clone();
            let sender = thread::spawn(move || {
                let sent = send(&other, 1, Until::GivesUp);
                other.disconnect_senders();
                sent
            });
            let first = receive(&channel, Until::Claimed);
            let second = receive(&channel, Until::Claimed);
            assert_eq!(first.is_ok(), sender.join().unwrap().is_ok());
            assert_eq!(second, Err(Unreceived::Disconnected));
        });
    }
}

/// Two selects that each offer what the other wants: at capacity 0 one pair meets, and both know
/// which.
#[test]
fn loom_two_selects_meet() {
    bounded(2, || {
        let (one, two) = (channel(0), channel(0));
        let (there, back) = (one.clone(), two.clone());
        let other = thread::spawn(move || select(&there, 1, &back, Until::Claimed, false));
        let mine = select(&two, 2, &one, Until::Claimed, false);
        let theirs = other.join().unwrap();
        match mine {
            Did::Sent => assert_eq!(theirs, Did::Received(2)),
            Did::Received(1) => assert_eq!(theirs, Did::Sent),
            other => panic!("{other:?} and {theirs:?}"),
        }
    });
}

#[test]
fn loom_two_selects_that_give_up() {
    for capacity in [0, 1] {
        bounded(2, move || {
            let (one, two) = (channel(capacity), channel(capacity));
            let (there, back) = (one.clone(), two.clone());
            let other = thread::spawn(move || select(&there, 1, &back, Until::GivesUp, false));
            let mine = select(&two, 2, &one, Until::GivesUp, false);
            let theirs = other.join().unwrap();
            let sent = [&mine, &theirs]
                .into_iter()
                .filter(|did| **did == Did::Sent);
            let got = [&mine, &theirs].into_iter();
            let got = got.filter(|did| matches!(did, Did::Received(_))).count();
            assert_eq!(sent.count(), got + one.len() + two.len());
        });
    }
}

/// A select has chosen to send, and then does not: the waiter keeps waiting.
#[test]
fn loom_a_select_that_thinks_better_of_it() {
    for capacity in [0, 1] {
        bounded(2, move || {
            let (channel, silent) = (channel(capacity), channel(1));
            let other = channel.clone();
            let fickle = thread::spawn(move || {
                let did = select(&other, 1, &silent, Until::GivesUp, true);
                assert_eq!(did, Did::Nothing);
            });
            let other = channel.clone();
            let sender = thread::spawn(move || send(&other, 2, Until::Claimed).unwrap());
            assert_eq!(receive(&channel, Until::Claimed), Ok(2));
            fickle.join().unwrap();
            sender.join().unwrap();
        });
    }
}

/// A select and a plain receiver, a sender that waits, and the end of the senders.
#[test]
fn loom_a_select_is_told_of_the_end() {
    bounded(3, || {
        let (channel, full) = (channel(0), channel(0));
        let other = channel.clone();
        let sender = thread::spawn(move || {
            let sent = send(&other, 1, Until::GivesUp);
            other.disconnect_senders();
            sent
        });
        let did = select(&full, 9, &channel, Until::Claimed, false);
        match sender.join().unwrap() {
            Ok(()) => assert_eq!(did, Did::Received(1)),
            Err(_) => assert_eq!(did, Did::Disconnected),
        }
    });
}

/// Watchers are notified of each change that makes their channel ready.
#[test]
fn loom_ready() {
    for capacity in [0, 1] {
        bounded(3, move || {
            let channel = channel(capacity);
            let other = channel.clone();
            let sender = thread::spawn(move || send(&other, 1, Until::Claimed).unwrap());
            let arms: [(Arm<'_, Model, Nothing>, *mut ()); 1] =
                [(Arm::meeting(Side::Recv, &*channel), std::ptr::null_mut())];
            let arms = Arms {
                arms: &arms,
                order: &Order::Written,
            };
            assert_eq!(arms.ready(Some(Waiting(Until::Claimed))), Some(0));
            let place = Place::new();
            channel.try_recv(&place).unwrap();
            assert_eq!(place.take(), Some(1));
            sender.join().unwrap();
        });
    }
}

/// A reserved place in a channel that has one.
fn pledge(channel: &Channel) -> Pledge<Model> {
    let head = Head::<Model>::lazy();
    let arms: [(Arm<'_, Model, Nothing>, *mut ()); 1] =
        [(Arm::meeting(Side::Send, channel), head.slot())];
    let arms = Arms {
        arms: &arms,
        order: &Order::Written,
    };
    assert_eq!(arms.select(None::<Waiting>), Some(0));
    let pledge = head.take_pledge();
    assert!(matches!(pledge, Pledge::Room));
    pledge
}

/// Waits until one side is ready.
fn watch(channel: &Channel, side: Side) {
    let arms: [(Arm<'_, Model, Nothing>, *mut ()); 1] =
        [(Arm::meeting(side, channel), std::ptr::null_mut())];
    let arms = Arms {
        arms: &arms,
        order: &Order::Written,
    };
    assert_eq!(arms.ready(Some(Waiting(Until::Claimed))), Some(0));
}

/// A reserved place that is given back goes to the sender that waits for it.
#[test]
fn loom_room_that_is_given_back() {
    loom::model(|| {
        let channel = channel(1);
        let pledge = pledge(&channel);
        let other = channel.clone();
        let sender = thread::spawn(move || send(&other, 2, Until::Claimed).unwrap());
        channel.renounce(pledge);
        assert_eq!(receive(&channel, Until::Claimed), Ok(2));
        sender.join().unwrap();
    });
}

/// A message bypasses the place that was reserved for it: watchers for room are notified.
#[test]
fn loom_room_that_a_pledge_leaves() {
    bounded(3, || {
        let channel = channel(1);
        let pledge = pledge(&channel);
        let watcher = channel.clone();
        let watcher = thread::spawn(move || watch(&watcher, Side::Send));
        let other = channel.clone();
        let receiver = thread::spawn(move || receive(&other, Until::Claimed));
        channel.redeem(pledge, &Offer::new(1)).unwrap();
        assert_eq!(receiver.join().unwrap(), Ok(1));
        watcher.join().unwrap();
    });
}

/// A message comes in because a place was given back: watchers for messages are notified.
#[test]
fn loom_what_is_let_in() {
    bounded(3, || {
        let channel = channel(1);
        let pledge = pledge(&channel);
        let other = channel.clone();
        let sender = thread::spawn(move || send(&other, 2, Until::Claimed).unwrap());
        let watcher = channel.clone();
        let watcher = thread::spawn(move || watch(&watcher, Side::Recv));
        channel.renounce(pledge);
        sender.join().unwrap();
        watcher.join().unwrap();
        assert_eq!(receive(&channel, Until::Claimed), Ok(2));
    });
}
