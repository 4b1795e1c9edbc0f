//! Functions that use scopes or work beside them: `join_timeout`, `JoinError`, `repeat`,
//! `interval`, `wait_idle`, `block_on`.

use super::{OnDrop, on_workers, turns};
use rustlet::thread::JoinError;
use rustlet::time::interval;
use rustlet::{
    Cancelled, Elapsed, block_on, park, repeat, run, scope, sleep, spawn, spawn_local, timeout,
    wait_idle, yield_now,
};
use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::panic::{catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

fn everywhere(case: fn()) {
    on_workers(2, case);
    on_workers(1, case);
    case();
}

// --- join_timeout ---

#[test]
fn join_timeout_gives_the_handle_back() {
    everywhere(|| {
        let mut thread = spawn(|| {
            park();
            5
        });
        for limit in [Duration::ZERO, Duration::from_micros(1), SOON] {
            thread = thread.join_timeout(limit).unwrap_err();
        }
        assert!(!thread.is_finished());
        thread.thread().unpark();
        assert_eq!(thread.join_timeout(LONG).unwrap().unwrap(), 5);
        let thread = spawn(|| resume_unwind(Box::new("oh")));
        let payload = thread.join_timeout(Duration::MAX).unwrap().unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"oh"));
        // It has ended: no time is needed.
        let thread = spawn(|| 6);
        while !thread.is_finished() {
            yield_now();
        }
        assert_eq!(thread.join_timeout(Duration::ZERO).unwrap().unwrap(), 6);
    });
}

#[test]
fn join_timeout_in_a_scope() {
    everywhere(|| {
        let mut text = String::from("text");
        scope(|s| {
            let thread = s.spawn(|| {
                park();
                text.push('!');
            });
            let thread = thread.join_timeout(SOON).unwrap_err();
            thread.thread().unpark();
            thread.join_timeout(LONG).unwrap().unwrap();
        });
        assert_eq!(text, "text!");
    });
}

#[test]
fn join_timeout_is_ended_like_join() {
    everywhere(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let theirs = drops.clone();
        let thread = spawn(move || {
            let _guard = OnDrop(|| {
                theirs.fetch_add(1, Ordering::SeqCst);
            });
            park();
        });
        let waker = thread.thread().clone();
        assert!(timeout(SOON, || thread.join_timeout(LONG)).is_err());
        // It was detached by that, and continues.
        assert_eq!(drops.load(Ordering::SeqCst), 0);
        waker.unpark();
        while drops.load(Ordering::SeqCst) == 0 {
            yield_now();
        }
    });
}

// --- JoinError ---

#[test]
fn join_errors_tell_panics_from_cancellations() {
    run(|| {
        let of = |payload: Box<dyn std::any::Any + Send>| JoinError::from(payload);
        let thread = spawn(park);
        thread.cancel();
        let error = of(thread.join().unwrap_err());
        assert!(error.is_cancelled() && !error.is_panic());
        assert_eq!(error.to_string(), "the thread was cancelled");
        assert!(Cancelled::is(&error.into_payload()));

        let error = of(spawn(|| resume_unwind(Box::new(String::from("text"))))
            .join()
            .unwrap_err());
        assert!(error.is_panic() && !error.is_cancelled());
        assert_eq!(error.to_string(), "the thread panicked: text");
        let error: Box<dyn std::error::Error + Send + Sync> = error.into();
        assert!(format!("{error:?}").contains("text"));

        let error = of(Box::new(5_u8));
        assert_eq!(error.to_string(), "the thread panicked");
        let payload = catch_unwind(std::panic::AssertUnwindSafe(|| error.resume())).unwrap_err();
        assert_eq!(payload.downcast_ref::<u8>(), Some(&5));
    });
}

// --- repeat and interval ---

#[test]
fn repeat_begins_at_once_and_keeps_its_schedule() {
    on_workers(1, || {
        let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let theirs = times.clone();
        let period = Duration::from_millis(2);
        let start = Instant::now();
        let heart = repeat(period, move || {
            theirs.lock().unwrap().push(Instant::now());
            if theirs.lock().unwrap().len() == 2 {
                // Longer than a period: the first tick that passes meanwhile is late, the others
                // are missed.
                sleep(period * 3);
            }
        });
        while times.lock().unwrap().len() < 6 {
            sleep(SOON);
        }
        heart.cancel();
        assert!(Cancelled::is(&heart.join().unwrap_err()));
        let times = times.lock().unwrap();
        let at = |index: usize| times[index] - start;
        for index in 1..6 {
            let missed = if index < 2 { 0 } else { 2 };
            assert!(
                at(index) >= period * (index as u32 + missed),
                "{:?}",
                at(index)
            );
        }
    });
}

