//! Models of the channels, on their real source, with loom's threads.

#![allow(unsafe_code, reason = "accesses the slots of selects by raw pointer")]

use loom::sync::Arc;
use loom::thread;

use super::chan::{Chan, UNBOUNDED};
use super::channel_thread::ChannelThread;
use super::outcome::Op;
use super::outcome::{Unreceived, Unsent};
use super::slot::{RecvSlot, Reservation, SendHeader, SendSlot, SlotState};
use super::task::{ReadyWait, SendStart, SendWait};
use crate::channel::select::poll_order::PollOrder;
use crate::channel::select::select_wait::{Arm, Operations, PollSource, SelectPark, WaitOutcome};
use crate::sync::wait::wait_in_queue::model::{Model, Until};
use crate::sync::wait::wait_in_queue::{Ended, Sleep};
use crate::sync::wait::wait_queue::Waiter;

impl ChannelThread for Model {
    fn wait_until_done(waiter: &Waiter<Model>) {
        assert_eq!(Model::wait_for(waiter, &Until::Dequeued), Ended::Dequeued);
    }

    unsafe fn can_run(&self) -> bool {
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
    channel.send(&SendSlot::new(value), || until)
}

fn receive(channel: &Channel, until: Until) -> Result<usize, Unreceived> {
    let recv_slot = RecvSlot::new();
    channel.recv(&recv_slot, || until)?;
    Ok(recv_slot.take().expect("the receive succeeded"))
}

/// No arms of the models are polled.
struct Nothing;

impl PollSource for Nothing {
    unsafe fn poll(&self, _: *mut ()) -> bool {
        false
    }

    fn is_ready(&self) -> bool {
        false
    }
}

struct Waiting(Until);

impl SelectPark<Model> for Waiting {
    fn park(&mut self, waiter: &Waiter<Model>) -> WaitOutcome {
        if Model::wait_for(waiter, &self.0) == Ended::Dequeued {
            return WaitOutcome::Dequeued;
        }
        if waiter.give_up() {
            return WaitOutcome::Elapsed;
        }
        Model::wait_until_done(waiter);
        WaitOutcome::Dequeued
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
    let (header, recv_slot) = (SendHeader::deferred(), RecvSlot::<usize>::new());
    let arms: [(Arm<'_, Model, Nothing>, *mut ()); 2] = [
        (Arm::channel(Op::Send, to), header.slot()),
        (Arm::channel(Op::Recv, from), recv_slot.slot()),
    ];
    let arms = Operations {
        arms: &arms,
        order: &PollOrder::Written,
    };
    match arms.select(Some(Waiting(until))) {
        None => Did::Nothing,
        Some(0) if keeps => {
            to.release(header.take_reservation());
            Did::Nothing
        }
        Some(0) => match to.commit(header.take_reservation(), &SendSlot::new(value)) {
            Ok(()) => Did::Sent,
            Err(_) => Did::Disconnected,
        },
        Some(_) => match recv_slot.take() {
            Some(value) => Did::Received(value),
            None => {
                assert_eq!(recv_slot.state(), SlotState::Disconnected);
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
            send(&other, 1, Until::Dequeued).unwrap();
            send(&other, 2, Until::Dequeued).unwrap();
        });
        assert_eq!(receive(&channel, Until::Dequeued), Ok(1));
        assert_eq!(receive(&channel, Until::Dequeued), Ok(2));
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
                thread::spawn(move || send(&channel, value, Until::Dequeued).unwrap())
            });
            let other = channel.clone();
            let receiver = thread::spawn(move || receive(&other, Until::Dequeued).unwrap());
            let first = receive(&channel, Until::Dequeued).unwrap();
            assert_eq!(first + receiver.join().unwrap(), 3);
            threads.map(|thread| thread.join().unwrap());
        });
    }
}

