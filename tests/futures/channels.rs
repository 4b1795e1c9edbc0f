//! Channels, and receivers that have no channel.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustlet::channel::{
    Receiver, RecvError, SendError, Sender, TrySendError, after, at, bounded, never, select, tick,
    unbounded,
};
use rustlet::future::timeout;
use rustlet::io::Watch;
use rustlet::sync::{broadcast, oneshot};

use super::{
    LONG, assert_pending, block_on_os_thread, everywhere, tell, waker_of_an_ended_thread, woken,
};

const MS: Duration = Duration::from_millis(1);

fn poll_once<F: Future + Unpin>(
    future: &mut F,
) -> impl FnOnce(&mut Context<'_>) -> Poll<F::Output> {
    |context| Pin::new(future).poll(context)
}

#[test]
fn messages_arrive_in_order_at_every_capacity() {
    everywhere(async || {
        for capacity in [Some(0), Some(1), Some(3), None] {
            let (sender, receiver) = capacity.map_or_else(unbounded, bounded);
            let sending = rustlet::spawn(move || {
                rustlet::block_on(async {
                    for n in 0..100 {
                        sender.send_async(n).await.unwrap();
                    }
                });
            });
            for n in 0..100 {
                assert_eq!(receiver.recv_async().await, Ok(n));
            }
            assert_eq!(receiver.recv_async().await, Err(RecvError));
            sending.await.unwrap();
        }
    });
}

/// Tasks meet threads in both roles.
#[test]
fn a_task_at_one_end_and_a_thread_at_the_other() {
    everywhere(async || {
        for capacity in [0, 1] {
            let (sender, receiver) = bounded(capacity);
            let thread = rustlet::spawn(move || (0..50).try_for_each(|n| sender.send(n)));
            for n in 0..50 {
                assert_eq!(receiver.recv_async().await, Ok(n));
            }
            thread.await.unwrap().unwrap();
            let (sender, receiver) = bounded(capacity);
            let thread = rustlet::spawn(move || receiver.iter().sum::<u32>());
            for n in 0..50 {
                sender.send_async(n).await.unwrap();
            }
            drop(sender);
            assert_eq!(thread.await.unwrap(), 49 * 50 / 2);
            // A select, whose send has no value before it has chosen.
            let (sender, receiver) = bounded(capacity);
            let thread = rustlet::spawn(move || {
                for n in 0..50 {
                    select! {
                        send(sender, n) -> sent => sent.unwrap(),
                        recv(after(LONG)) -> _ => panic!("no receiver is ready"),
                    }
                }
            });
            for n in 0..50 {
                assert_eq!(receiver.recv_async().await, Ok(n));
            }
            thread.await.unwrap();
        }
    });
}

#[test]
fn a_receive_that_is_dropped_has_taken_nothing() {
    everywhere(async || {
        let (sender, receiver) = unbounded();
        let (waker, told) = tell();
        let mut dropped = receiver.recv_async();
        assert_pending(poll_once(&mut dropped), &waker);
        sender.send(1).unwrap();
        // It has been woken, and was the only one.
        woken(&told);
        let mut other = receiver.recv_async();
        drop(dropped);
        let polled = Pin::new(&mut other).poll(&mut Context::from_waker(&waker));
        assert_eq!(polled, Poll::Ready(Ok(1)));
        let mut gone = receiver.recv_async();
        assert_pending(poll_once(&mut gone), &waker);
        drop((gone, waker));
        assert!(told.recv().is_err(), "its waker is dropped");
        sender.send(2).unwrap();
        assert_eq!(receiver.try_recv(), Ok(2));
    });
}

