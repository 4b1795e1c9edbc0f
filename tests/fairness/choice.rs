//! A select chooses each of several ready operations equally often, whatever operations are around
//! them.

use std::time::Duration;

use rustlet::channel::{Receiver, Select, Sender, select, select_biased, unbounded};

/// Counts how often each of `hot` among `arms` channels is chosen in `rounds`, by `choose`, which
/// returns the chosen one.
fn chosen(
    arms: usize,
    hot: &[usize],
    rounds: usize,
    mut choose: impl FnMut(&[Receiver<()>]) -> usize,
) -> Vec<usize> {
    let (senders, receivers): (Vec<Sender<_>>, Vec<_>) = (0..arms).map(|_| unbounded()).unzip();
    for &at in hot {
        senders[at].send(()).unwrap();
    }
    let mut counts = vec![0; arms];
    for _ in 0..rounds {
        counts[choose(&receivers)] += 1;
    }
    assert_eq!(
        counts.iter().sum::<usize>(),
        hot.iter().map(|&at| counts[at]).sum()
    );
    hot.iter().map(|&at| counts[at]).collect()
}

/// Each count is within six standard deviations of its share.
#[track_caller]
fn assert_uniform(counts: &[usize]) {
    let total: usize = counts.iter().sum();
    let share = total as f64 / counts.len() as f64;
    let deviation = (share * (1.0 - 1.0 / counts.len() as f64)).sqrt();
    for &count in counts {
        let off = (count as f64 - share).abs();
        assert!(off < 6.0 * deviation, "{counts:?}, each should be {share}");
    }
}

fn list(receivers: &[Receiver<()>]) -> Select<'_> {
    let mut list = Select::new();
    for receiver in receivers {
        list.recv(receiver);
    }
    list
}

/// A few arms, the most that fit without an allocation, one more, many. Neighbours, neighbours
/// across the end, and others.
const SETTINGS: [(usize, &[usize]); 7] = [
    (2, &[0, 1]),
    (3, &[0, 1, 2]),
    (5, &[0, 1, 4]),
    (16, &[4, 5, 6]),
    (16, &[0, 1, 15]),
    (17, &[0, 1, 2, 9]),
    (300, &[4, 5, 6]),
];

fn each_setting(rounds: usize, choose: impl Fn(&mut Select<'_>) -> usize + Copy) {
    for (arms, hot) in SETTINGS {
        let counts = chosen(arms, hot, rounds, |receivers| choose(&mut list(receivers)));
        assert_uniform(&counts);
    }
}

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_list_chooses_uniformly_by_readiness() {
    each_setting(3_000, |list| list.ready());
    each_setting(3_000, |list| list.try_ready().unwrap());
    each_setting(3_000, |list| list.ready_timeout(LONG).unwrap());
}

#[test]
fn a_list_chooses_uniformly_what_it_receives() {
    fn each(
        select: impl for<'a> Fn(&mut Select<'a>) -> rustlet::channel::SelectedOperation<'a> + Copy,
    ) {
        for (arms, hot) in SETTINGS {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..arms).map(|_| unbounded()).unzip();
            for &at in hot {
                senders[at].send(()).unwrap();
            }
            let mut counts = vec![0; arms];
            for _ in 0..3_000 {
                let operation = select(&mut list(&receivers));
                let at = operation.index();
                operation.recv(&receivers[at]).unwrap();
                counts[at] += 1;
                senders[at].send(()).unwrap();
            }
            assert_uniform(&hot.iter().map(|&at| counts[at]).collect::<Vec<_>>());
        }
    }
    each(|list| list.select());
    each(|list| list.try_select().unwrap());
    each(|list| list.select_timeout(LONG).unwrap());
}

