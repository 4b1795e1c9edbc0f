//! Every message is received once, or given back, or dropped by the wait that was cancelled, for
//! all operations, in any order, by any kind of thread.

use crate::on_workers;
use crate::support::stress;
use rustlet::channel::{
    Receiver, Select, SendTimeoutError, Sender, TrySendError, bounded, select, unbounded,
};
use rustlet::yield_now;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

struct Chance(u64);

impl Chance {
    fn below(&mut self, count: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % count
    }
}

/// How often each message has ended in each way.
struct Ledger {
    received: Vec<AtomicUsize>,
    dropped: Vec<AtomicUsize>,
    next: AtomicUsize,
}

/// Records the message's end in the ledger.
struct Message {
    number: usize,
    received: bool,
    ledger: Arc<Ledger>,
}

impl Message {
    fn new(ledger: &Arc<Ledger>) -> Option<Message> {
        let number = ledger.next.fetch_add(1, SeqCst);
        (number < ledger.received.len()).then(|| Message {
            number,
            received: false,
            ledger: Arc::clone(ledger),
        })
    }

    fn receive(mut self) {
        self.received = true;
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        let of = if self.received {
            &self.ledger.received
        } else {
            &self.ledger.dropped
        };
        of[self.number].fetch_add(1, SeqCst);
    }
}

type Ends = Vec<(Sender<Message>, Receiver<Message>)>;

/// Does one random operation. Returns false when there are no messages any more.
fn step(chance: &mut Chance, channels: &Ends, ledger: &Arc<Ledger>) -> bool {
    let count = channels.len() as u64;
    let (sender, receiver) = &channels[chance.below(count) as usize];
    let (other_sender, other_receiver) = &channels[chance.below(count) as usize];
    let span = Duration::from_micros([0, 1, 20, 200][chance.below(4) as usize]);
    let Some(message) = Message::new(ledger) else {
        return false;
    };
    match chance.below(14) {
        0 => match sender.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Full(back) | TrySendError::Disconnected(back)) => drop(back),
        },
        1 | 2 => match sender.send_timeout(message, span) {
            Ok(()) => {}
            Err(SendTimeoutError::Timeout(back) | SendTimeoutError::Disconnected(back)) => {
                drop(back);
            }
        },
        3 | 4 => {
            drop(message);
            let _ = receiver.try_recv().map(Message::receive);
        }
        5 | 6 => {
            drop(message);
            let _ = receiver.recv_timeout(span).map(Message::receive);
        }
        7 => select! {
            send(sender, message) -> sent => drop(sent),
            recv(other_receiver) -> received => { received.map(Message::receive).ok(); }
            default(span) => {}
        },
        8 => select! {
            send(sender, message) -> sent => drop(sent),
            send(other_sender, message) -> sent => drop(sent),
            default => {}
        },
        9 => {
            drop(message);
            select! {
                recv(receiver) -> received => { received.map(Message::receive).ok(); }
                recv(other_receiver) -> received => { received.map(Message::receive).ok(); }
                default(span) => {}
            }
        }
        10 => {
            let mut list = Select::new();
            let sending = list.send(sender);
            list.recv(other_receiver);
            if let Ok(chosen) = list.select_timeout(span) {
                if chance.below(2) == 0 {
                    yield_now();
                }
                if chosen.index() == sending {
                    drop(chosen.send(sender, message));
                } else {
                    let _ = chosen.recv(other_receiver).map(Message::receive);
                }
            }
        }
        11 => {
            // The message's expression leaves: the reservation is released.
            let fails = chance.below(2) == 0;
            let mut message = Some(message);
            let _left = (|| {
                select! {
                    send(sender, { if fails { return None } message.take()? }) -> sent => drop(sent),
                    recv(other_receiver) -> received => { received.map(Message::receive).ok(); }
                    default(span) => {}
                }
                Some(())
            })();
        }
        12 => {
            drop(message);
            let mut list = Select::new();
            list.recv(receiver);
            list.send(other_sender);
            if let Ok(0) = list.ready_timeout(span) {
                let _ = receiver.try_recv().map(Message::receive);
            }
        }
        _ => {
            drop(message);
            yield_now();
        }
    }
    true
}

fn run(seed: u64, workers: usize, messages: usize) {
    let mut chance = Chance(seed);
    let ledger = Arc::new(Ledger {
        received: (0..messages).map(|_| AtomicUsize::new(0)).collect(),
        dropped: (0..messages).map(|_| AtomicUsize::new(0)).collect(),
        next: AtomicUsize::new(0),
    });
    let channels: Arc<Ends> = Arc::new(vec![bounded(0), bounded(1), bounded(3), unbounded()]);
    let actor = |seed| {
        let (channels, ledger) = (Arc::clone(&channels), Arc::clone(&ledger));
        move || {
            let mut chance = Chance(seed);
            while step(&mut chance, &channels, &ledger) {}
        }
    };
    let os: Vec<_> = (0..2)
        .map(|_| std::thread::spawn(actor(chance.below(u64::MAX) | 1)))
        .collect();
    on_workers(workers, || {
        let green: Vec<_> = (0..8)
            .map(|_| rustlet::spawn(actor(chance.below(u64::MAX) | 1)))
            .collect();
        // Some of them are dropped on the way.
        for thread in &green[..3] {
            for _ in 0..chance.below(200) {
                yield_now();
            }
            thread.cancel();
        }
        for thread in green {
            drop(thread.join());
        }
    });
    for thread in os {
        thread.join().unwrap();
    }
    for (_, receiver) in channels.iter() {
        receiver.try_iter().for_each(Message::receive);
    }
    drop(channels);
    for number in 0..messages {
        let ends = [&ledger.received, &ledger.dropped].map(|of| of[number].load(SeqCst));
        assert_eq!(
            ends.iter().sum::<usize>(),
            1,
            "message {number} of seed {seed}: {ends:?}"
        );
    }
}

static SEEDS: Mutex<u64> = Mutex::new(0x2545_F491_4F6C_DD1D);

#[test]
fn one_worker() {
    for round in 0..stress(6) as u64 {
        run(0x9E37_79B9_7F4A_7C15 ^ (round + 1), 1, 4_000);
    }
}

#[test]
fn two_workers() {
    for round in 0..stress(6) as u64 {
        let seed = *SEEDS.lock().unwrap() ^ (round << 7);
        run(seed, 2, 4_000);
    }
}