#[test]
fn a_send_that_is_dropped_drops_its_message_unless_it_was_received() {
    everywhere(async || {
        for capacity in [0, 1] {
            let (sender, receiver) = bounded(capacity);
            for _ in 0..capacity {
                sender.send(Arc::new("first")).unwrap();
            }
            let (waker, told) = tell();
            let message = Arc::new("dropped");
            let mut dropped = sender.send_async(Arc::clone(&message));
            let mut received = sender.send_async(Arc::new("received"));
            assert_pending(poll_once(&mut dropped), &waker);
            assert_pending(poll_once(&mut received), &waker);
            drop(dropped);
            assert_eq!(Arc::strong_count(&message), 1);
            for _ in 0..capacity {
                assert_eq!(*receiver.recv().unwrap(), "first");
            }
            assert_eq!(*receiver.recv().unwrap(), "received");
            woken(&told);
            // Ready, and dropped without having been polled again.
            drop(received);
            assert!(receiver.try_recv().is_err());
        }
    });
}

#[test]
fn the_other_end_goes_while_a_task_waits() {
    everywhere(async || {
        let (sender, receiver) = bounded::<&str>(0);
        let (waker, told) = tell();
        let mut send = sender.send_async("back");
        assert_pending(poll_once(&mut send), &waker);
        drop(receiver);
        woken(&told);
        assert_eq!(send.await, Err(SendError("back")));
        assert_eq!(sender.send_async("again").await, Err(SendError("again")));
        let (sender, receiver) = bounded::<&str>(1);
        let mut receive = receiver.recv_async();
        assert_pending(poll_once(&mut receive), &waker);
        drop(sender);
        woken(&told);
        assert_eq!(receive.await, Err(RecvError));
    });
}

#[test]
fn polled_by_two_wakers_in_turn() {
    everywhere(async || {
        let (sender, receiver) = bounded(0);
        let ((first, not_told), (last, told)) = (tell(), tell());
        let mut receive = receiver.recv_async();
        for waker in [&first, &waker_of_an_ended_thread(), &last] {
            assert_pending(poll_once(&mut receive), waker);
        }
        let mut send = sender.send_async(1);
        // The other side is there: it is sent when the receiver comes.
        for waker in [&first, &waker_of_an_ended_thread(), &last] {
            assert_pending(poll_once(&mut send), waker);
        }
        woken(&told);
        assert_eq!(receive.await, Ok(1));
        woken(&told);
        send.await.unwrap();
        drop(first);
        assert!(not_told.recv().is_err());
    });
}

/// Each message arrives once, whichever kind of task or thread receives it: tasks on OS threads,
/// green threads, and futures that are dropped all the time.
#[test]
fn several_receivers_and_senders_on_several_threads() {
    const EACH: usize = 2_000;
    for capacity in [0, 1, 7] {
        let (sender, receiver) = bounded(capacity);
        let count = |receiver: Receiver<usize>| {
            let mut seen = Vec::new();
            block_on_os_thread(poll_fn(|context| {
                loop {
                    // One is dropped after one poll, the next one is kept.
                    if let Poll::Ready(Ok(n)) = pin!(receiver.recv_async()).poll(context) {
                        seen.push(n);
                        continue;
                    }
                    break;
                }
                Poll::Ready(())
            }));
            while let Ok(n) = block_on_os_thread(receiver.recv_async()) {
                seen.push(n);
            }
            seen
        };
        let produce = |sender: Sender<usize>, from: usize| {
            for n in from..from + EACH {
                block_on_os_thread(async {
                    let waited = timeout(Duration::ZERO, sender.send_async(n)).await;
                    match waited {
                        Ok(sent) => sent.unwrap(),
                        // Dropped: not sent.
                        Err(_) => sender.send_async(n).await.unwrap(),
                    }
                });
            }
        };
        let mut all = std::thread::scope(|s| {
            let receivers = [(); 2].map(|()| {
                let receiver = receiver.clone();
                s.spawn(move || count(receiver))
            });
            let green = {
                let receiver = receiver.clone();
                rustlet::spawn(move || receiver.iter().collect::<Vec<_>>())
            };
            for n in 0..2 {
                let sender = sender.clone();
                s.spawn(move || produce(sender, n * EACH));
            }
            drop((sender, receiver));
            let mut all = green.join().unwrap();
            receivers
                .into_iter()
                .for_each(|seen| all.extend(seen.join().unwrap()));
            all
        });
        all.sort_unstable();
        // A send whose message was received just when its future was dropped was made, and is then
        // made again.
        all.dedup();
        assert!(all.into_iter().eq(0..2 * EACH));
    }
}