#[test]
fn the_macro_chooses_uniformly() {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..6).map(|_| unbounded()).unzip();
    let [zero, one, two, three, four, five] = &receivers[..] else {
        unreachable!();
    };
    for at in [1, 2, 3] {
        senders[at].send(()).unwrap();
    }
    let mut counts = [0; 6];
    for round in 0..6_000 {
        let at = match round % 3 {
            0 => select! {
                recv(zero) -> _ => 0, recv(one) -> _ => 1, recv(two) -> _ => 2,
                recv(three) -> _ => 3, recv(four) -> _ => 4, recv(five) -> _ => 5,
            },
            1 => select! {
                recv(zero) -> _ => 0, recv(one) -> _ => 1, recv(two) -> _ => 2,
                recv(three) -> _ => 3, recv(four) -> _ => 4, recv(five) -> _ => 5,
                default => unreachable!(),
            },
            _ => select! {
                recv(zero) -> _ => 0, recv(one) -> _ => 1, recv(two) -> _ => 2,
                recv(three) -> _ => 3, recv(four) -> _ => 4, recv(five) -> _ => 5,
                default(LONG) => unreachable!(),
            },
        };
        counts[at] += 1;
        senders[at].send(()).unwrap();
    }
    assert_uniform(&counts[1..4]);
}

/// Sending arms, and both kinds in one thread's select.
#[test]
fn sending_arms_are_chosen_as_often_as_receiving_ones() {
    let (sender, _kept) = unbounded();
    let (refill, receiver) = unbounded();
    let (_silent, never) = unbounded::<()>();
    refill.send(()).unwrap();
    let mut counts = [0; 3];
    for _ in 0..3_000 {
        select! {
            recv(never) -> _ => unreachable!(),
            send(sender, ()) -> _ => counts[0] += 1,
            recv(receiver) -> _ => {
                counts[1] += 1;
                refill.send(()).unwrap();
            }
            send(sender, ()) -> _ => counts[2] += 1,
        }
    }
    assert_uniform(&counts);
}

/// A message that arrived while the thread slept counts among those that are ready when it looks.
#[test]
fn ready_operations_after_a_wait_are_chosen_uniformly() {
    crate::on_workers(1, || {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..8).map(|_| unbounded()).unzip();
        let mut counts = [0; 8];
        for _ in 0..3_000 {
            let theirs: Vec<_> = senders.clone();
            rustlet::thread::spawn_local(move || {
                // The first message wakes the select, which does not run before all have arrived.
                for at in [0, 3, 4, 5] {
                    theirs[at].send(()).unwrap();
                }
            });
            let first = list(&receivers).ready();
            counts[first] += 1;
            while list(&receivers).try_ready().is_ok() {
                for receiver in &receivers {
                    receiver.try_iter().for_each(drop);
                }
            }
        }
        assert_uniform(&[counts[0], counts[3], counts[4], counts[5]]);
    });
}

#[test]
fn a_biased_select_keeps_its_order() {
    for (arms, hot) in SETTINGS {
        let counts = chosen(arms, hot, 100, |receivers| {
            let mut list = Select::new_biased();
            for receiver in receivers {
                list.recv(receiver);
            }
            list.ready()
        });
        assert_eq!(counts[0], 100);
    }
    let (_first, silent) = unbounded::<()>();
    let (second, receiver) = unbounded();
    for _ in 0..100 {
        second.send(()).unwrap();
        select_biased! {
            recv(silent) -> _ => unreachable!(),
            recv(receiver) -> _ => {}
            send(second, ()) -> _ => unreachable!(),
        }
    }
}

/// The same receiver twice: a message may choose either entry.
#[test]
fn two_arms_of_one_channel_are_chosen_alike() {
    crate::on_workers(1, || {
        let (sender, receiver) = unbounded();
        let mut counts = [0; 2];
        for _ in 0..2_000 {
            let sender = sender.clone();
            rustlet::thread::spawn_local(move || sender.send(()).unwrap());
            select! {
                recv(receiver) -> _ => counts[0] += 1,
                recv(receiver) -> _ => counts[1] += 1,
            }
        }
        assert_uniform(&counts);
    });
}