#[test]
fn repeat_ends_with_its_panic_and_with_its_run() {
    run(|| {
        let mut left = 3;
        let thread = repeat(Duration::ZERO, move || {
            left -= 1;
            if left == 0 {
                resume_unwind(Box::new("done"));
            }
        });
        let payload = thread.join().unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"done"));
        let once = Arc::new(AtomicUsize::new(0));
        let count = once.clone();
        let _kept = repeat(Duration::MAX, move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        turns();
        while once.load(Ordering::SeqCst) == 0 {
            yield_now();
        }
        drop(repeat(SOON, || ()));
    });
}

#[test]
fn intervals_stay_aligned_to_their_schedule() {
    everywhere(|| {
        let start = Instant::now();
        let mut ticks = interval(SOON);
        assert_eq!(ticks.period(), SOON);
        let first = ticks.tick();
        assert!(first >= start);
        sleep(SOON * 3);
        let second = ticks.tick();
        let third = ticks.next().unwrap();
        let periods = |span: Duration, period: Duration| {
            assert!(span.as_nanos().is_multiple_of(period.as_nanos()));
            span.as_nanos() / period.as_nanos()
        };
        // A tick that has passed is late, the ones after it are missed.
        assert!(periods(second - first, SOON) >= 1);
        assert!(periods(third - first, SOON) >= 4);
        assert_eq!(ticks.take(3).count(), 3);
        // Ended in the middle of a period, so the tick is still to come.
        let mut slow = interval(LONG);
        slow.tick();
        let before = format!("{slow:?}");
        assert!(timeout(SOON, || slow.tick()).is_err());
        assert_eq!(format!("{slow:?}"), before);
        let mut never = interval(Duration::MAX);
        never.tick();
        assert!(timeout(SOON, || never.tick()).is_err());
        assert_eq!(interval(Duration::ZERO).take(5).count(), 5);
    });
}

// --- wait_idle ---

#[test]
fn wait_idle_returns_after_all_other_ready_threads() {
    on_workers(1, || {
        let log: Rc<RefCell<Vec<&str>>> = Rc::default();
        let worker = |name, steps: u32| {
            let log = log.clone();
            spawn_local(move || {
                for _ in 0..steps {
                    log.borrow_mut().push(name);
                    yield_now();
                }
            })
        };
        let _a = worker("a", 200);
        let _b = worker("b", 100);
        // Spawned in the other way: not started yet.
        let started = Arc::new(AtomicBool::new(false));
        let theirs = started.clone();
        drop(spawn(move || {
            yield_now();
            theirs.store(true, Ordering::SeqCst);
        }));
        wait_idle();
        assert_eq!(log.borrow().len(), 300);
        assert!(started.load(Ordering::SeqCst));
        // Returns at once if there is no other thread. Waiting threads do not count.
        let parked = spawn_local(park);
        wait_idle();
        wait_idle();
        assert!(!parked.is_finished());
    });
}

