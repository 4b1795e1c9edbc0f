//! Ends of threads, and times.

use std::future::{IntoFuture, pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustlet::future::{sleep, sleep_until, timeout};
use rustlet::{Cancelled, Elapsed};

use super::{LONG, assert_pending, everywhere, tell, waker_of_an_ended_thread, woken};

const MS: Duration = Duration::from_millis(1);

fn pinned<F: Future + Unpin>(future: &mut F) -> impl FnOnce(&mut Context<'_>) -> Poll<F::Output> {
    |context| Pin::new(future).poll(context)
}

#[test]
fn results_of_threads() {
    everywhere(async || {
        assert_eq!(rustlet::spawn(|| 6 * 7).await.unwrap(), 42);
        let parked = rustlet::spawn(rustlet::park);
        let thread = parked.thread().clone();
        let (waker, told) = tell();
        let mut end = parked.into_future();
        assert_pending(pinned(&mut end), &waker);
        thread.unpark();
        woken(&told);
        end.await.unwrap();
        let panicked = rustlet::spawn(|| -> () { std::panic::resume_unwind(Box::new("no")) });
        assert_eq!(panicked.await.unwrap_err().downcast_ref(), Some(&"no"));
        let cancelled = rustlet::spawn(rustlet::park);
        cancelled.cancel();
        assert!(cancelled.await.unwrap_err().is::<Cancelled>());
    });
}

/// A thread that has completion hooks has no place for a waiter in its word.
#[test]
fn the_end_of_a_thread_that_has_hooks() {
    everywhere(async || {
        let parked = rustlet::spawn(rustlet::park);
        let (thread, done) = (parked.thread().clone(), parked.done());
        let (waker, told) = tell();
        let mut end = parked.into_future();
        assert_pending(pinned(&mut end), &waker);
        let mut dropped = rustlet::spawn(rustlet::park).into_future();
        thread.unpark();
        woken(&told);
        end.await.unwrap();
        done.recv().unwrap();
        // Its hook goes with it.
        assert_pending(pinned(&mut dropped), &waker);
        drop(dropped);
        assert!(told.try_recv().is_err());
        let hooked = rustlet::spawn(rustlet::park);
        let (thread, done) = (hooked.thread().clone(), hooked.done());
        let mut end = hooked.into_future();
        assert_pending(pinned(&mut end), &waker);
        drop(end);
        thread.unpark();
        done.recv().unwrap();
        assert!(told.try_recv().is_err());
    });
}

#[test]
fn dropping_it_detaches_the_thread() {
    everywhere(async || {
        let (sender, receiver) = rustlet::channel::unbounded();
        let thread = rustlet::spawn(move || {
            rustlet::park();
            sender.send("went on").unwrap();
        });
        let parked = thread.thread().clone();
        let (waker, told) = tell();
        let mut end = thread.into_future();
        assert_pending(pinned(&mut end), &waker);
        drop(end);
        parked.unpark();
        assert_eq!(receiver.recv(), Ok("went on"));
        assert!(receiver.recv().is_err());
        assert!(told.try_recv().is_err());
        drop(waker);
    });
}

/// Each poll replaces the waker, and those that were replaced are dropped.
#[test]
fn the_end_is_polled_by_two_wakers_in_turn() {
    everywhere(async || {
        for has_hooks in [false, true] {
            let parked = rustlet::spawn(rustlet::park);
            let done = has_hooks.then(|| parked.done());
            let thread = parked.thread().clone();
            let ((first, not_told), (last, told)) = (tell(), tell());
            let mut end = parked.into_future();
            assert_pending(pinned(&mut end), &first);
            assert_pending(pinned(&mut end), &waker_of_an_ended_thread());
            assert_pending(pinned(&mut end), &last);
            drop(first);
            assert!(not_told.recv().is_err(), "its waker is dropped");
            thread.unpark();
            woken(&told);
            end.await.unwrap();
            drop(done);
        }
    });
}

#[test]
fn the_end_is_polled_from_two_os_threads() {
    for _ in 0..100 {
        let thread = rustlet::spawn(rustlet::yield_now);
        let mut end = thread.into_future();
        let first = std::thread::spawn(move || {
            let polled = Pin::new(&mut end).poll(&mut Context::from_waker(Waker::noop()));
            (polled, end)
        });
        let (polled, end) = first.join().unwrap();
        match polled {
            Poll::Ready(result) => result.unwrap(),
            Poll::Pending => super::block_on_os_thread(end).unwrap(),
        }
    }
}

#[test]
#[should_panic = "after it had been ready"]
fn polled_after_the_end() {
    let mut end = rustlet::spawn(|| ()).into_future();
    rustlet::block_on(async {
        (&mut end).await.unwrap();
        (&mut end).await.ok();
    });
}

#[test]
fn a_sleep_ends_when_its_time_has_come() {
    everywhere(async || {
        let start = Instant::now();
        sleep(2 * MS).await;
        assert!(start.elapsed() >= 2 * MS);
        sleep(Duration::ZERO).await;
        sleep_until(start).await;
        sleep_until(start + 5 * MS).await;
        assert!(start.elapsed() >= 5 * MS);
    });
}

#[test]
fn a_sleep_is_reset_and_polled_by_two_wakers_in_turn() {
    everywhere(async || {
        let ((first, not_told), (last, told)) = (tell(), tell());
        let mut nap = sleep(LONG);
        assert_pending(pinned(&mut nap), &first);
        assert_pending(pinned(&mut nap), &waker_of_an_ended_thread());
        nap.reset(Instant::now() + 2 * MS);
        // It may have passed already, if the machine is slow.
        if Pin::new(&mut nap)
            .poll(&mut Context::from_waker(&last))
            .is_pending()
        {
            woken(&told);
        }
        drop(first);
        assert!(not_told.recv().is_err(), "its waker is dropped");
        assert!(nap.is_elapsed());
        nap.await;
        let mut never = sleep(Duration::MAX);
        assert_pending(pinned(&mut never), &last);
        assert!(!never.is_elapsed());
    });
}

#[test]
fn a_dropped_sleep_wakes_no_task() {
    everywhere(async || {
        let (waker, told) = tell();
        let mut nap = sleep(LONG);
        assert_pending(pinned(&mut nap), &waker);
        drop((nap, waker));
        assert!(told.recv().is_err(), "its waker is dropped");
    });
}

#[test]
fn many_sleeps_from_several_os_threads() {
    let start = Instant::now();
    std::thread::scope(|s| {
        for thread in 0..4 {
            s.spawn(move || {
                let mut naps: Vec<_> = (0..200)
                    .map(|n| Box::pin(sleep_until(start + MS * ((n * 7 + thread) % 20))))
                    .collect();
                super::block_on_os_thread(poll_fn(move |context| {
                    naps.retain_mut(|nap| nap.as_mut().poll(context).is_pending());
                    match naps.is_empty() {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    }
                }));
            });
        }
    });
}

#[test]
fn a_timeout_counts_from_its_call_and_drops_what_it_waited_for() {
    everywhere(async || {
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        let waits = async move {
            pending::<()>().await;
            drop(holds);
        };
        assert_eq!(timeout(MS, waits).await, Err(Elapsed));
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(timeout(Duration::ZERO, ready(5)).await, Ok(5));
        assert_eq!(timeout(Duration::MAX, ready(6)).await, Ok(6));
        let start = Instant::now();
        let late = timeout(3 * MS, pending::<()>());
        sleep(3 * MS).await;
        let mut late = pin!(late);
        let polled = late.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(Err(Elapsed)));
        assert!(start.elapsed() >= 3 * MS);
        // Around a thread's end: that is detached.
        let (sender, receiver) = channel();
        let thread = rustlet::spawn(move || {
            rustlet::park();
            sender.send(()).unwrap();
        });
        let parked = thread.thread().clone();
        assert!(timeout(MS, thread).await.is_err());
        parked.unpark();
        let go_on = rustlet::spawn(move || {
            while receiver.try_recv().is_err() {
                rustlet::yield_now();
            }
        });
        go_on.await.unwrap();
    });
}