/// The value is received exactly if the send succeeds.
#[test]
fn loom_sender_times_out() {
    for capacity in [0, 1] {
        loom::model(move || {
            let channel = channel(capacity);
            if capacity == 1 {
                send(&channel, 7, Until::Dequeued).unwrap();
            }
            let other = channel.clone();
            let sender = thread::spawn(move || send(&other, 1, Until::GivesUp));
            if capacity == 1 {
                assert_eq!(receive(&channel, Until::Dequeued), Ok(7));
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
fn loom_receiver_times_out() {
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
fn loom_receivers_disconnect() {
    for capacity in [0, 1] {
        loom::model(move || {
            let channel = channel(capacity);
            let other = channel.clone();
            let sender = thread::spawn(move || {
                let first = send(&other, 1, Until::Dequeued);
                let second = send(&other, 2, Until::Dequeued);
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
fn loom_senders_disconnect() {
    for capacity in [0, 1] {
        loom::model(move || {
            let channel = channel(capacity);
            let other = channel.clone();
            let sender = thread::spawn(move || {
                let sent = send(&other, 1, Until::GivesUp);
                other.disconnect_senders();
                sent
            });
            let first = receive(&channel, Until::Dequeued);
            let second = receive(&channel, Until::Dequeued);
            assert_eq!(first.is_ok(), sender.join().unwrap().is_ok());
            assert_eq!(second, Err(Unreceived::Disconnected));
        });
    }
}

/// Two selects that each offer what the other wants: at capacity 0 one pair meets, and both know
/// which.
#[test]
fn loom_two_selects_rendezvous() {
    bounded(2, || {
        let (one, two) = (channel(0), channel(0));
        let (there, back) = (one.clone(), two.clone());
        let other = thread::spawn(move || select(&there, 1, &back, Until::Dequeued, false));
        let mine = select(&two, 2, &one, Until::Dequeued, false);
        let theirs = other.join().unwrap();
        match mine {
            Did::Sent => assert_eq!(theirs, Did::Received(2)),
            Did::Received(1) => assert_eq!(theirs, Did::Sent),
            other => panic!("{other:?} and {theirs:?}"),
        }
    });
}

#[test]
fn loom_two_selects_time_out() {
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
fn loom_select_send_aborted() {
    for capacity in [0, 1] {
        bounded(2, move || {
            let (channel, silent) = (channel(capacity), channel(1));
            let other = channel.clone();
            let fickle = thread::spawn(move || {
                let did = select(&other, 1, &silent, Until::GivesUp, true);
                assert_eq!(did, Did::Nothing);
            });
            let other = channel.clone();
            let sender = thread::spawn(move || send(&other, 2, Until::Dequeued).unwrap());
            assert_eq!(receive(&channel, Until::Dequeued), Ok(2));
            fickle.join().unwrap();
            sender.join().unwrap();
        });
    }
}

/// A select and a plain receiver, a sender that waits, and the end of the senders.
#[test]
fn loom_select_sees_disconnect() {
    bounded(3, || {
        let (channel, full) = (channel(0), channel(0));
        let other = channel.clone();
        let sender = thread::spawn(move || {
            let sent = send(&other, 1, Until::GivesUp);
            other.disconnect_senders();
            sent
        });
        let did = select(&full, 9, &channel, Until::Dequeued, false);
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
            let sender = thread::spawn(move || send(&other, 1, Until::Dequeued).unwrap());
            let arms: [(Arm<'_, Model, Nothing>, *mut ()); 1] =
                [(Arm::channel(Op::Recv, &*channel), std::ptr::null_mut())];
            let arms = Operations {
                arms: &arms,
                order: &PollOrder::Written,
            };
            assert_eq!(arms.ready(Some(Waiting(Until::Dequeued))), Some(0));
            let recv_slot = RecvSlot::new();
            channel.try_recv(&recv_slot).unwrap();
            assert_eq!(recv_slot.take(), Some(1));
            sender.join().unwrap();
        });
    }
}

/// A reserved place in a channel that has one.
fn reserve(channel: &Channel) -> Reservation<Model> {
    let header = SendHeader::<Model>::deferred();
    let arms: [(Arm<'_, Model, Nothing>, *mut ()); 1] =
        [(Arm::channel(Op::Send, channel), header.slot())];
    let arms = Operations {
        arms: &arms,
        order: &PollOrder::Written,
    };
    assert_eq!(arms.select(None::<Waiting>), Some(0));
    let reservation = header.take_reservation();
    assert!(matches!(reservation, Reservation::Room));
    reservation
}

/// Waits until one side is ready.
fn ready_wait(channel: &Channel, op: Op) {
    let arms: [(Arm<'_, Model, Nothing>, *mut ()); 1] =
        [(Arm::channel(op, channel), std::ptr::null_mut())];
    let arms = Operations {
        arms: &arms,
        order: &PollOrder::Written,
    };
    assert_eq!(arms.ready(Some(Waiting(Until::Dequeued))), Some(0));
}

/// A reserved place that is given back goes to the sender that waits for it.
#[test]
fn loom_released_reservation_frees_room() {
    loom::model(|| {
        let channel = channel(1);
        let reservation = reserve(&channel);
        let other = channel.clone();
        let sender = thread::spawn(move || send(&other, 2, Until::Dequeued).unwrap());
        channel.release(reservation);
        assert_eq!(receive(&channel, Until::Dequeued), Ok(2));
        sender.join().unwrap();
    });
}

/// A message bypasses the place that was reserved for it: observers for room are notified.
#[test]
fn loom_room_left_by_a_reservation() {
    bounded(3, || {
        let channel = channel(1);
        let reservation = reserve(&channel);
        let watcher = channel.clone();
        let watcher = thread::spawn(move || ready_wait(&watcher, Op::Send));
        let other = channel.clone();
        let receiver = thread::spawn(move || receive(&other, Until::Dequeued));
        channel.commit(reservation, &SendSlot::new(1)).unwrap();
        assert_eq!(receiver.join().unwrap(), Ok(1));
        watcher.join().unwrap();
    });
}

/// A message comes in because a place was given back: observers for messages are notified.
#[test]
fn loom_unparked_sender_keeps_order() {
    bounded(3, || {
        let channel = channel(1);
        let reservation = reserve(&channel);
        let other = channel.clone();
        let sender = thread::spawn(move || send(&other, 2, Until::Dequeued).unwrap());
        let watcher = channel.clone();
        let watcher = thread::spawn(move || ready_wait(&watcher, Op::Recv));
        channel.release(reservation);
        sender.join().unwrap();
        watcher.join().unwrap();
        assert_eq!(receive(&channel, Until::Dequeued), Ok(2));
    });
}

/// A send of a task is dropped while a receiver takes the value: it is received, or comes back.
#[test]
fn loom_send_of_a_task_is_received_or_withdrawn() {
    for capacity in [0, 1] {
        bounded(3, move || {
            let channel = channel(capacity);
            if capacity == 1 {
                send(&channel, 0, Until::Dequeued).unwrap();
            }
            let SendStart::Waiting(mut wait) = SendWait::start(&channel, 7, Model::current())
            else {
                panic!("there is no room");
            };
            let other = channel.clone();
            let receiver = thread::spawn(move || {
                let first = (capacity == 1).then(|| receive(&other, Until::Dequeued));
                (first, receive(&other, Until::GivesUp))
            });
            let back = wait.withdraw();
            let (first, got) = receiver.join().unwrap();
            assert!(first.is_none_or(|first| first == Ok(0)));
            let left = channel.try_recv(&RecvSlot::new()).is_ok();
            assert!(got.is_err_and(|error| error == Unreceived::Empty) || got == Ok(7));
            let times = [back.is_some(), got.is_ok(), left]
                .iter()
                .filter(|&&is| is)
                .count();
            assert_eq!(times, 1, "the value is in one place");
        });
    }
}

/// The receivers go while a send of a task waits: it is told, and has the value.
#[test]
fn loom_send_of_a_task_is_disconnected() {
    bounded(3, || {
        let channel = channel(0);
        let other = channel.clone();
        let sender = thread::spawn(move || match SendWait::start(&other, 7, Model::current()) {
            SendStart::Sent => panic!("there is no receiver"),
            SendStart::Disconnected(value) => value,
            SendStart::Waiting(mut wait) => {
                while !wait.is_done() {
                    thread::yield_now();
                }
                wait.withdraw().expect("it was not received")
            }
        });
        channel.disconnect_receivers();
        assert_eq!(sender.join().unwrap(), 7);
    });
}

/// A receiver that is a task registers and then looks: it sees the message, or is woken. One that
/// is dropped after it was woken has taken nothing.
#[test]
fn loom_receive_of_a_task() {
    for capacity in [0, 1] {
        bounded(3, move || {
            let channel = channel(capacity);
            let other = channel.clone();
            let sender = thread::spawn(move || send(&other, 7, Until::Dequeued).unwrap());
            let quitter = ReadyWait::start(&channel, Model::current());
            let take = || {
                let recv_slot = RecvSlot::new();
                channel.try_recv(&recv_slot).ok()?;
                recv_slot.take()
            };
            let mut ready_wait = ReadyWait::start(&channel, Model::current());
            let mut got = take();
            drop(quitter);
            while got.is_none() {
                while !ready_wait.is_done() {
                    thread::yield_now();
                }
                ready_wait = ReadyWait::start(&channel, Model::current());
                got = take();
            }
            assert_eq!(got, Some(7));
            drop(ready_wait);
            sender.join().unwrap();
        });
    }
}