#[test]
fn wait_idle_returns_in_one_thread_at_a_time() {
    on_workers(1, || {
        let log: Rc<RefCell<Vec<u32>>> = Rc::default();
        let threads: Vec<_> = (0..3)
            .map(|number| {
                let log = log.clone();
                spawn_local(move || {
                    for _ in 0..3 {
                        wait_idle();
                        // Alone, for any number of its turns.
                        let before = log.borrow().len();
                        turns();
                        assert_eq!(log.borrow().len(), before);
                        log.borrow_mut().push(number);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*log.borrow(), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
    });
}

#[test]
fn wait_idle_is_ended_like_every_wait() {
    on_workers(1, || {
        let busy = spawn_local(|| {
            loop {
                yield_now();
            }
        });
        assert_eq!(timeout(SOON, wait_idle), Err(Elapsed));
        let waiting = spawn_local(wait_idle);
        turns();
        waiting.cancel();
        assert!(Cancelled::is(&waiting.join().unwrap_err()));
        busy.cancel();
        wait_idle();
        assert!(busy.is_finished());
    });
    let payload = catch_unwind(wait_idle).unwrap_err();
    assert!(
        payload
            .downcast_ref::<&str>()
            .unwrap()
            .contains("not a green thread")
    );
}

/// An event that has arrived is work, a timer that has not expired is not.
#[test]
fn what_is_idle() {
    use rustlet::os::unix::net::UnixStream;
    use std::io::{Read, Write};
    on_workers(1, || {
        // A write arrives at once here, which no network promises.
        let (mut sender, mut receiver) = UnixStream::pair().unwrap();
        let reader = spawn_local(move || receiver.read_exact(&mut [0; 3]).unwrap());
        let sleeper = spawn_local(|| sleep(LONG));
        turns();
        sender.write_all(b"abc").unwrap();
        wait_idle();
        assert!(reader.is_finished());
        assert!(!sleeper.is_finished());
    });
}

/// A worker stepped by hand: another thread takes each step, as long as there is one.
#[test]
fn wait_idle_on_a_worker_that_is_stepped() {
    rustlet::Worker::scope(|worker| {
        let log: Rc<RefCell<Vec<&str>>> = Rc::default();
        let theirs = log.clone();
        worker.assign(move || {
            wait_idle();
            theirs.borrow_mut().push("idle");
        });
        let theirs = log.clone();
        worker.assign(move || {
            for _ in 0..3 {
                theirs.borrow_mut().push("busy");
                yield_now();
            }
        });
        while worker.tick() {}
        assert_eq!(*log.borrow(), ["busy", "busy", "busy", "idle"]);
        let limited = worker.assign(|| timeout(SOON, park));
        worker.work();
        assert_eq!(limited.join().unwrap(), Err(Elapsed));
        // A limit of the OS thread itself does not apply to the worker's threads.
        let free = worker.assign(|| sleep(SOON * 2));
        assert_eq!(timeout(Duration::ZERO, || worker.work()), Err(Elapsed));
        worker.work();
        assert!(free.join().is_ok());
    });
}

/// A thread with completion receivers is joined in another way.
#[test]
fn join_timeout_of_a_hooked_thread() {
    everywhere(|| {
        let thread = spawn(|| {
            park();
            5
        });
        let done = thread.done();
        let thread = thread.join_timeout(SOON).unwrap_err();
        assert!(timeout(SOON, || done.recv()).is_err());
        thread.thread().unpark();
        assert_eq!(thread.join_timeout(LONG).unwrap().unwrap(), 5);
        assert_eq!(done.recv(), Ok(()));
    });
}

// --- block_on ---

/// Becomes ready when the holder of the other end sends.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<(bool, Option<Waker>)>>);

impl Gate {
    fn open(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Gate {
    type Output = ();
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap();
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Pending once, and woken at once: what `yield_now` is in async code.
fn turn() -> impl Future<Output = ()> {
    let mut done = false;
    poll_fn(move |context| {
        if std::mem::replace(&mut done, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

#[test]
fn block_on_waits_for_wakers() {
    everywhere(|| {
        assert_eq!(block_on(ready(5)), 5);
        for delay in [Duration::ZERO, SOON] {
            let gate = Gate::default();
            let theirs = gate.clone();
            let opener = spawn(move || {
                sleep(delay);
                theirs.open();
            });
            block_on(async {
                turn().await;
                gate.await;
                turn().await;
            });
            opener.join().unwrap();
        }
        // By an OS thread.
        let gate = Gate::default();
        let theirs = gate.clone();
        let opener = std::thread::spawn(move || theirs.open());
        block_on(gate);
        opener.join().unwrap();
    });
}

#[test]
fn block_on_does_not_block_its_worker() {
    on_workers(1, || {
        let steps = Rc::new(Cell::new(0));
        let theirs = steps.clone();
        let other = spawn_local(move || {
            for _ in 0..10 {
                theirs.set(theirs.get() + 1);
                yield_now();
            }
        });
        // Wakes itself all the time, so it never suspends.
        block_on(async {
            while !other.is_finished() {
                turn().await;
            }
        });
        assert_eq!(steps.get(), 10);
    });
}

/// A future that waits as a green thread does uses up wake-ups that were meant for its own task.
#[test]
fn a_wake_up_during_a_wait_of_the_future_is_not_lost() {
    everywhere(|| {
        for _ in 0..20 {
            let gate = Gate::default();
            let theirs = gate.clone();
            let mut polled = false;
            let mut inner = gate;
            block_on(poll_fn(move |context| {
                let poll = Pin::new(&mut inner).poll(context);
                if !std::mem::replace(&mut polled, true) {
                    // Open before it is pending, while it sleeps.
                    let theirs = theirs.clone();
                    drop(spawn(move || theirs.open()));
                    sleep(SOON / 4);
                }
                poll
            }));
        }
    });
}

#[test]
fn block_on_is_ended_and_drops_the_future() {
    everywhere(|| {
        let drops = AtomicUsize::new(0);
        let result = timeout(SOON, || {
            block_on(async {
                let _guard = OnDrop(|| {
                    drops.fetch_add(1, Ordering::SeqCst);
                });
                pending::<()>().await;
            });
        });
        assert_eq!(result, Err(Elapsed));
        assert_eq!(drops.into_inner(), 1);
        let payload = catch_unwind(|| block_on(async { resume_unwind(Box::new("oh")) }));
        let payload: Result<(), _> = payload;
        assert_eq!(payload.unwrap_err().downcast_ref::<&str>(), Some(&"oh"));
    });
}

#[test]
fn wakers_outlive_what_they_wake() {
    run(|| {
        let gate = Gate::default();
        assert!(timeout(SOON, || block_on(gate.clone())).is_err());
        // The future still holds its waker.
        let theirs = gate.clone();
        spawn(move || theirs.open()).join().unwrap();
        block_on(gate);
        let kept: Arc<Mutex<Option<Waker>>> = Arc::default();
        let theirs = kept.clone();
        let thread = spawn(move || {
            block_on(poll_fn(|context| {
                *theirs.lock().unwrap() = Some(context.waker().clone());
                Poll::Ready(())
            }));
        });
        thread.join().unwrap();
        kept.lock().unwrap().take().unwrap().wake();
    });
}
