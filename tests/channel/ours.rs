//! Behaviour particular to green threads, and to these channels.

use crate::on_workers;
use crate::support::stress;
use rustlet::channel::{
    Select, SendError, TryRecvError, after, bounded, never, select, tick, unbounded,
};
use rustlet::{spawn, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// One worker: while one thread repeats the operation, another gets its turns.
fn leaves_room(operation: impl Fn() + Send + 'static) {
    on_workers(1, move || {
        let steps = Arc::new(AtomicUsize::new(0));
        let done = Arc::new(AtomicBool::new(false));
        let (counting, ended) = (Arc::clone(&steps), Arc::clone(&done));
        let counter = spawn(move || {
            while !ended.load(SeqCst) {
                counting.fetch_add(1, SeqCst);
                yield_now();
            }
        });
        while steps.load(SeqCst) < stress(50) {
            operation();
        }
        done.store(true, SeqCst);
        counter.join().unwrap();
    });
}

#[test]
fn no_operation_keeps_its_worker() {
    let (sender, receiver) = unbounded();
    leaves_room(move || {
        sender.send(1).unwrap();
        receiver.recv().unwrap();
    });
    let (sender, receiver) = bounded(1);
    leaves_room(move || {
        sender.try_send(1).unwrap();
        assert!(sender.try_send(1).is_err());
        receiver.try_recv().unwrap();
        assert!(receiver.try_recv().is_err());
    });
    let (sender, receiver) = bounded(0);
    leaves_room(move || {
        let _late = sender.send_timeout(1, Duration::ZERO);
        let _late = receiver.recv_timeout(Duration::ZERO);
    });
    let (sender, receiver) = bounded(1);
    leaves_room(move || {
        select! {
            send(sender, 1) -> sent => sent.unwrap(),
            recv(receiver) -> received => assert_eq!(received, Ok(1)),
        }
    });
    let (_sender, receiver) = unbounded::<()>();
    leaves_room(move || {
        select! { recv(receiver) -> _ => unreachable!(), default => {} }
        let mut list = Select::new();
        list.recv(&receiver);
        assert!(list.try_ready().is_err());
    });
    let ticks = tick(Duration::ZERO);
    leaves_room(move || {
        ticks.recv().unwrap();
    });
    leaves_room(|| {
        let _nothing = after(Duration::from_secs(3600)).try_recv();
        after(Duration::ZERO).recv().unwrap();
    });
}

#[test]
fn waits_suspend() {
    on_workers(1, || {
        let (sender, receiver) = bounded(0);
        let steps = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&steps);
        let waiting = spawn(move || receiver.recv());
        let counter = spawn(move || {
            for _ in 0..100 {
                counting.fetch_add(1, SeqCst);
                yield_now();
            }
        });
        counter.join().unwrap();
        assert_eq!(steps.load(SeqCst), 100);
        sender.send(1).unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(1));
    });
}

#[test]
fn several_runtimes_and_os_threads() {
    let (sender, receiver) = bounded(1);
    let each = stress(500);
    let through_runtime = |workers| {
        let (sender, receiver) = (sender.clone(), receiver.clone());
        std::thread::spawn(move || {
            on_workers(workers, move || {
                let sending = spawn(move || (0..each).for_each(|n| sender.send(n).unwrap()));
                let receiving = spawn(move || (0..each).map(|_| receiver.recv().unwrap()).sum());
                sending.join().unwrap();
                receiving.join().unwrap()
            })
        })
    };
    let threads = [through_runtime(1), through_runtime(2)];
    let (from, to) = (sender.clone(), receiver.clone());
    let os = std::thread::spawn(move || {
        (0..each)
            .map(|n| {
                from.send(n).unwrap();
                to.recv().unwrap()
            })
            .sum()
    });
    let sums: [usize; 3] = [threads, [os, std::thread::spawn(|| 0)]]
        .into_iter()
        .flatten()
        .map(|thread| thread.join().unwrap())
        .take(3)
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    assert_eq!(sums.iter().sum::<usize>(), 3 * (0..each).sum::<usize>());
}

