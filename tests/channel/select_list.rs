//! `Select` and `SelectedOperation`.

use super::channel::{Receiver, RecvError, Select, SendError, Sender, bounded, unbounded};
use super::{enter, thread};
use crate::support::stress;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(2);

fn panics<T>(what: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(|| drop(what()))).expect_err("it panics");
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap()
}

#[test]
fn chooses_what_is_ready() {
    enter(|| {
        let channels: Vec<(Sender<usize>, Receiver<usize>)> = (0..40).map(|_| bounded(1)).collect();
        let mut list = Select::new();
        for (at, (_, receiver)) in channels.iter().enumerate() {
            assert_eq!(list.recv(receiver), at);
        }
        assert!(list.try_select().is_err());
        assert!(list.select_timeout(SHORT).is_err());
        assert!(list.select_deadline(Instant::now()).is_err());
        for at in [0, 39, 17] {
            channels[at].0.send(at).unwrap();
            assert_eq!(list.try_ready(), Ok(at));
            let chosen = list.try_select().unwrap();
            assert_eq!(chosen.index(), at);
            assert_eq!(chosen.recv(&channels[at].1), Ok(at));
            assert!(list.try_select().is_err());
        }
    });
}

#[test]
fn completes_after_the_list_has_gone() {
    enter(|| {
        let (sender, receiver) = bounded(1);
        let chosen = {
            let mut list = Select::new();
            list.send(&sender);
            list.select()
        };
        chosen.send(&sender, "this").unwrap();
        let chosen = {
            let mut list = Select::new();
            list.recv(&receiver);
            list.select()
        };
        assert_eq!(chosen.recv(&receiver), Ok("this"));
    });
}

#[test]
fn finds_that_the_other_side_has_gone() {
    enter(|| {
        let (sender, receiver) = bounded::<i32>(1);
        let mut list = Select::new();
        list.send(&sender);
        drop(receiver);
        assert_eq!(list.select().send(&sender, 2), Err(SendError(2)));
        let (sender, receiver) = unbounded::<i32>();
        drop(sender);
        let mut list = Select::new();
        list.recv(&receiver);
        assert_eq!(list.select().recv(&receiver), Err(RecvError));
    });
}

#[test]
fn numbers_stay() {
    enter(|| {
        let channels: Vec<(Sender<usize>, Receiver<usize>)> = (0..4).map(|_| unbounded()).collect();
        let mut list = Select::new();
        for (sender, receiver) in &channels {
            list.recv(receiver);
            sender.send(7).unwrap();
        }
        list.remove(0);
        list.remove(2);
        let chosen = list.clone().select();
        let first = chosen.index();
        assert_eq!(chosen.recv(&channels[first].1), Ok(7));
        assert_eq!(list.ready() + first, 1 + 3);
        list.remove(4 - first);
        assert_eq!(list.recv(&channels[0].1), 4);
        let chosen = list.select();
        assert_eq!(chosen.index(), 4);
        chosen.recv(&channels[0].1).unwrap();
        assert!(list.try_ready().is_err());
        assert!(panics(|| list.remove(9)).contains("index out of bounds; 9 >= 5"));
        assert!(panics(|| list.remove(2)).contains("no operation with this index"));
    });
}

#[test]
fn misuse_panics() {
    enter(|| {
        let none = "no operations have been added to `Select`";
        assert!(panics(|| Select::new().select()).contains(none));
        assert!(panics(|| Select::new().ready()).contains(none));
        assert!(Select::new().select_timeout(SHORT).is_err());
        assert!(Select::default().ready_timeout(SHORT).is_err());
        assert!(Select::new().try_select().is_err());
    });
}