#[test]
fn receivers_that_have_no_channel() {
    everywhere(async || {
        let start = Instant::now();
        assert!(after(2 * MS).recv_async().await.unwrap() >= start + 2 * MS);
        assert_eq!(at(start).recv_async().await, Ok(start));
        let ticks = tick(MS);
        for _ in 0..3 {
            ticks.recv_async().await.unwrap();
        }
        assert!(timeout(MS, never::<()>().recv_async()).await.is_err());
        let parked = rustlet::spawn(rustlet::park);
        let (waker, told) = tell();
        let done = parked.done();
        let mut end = done.recv_async();
        assert_pending(poll_once(&mut end), &waker);
        parked.thread().unpark();
        woken(&told);
        end.await.unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let reader = Watch::new(reader).unwrap();
        let readable = reader.readable();
        let mut ready = readable.recv_async();
        assert_pending(poll_once(&mut ready), &waker);
        drop(writer);
        woken(&told);
        ready.await.unwrap();
        let (sender, mut receiver) = broadcast::channel(4);
        let news = receiver.receiver();
        let mut first = news.recv_async();
        assert_pending(poll_once(&mut first), &waker);
        sender.send(5).unwrap();
        woken(&told);
        first.await.unwrap();
        assert_eq!(receiver.recv(), Ok(5));
    });
}

#[test]
fn one_value() {
    everywhere(async || {
        let (sender, receiver) = oneshot::channel();
        let (waker, told) = tell();
        let mut value = Box::pin(receiver.recv_async());
        assert_pending(|context| value.as_mut().poll(context), &waker);
        sender.send(7).unwrap();
        woken(&told);
        // Dropped after it was woken: the value stays.
        drop(value);
        assert_eq!(receiver.recv_async().await, Ok(7));
        assert!(receiver.recv_async().await.is_err());
        let (sender, receiver) = oneshot::channel::<u8>();
        let mut value = Box::pin(receiver.recv_async());
        assert_pending(|context| value.as_mut().poll(context), &waker);
        drop(sender);
        woken(&told);
        assert!(value.await.is_err());
    });
}

/// Executors with several OS threads move futures between them.
#[test]
fn futures_can_be_sent() {
    fn is_send<F: Send>(future: F) -> F {
        future
    }
    let (sender, receiver) = bounded::<u8>(0);
    drop(is_send(sender.send_async(1)));
    drop(is_send(receiver.recv_async()));
    let (_one, value) = oneshot::channel::<u8>();
    drop(is_send(value.recv_async()));
    drop(is_send(rustlet::future::sleep(MS)));
    drop(is_send(timeout(MS, receiver.recv_async())));
    drop(is_send(IntoFuture::into_future(rustlet::spawn(|| 1))));
    // Pending on one OS thread, and dropped or ready on another.
    let (waker, told) = tell();
    let mut receive = receiver.recv_async();
    assert_pending(poll_once(&mut receive), &waker);
    let mut send = sender.send_async(2);
    assert_pending(poll_once(&mut send), &waker);
    std::thread::scope(|s| {
        s.spawn(|| assert_eq!(block_on_os_thread(receive), Ok(2)));
    });
    woken(&told);
    std::thread::scope(|s| {
        s.spawn(|| block_on_os_thread(send).unwrap());
    });
    let mut send = sender.send_async(3);
    assert_pending(poll_once(&mut send), &waker);
    std::thread::scope(|s| {
        s.spawn(|| drop(send));
    });
    assert!(receiver.try_recv().is_err());
}

/// What the documentation says of a rendezvous.
#[test]
fn try_send_does_not_see_a_task() {
    let (sender, receiver) = bounded(0);
    let (waker, _told) = tell();
    let mut receive = receiver.recv_async();
    assert_pending(poll_once(&mut receive), &waker);
    assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
}