#[test]
fn a_huge_capacity_costs_nothing() {
    let (sender, receiver) = bounded(usize::MAX);
    assert!(sender.capacity().is_some());
    let big = bounded::<[u64; 100]>(usize::MAX / 4);
    big.0.send([1; 100]).unwrap();
    sender.send(1).unwrap();
    assert_eq!(receiver.recv(), Ok(1));
    assert_eq!(big.1.recv(), Ok([1; 100]));
}

/// The first waiter is served first, and no later one overtakes it.
#[test]
fn in_the_order_of_coming() {
    on_workers(1, || {
        let (sender, receiver) = bounded(0);
        let (tell, told) = unbounded();
        let threads: Vec<_> = (0..10)
            .map(|n| {
                let (receiver, tell) = (receiver.clone(), tell.clone());
                let thread = spawn(move || tell.send((n, receiver.recv().unwrap())).unwrap());
                yield_now();
                thread
            })
            .collect();
        (0..10).for_each(|n| sender.send(n).unwrap());
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert!(told.try_iter().all(|(waiter, message)| waiter == message));
    });
}

#[test]
fn a_select_that_lost_an_arm_leaves_no_trace() {
    on_workers(2, || {
        let (quiet_sender, quiet) = bounded(0);
        let (sender, receiver) = unbounded();
        for n in 0..stress(200) {
            let copy = sender.clone();
            let thread = spawn(move || copy.send(n).unwrap());
            select! {
                recv(quiet) -> _ => unreachable!(),
                recv(receiver) -> message => assert_eq!(message, Ok(n)),
            }
            // No receiver waits there any more.
            assert!(quiet_sender.try_send(()).is_err());
            thread.join().unwrap();
        }
    });
}

/// Larger sizes than the original accepts.
#[test]
fn many_arms() {
    on_workers(1, || {
        let (s, r) = unbounded();
        s.send(1).unwrap();
        let n = never::<i32>();
        select! {
            recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(),
            recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(),
            recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(),
            recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(),
            recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(),
            recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(),
            recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(),
            recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(),
            recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(),
            recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(), recv(n) -> _ => unreachable!(),
            recv(n) -> _ => unreachable!(), recv(r) -> message => assert_eq!(message, Ok(1)),
        }
    });
}

/// Situations where the original would make other threads spin, or lose the slot.
#[test]
fn a_chosen_send_keeps_its_room() {
    let (sender, receiver) = bounded(1);
    let choose = || {
        let mut list = Select::new();
        list.send(&sender);
        list.select()
    };
    let chosen = choose();
    assert!(sender.is_full() && sender.is_empty());
    assert!(sender.try_send("other").is_err());
    chosen.send(&sender, "this").unwrap();
    assert_eq!(receiver.recv(), Ok("this"));
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(choose())));
    assert!(dropped.is_err());
    sender.try_send("again").unwrap();
    assert_eq!(receiver.recv(), Ok("again"));
    let chosen = choose();
    drop(receiver);
    assert_eq!(chosen.send(&sender, "late"), Err(SendError("late")));
}

/// A slot that is given back goes to a waiter.
#[test]
fn room_that_is_given_back_is_used() {
    on_workers(1, || {
        for completes in [false, true] {
            let (sender, receiver) = bounded(1);
            let mut list = Select::new();
            list.send(&sender);
            let chosen = list.select();
            let waiting: Vec<_> = (0..3)
                .map(|n| {
                    let sender = sender.clone();
                    spawn(move || {
                        if n == 1 {
                            select! { send(sender, n) -> sent => sent.unwrap() }
                        } else {
                            sender.send(n).unwrap();
                        }
                    })
                })
                .collect();
            for _ in 0..3 {
                yield_now();
            }
            if completes {
                chosen.send(&sender, 9).unwrap();
                assert_eq!(receiver.recv(), Ok(9));
            } else {
                let dropping = std::panic::AssertUnwindSafe(|| drop(chosen));
                assert!(std::panic::catch_unwind(dropping).is_err());
            }
            assert_eq!((0..3).map(|_| receiver.recv().unwrap()).sum::<i32>(), 3);
            waiting
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
        }
    });
}