#[test]
fn fair_or_biased() {
    enter(|| {
        let count = stress(500);
        let channels: Vec<(Sender<()>, Receiver<()>)> = (0..3).map(|_| unbounded()).collect();
        for (sender, _) in &channels {
            (0..count).for_each(|_| sender.send(()).unwrap());
        }
        let mut list = Select::new();
        for (_, receiver) in &channels {
            list.recv(receiver);
        }
        let mut hits = [0; 3];
        for _ in 0..count {
            let chosen = list.select();
            hits[chosen.index()] += 1;
            let at = chosen.index();
            chosen.recv(&channels[at].1).unwrap();
        }
        assert!(hits.iter().all(|&hits| hits > count / 6), "{hits:?}");
        let mut list = Select::new_biased();
        for (_, receiver) in &channels {
            list.recv(receiver);
        }
        let left = channels[0].1.len();
        for _ in 0..left {
            let chosen = list.select();
            assert_eq!(chosen.index(), 0);
            chosen.recv(&channels[0].1).unwrap();
        }
        assert_eq!(list.ready(), 1);
    });
}

#[test]
fn ready_and_then_try() {
    enter(|| {
        let channels: Vec<(Sender<usize>, Receiver<usize>)> =
            [0, 1, 3].into_iter().map(bounded).collect();
        let count = stress(100);
        let threads: Vec<_> = (channels.iter())
            .map(|(sender, _)| {
                let sender = sender.clone();
                thread::spawn(move || (0..count).for_each(|n| sender.send(n).unwrap()))
            })
            .collect();
        let mut list = Select::new();
        for (_, receiver) in &channels {
            list.recv(receiver);
        }
        let mut next = [0; 3];
        while next.iter().sum::<usize>() < 3 * count {
            let at = list.ready();
            if let Ok(message) = channels[at].1.try_recv() {
                assert_eq!(message, next[at]);
                next[at] += 1;
            }
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        // And sending.
        let (sender, receiver) = bounded(0);
        let thread = thread::spawn(move || receiver.iter().count());
        let mut sent = 0;
        while sent < count {
            let mut list = Select::new();
            list.send(&sender);
            assert_eq!(list.ready(), 0);
            sent += usize::from(sender.try_send(()).is_ok());
        }
        drop(sender);
        assert_eq!(thread.join().unwrap(), count);
    });
}

/// Each of two threads waits for the other with all operations.
#[test]
fn two_that_look_for_each_other() {
    enter(|| {
        let (one, two) = (bounded::<usize>(0), bounded::<usize>(0));
        let count = stress(200);
        let talk = move |(send, receive): (Sender<usize>, Receiver<usize>)| {
            move || {
                let (mut sent, mut received) = (0, 0);
                while sent < count || received < count {
                    let mut list = Select::new();
                    let sending = (sent < count).then(|| list.send(&send));
                    if received < count {
                        list.recv(&receive);
                    }
                    let chosen = list.select();
                    if Some(chosen.index()) == sending {
                        chosen.send(&send, sent).unwrap();
                        sent += 1;
                    } else {
                        assert_eq!(chosen.recv(&receive), Ok(received));
                        received += 1;
                    }
                }
            }
        };
        let thread = thread::spawn(talk((one.0, two.1)));
        talk((two.0, one.1))();
        thread.join().unwrap();
    });
}

/// Hundreds of operations, each channel among them twice, in both directions.
#[test]
fn of_many() {
    enter(|| {
        let channels: Vec<_> = (0..stress(300)).map(|_| bounded(1)).collect();
        let sender = channels[250].0.clone();
        let thread = thread::spawn(move || (0..3).for_each(|n| sender.send(n).unwrap()));
        for n in 0..3 {
            let mut list = Select::new();
            for (_, receiver) in channels.iter().chain(&channels) {
                list.recv(receiver);
            }
            let chosen = list.select();
            assert_eq!(chosen.index() % channels.len(), 250);
            assert_eq!(chosen.recv(&channels[250].1), Ok(n));
        }
        thread.join().unwrap();
        let mut list = Select::new();
        for (sender, _) in channels.iter().chain(&channels) {
            list.send(sender);
        }
        for _ in 0..channels.len() {
            let chosen = list.select_timeout(Duration::from_secs(60)).unwrap();
            let at = chosen.index() % channels.len();
            chosen.send(&channels[at].0, 7).unwrap();
        }
        assert!(list.try_select().is_err());
        assert!(list.select_timeout(Duration::ZERO).is_err());
    });
}
