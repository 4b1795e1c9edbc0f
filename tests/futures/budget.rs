//! The cooperative budget of polls: a poll never yields, and a task whose polls are all ready gives
//! way in `block_on`.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustlet::channel::unbounded;
use rustlet::future::sleep;
use rustlet::net::UdpSocket;
use rustlet::runtime::Builder;
use rustlet::sync::{Mutex, Semaphore};
use rustlet::{block_on, spawn_local, yield_now};

const POLLS: usize = 1_000;

/// Runs `body` on the only worker, beside a thread that counts its steps.
fn beside_a_counter(body: impl FnOnce(&Cell<usize>) + Send + 'static) {
    let runtime = Builder::new().workers(1).build().unwrap();
    runtime.run(|| {
        let steps = Rc::new(Cell::new(0));
        let counted = Rc::clone(&steps);
        let counter = spawn_local(move || {
            loop {
                counted.set(counted.get() + 1);
                yield_now();
            }
        });
        yield_now();
        body(&steps);
        counter.cancel();
        assert!(counter.join().is_err());
    });
}

/// Asserts that polls do not let other threads run, and that at least every second one is ready if
/// the future is.
fn assert_never_yields(steps: &Cell<usize>, mut poll: impl FnMut(&mut Context<'_>) -> bool) {
    let before = steps.get();
    let mut context = Context::from_waker(Waker::noop());
    let ready = (0..POLLS).filter(|_| poll(&mut context)).count();
    assert!(ready >= POLLS / 2, "{ready} of {POLLS}");
    assert_eq!(steps.get(), before);
}

#[test]
fn polls_never_yield() {
    beside_a_counter(|steps| {
        let (sender, receiver) = unbounded();
        assert_never_yields(steps, |context| {
            pin!(sender.send_async(1)).poll(context).is_ready()
        });
        assert_never_yields(steps, |context| {
            pin!(receiver.recv_async()).poll(context).is_ready()
        });
        let mutex = Mutex::new(());
        assert_never_yields(steps, |context| {
            pin!(mutex.lock_async()).poll(context).is_ready()
        });
        let semaphore = Semaphore::new(1);
        assert_never_yields(steps, |context| {
            pin!(semaphore.acquire_async()).poll(context).is_ready()
        });
        assert_never_yields(steps, |context| {
            pin!(sleep(Duration::ZERO)).poll(context).is_ready()
        });
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_never_yields(steps, |context| socket.poll_writable(context).is_ready());
    });
}

#[test]
fn a_task_whose_polls_are_ready_gives_way() {
    beside_a_counter(|steps| {
        let (sender, receiver) = unbounded();
        (0..POLLS).for_each(|number| sender.send(number).unwrap());
        let before = steps.get();
        let sum = block_on(async {
            let mut sum = 0;
            for _ in 0..POLLS {
                sum += receiver.recv_async().await.unwrap();
            }
            sum
        });
        assert_eq!(sum, POLLS * (POLLS - 1) / 2);
        assert!(steps.get() > before);
    });
}

#[test]
fn a_poll_that_is_refused_wakes_its_task() {
    beside_a_counter(|_| {
        let semaphore = Semaphore::new(1);
        let polls = Cell::new(0);
        // In one poll of the outer future.
        block_on(poll_fn(|context| {
            while pin!(semaphore.acquire_async()).poll(context).is_ready() {
                polls.set(polls.get() + 1);
                assert!(polls.get() < POLLS, "it is never refused");
            }
            Poll::Ready(())
        }));
        // Woken, it goes on at once.
        block_on(async { drop(semaphore.acquire_async().await) });
    });
}