/// A receiver that arrived while all room was reserved gets the message, and the room goes to the
/// next sender.
#[test]
fn reserved_messages_go_to_waiting_receivers() {
    on_workers(1, || {
        let (sender, receiver) = bounded(1);
        let mut list = Select::new();
        list.send(&sender);
        let chosen = list.select();
        let other = sender.clone();
        let sending = spawn(move || other.send(2).unwrap());
        let receiving: Vec<_> = (0..2)
            .map(|_| {
                let receiver = receiver.clone();
                spawn(move || receiver.recv().unwrap())
            })
            .collect();
        for _ in 0..3 {
            yield_now();
        }
        chosen.send(&sender, 1).unwrap();
        sending.join().unwrap();
        let got: Vec<i32> = receiving
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        assert_eq!(got.iter().sum::<i32>(), 3);
    });
}

#[test]
fn remaining_messages_are_dropped_with_the_last_receiver() {
    let (sender, receiver) = bounded(200);
    let message = Arc::new(());
    (0..150).for_each(|_| sender.send(Arc::clone(&message)).unwrap());
    drop(receiver);
    assert_eq!(Arc::strong_count(&message), 1);
    assert!(sender.is_empty());
}

/// A message moves to and fro between two channels, and is always in one before it leaves the
/// other: "nothing is ready" would be wrong at any moment. (The original, which checks a few times,
/// can report it.)
#[test]
fn nothing_is_ready_holds_at_one_moment() {
    // One of the two runs on an OS thread, or none: the case is about true simultaneity.
    let case = || {
        let channels = [unbounded(), unbounded()];
        let (stop, stopped) = bounded::<()>(0);
        channels[0].0.send(()).unwrap();
        let ends = channels.clone();
        let mover = spawn(move || {
            let mut to = 1;
            while stopped.try_recv() == Err(TryRecvError::Empty) {
                ends[to].0.send(()).unwrap();
                // The thread that checks may delay the other.
                while ends[1 - to].1.try_recv().is_err() && ends[to].1.try_recv().is_err() {
                    yield_now();
                }
                to = 1 - to;
                yield_now();
            }
        });
        let [(_, left), (_, right)] = &channels;
        let mut list = Select::new();
        list.recv(left);
        list.recv(right);
        for _ in 0..stress(3_000) {
            let at = select! {
                recv(left) -> _ => 0,
                recv(right) -> _ => 1,
                default => panic!("nothing was ready, said select!"),
            };
            channels[at].0.send(()).unwrap();
            list.try_ready().expect("nothing was ready, said try_ready");
            yield_now();
        }
        drop(stop);
        mover.join().unwrap();
    };
    case();
    on_workers(2, case);
}

/// A message that is not `Send` stays on the OS thread of its receiver, also when that has ended
/// and another one has got the addresses of its thread-locals.
#[test]
fn a_dropped_choice_of_another_os_thread_keeps_its_message() {
    struct Stays(std::thread::ThreadId, std::marker::PhantomData<*const ()>);
    impl Drop for Stays {
        fn drop(&mut self) {
            if std::thread::current().id() != self.0 {
                std::process::abort();
            }
        }
    }
    for _ in 0..20 {
        let (out, came) = std::sync::mpsc::channel::<Select<'static>>();
        let first = move || {
            let (sender, receiver) = unbounded();
            let here = std::thread::current().id();
            let message = Stays(here, std::marker::PhantomData);
            assert!(sender.send(message).is_ok());
            let (_sender, receiver) = Box::leak(Box::new((sender, receiver)));
            let mut list = Select::new();
            list.recv(receiver);
            out.send(list).unwrap();
        };
        std::thread::spawn(first).join().unwrap();
        let mut list = came.recv().unwrap();
        let second = move || drop(list.select());
        assert!(std::thread::spawn(second).join().is_err());
    }
}
