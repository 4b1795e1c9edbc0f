//! `coroutine`: its input, its output, and the behaviour when one side is dropped.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests are on OS threads of their own"
)]

use rustlet::channel::{RecvError, SendError, after, select};
use rustlet::runtime::Builder;
use rustlet::{Cancelled, Coroutine, Duplex, coroutine, park, sleep, spawn, yield_now};
use std::panic::resume_unwind;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

/// Long enough for every ready thread to reach its next wait.
fn turns() {
    for _ in 0..20 {
        yield_now();
    }
}

/// Runs `f` on a runtime with one worker, where the order of execution is fixed.
fn one_worker<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    Builder::new().workers(1).build().unwrap().run(f)
}

/// Runs `f` on runtimes with one worker and with two, and on an OS thread, where the coroutines are
/// on the process-wide runtime.
fn everywhere(f: fn()) {
    for workers in [1, 2] {
        Builder::new().workers(workers).build().unwrap().run(f);
    }
    f();
}

fn echo() -> Coroutine<i32, i32> {
    coroutine(|caller: Duplex<i32, i32>| {
        for number in &caller {
            caller.put(number * 10).unwrap();
        }
    })
}

/// As in Spool: a coroutine and its channel, `put`, `get`, `close`, `alive`.
#[test]
fn it_answers() {
    everywhere(|| {
        let echo = echo();
        assert!(echo.is_alive());
        for number in 0..50 {
            echo.put(number).unwrap();
            assert_eq!(echo.get(), Ok(number * 10));
        }
        echo.close();
        assert!(!echo.is_alive());
        assert_eq!(echo.put(1), Err(SendError(1)));
        assert_eq!(echo.get(), Err(RecvError));
        echo.join().unwrap();
    });
}

#[test]
fn it_generates() {
    everywhere(|| {
        let numbers = coroutine(|caller: Duplex<(), i32>| {
            (0..5).for_each(|number| caller.put(number).unwrap());
        });
        assert_eq!((&numbers).into_iter().take(2).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(numbers.iter().next(), Some(2));
        let mut rest = numbers.into_iter();
        assert_eq!(rest.next(), Some(3));
        assert_eq!(rest.by_ref().collect::<Vec<_>>(), [4]);
        assert_eq!(rest.next(), None);
    });
}

#[test]
fn they_are_chained() {
    everywhere(|| {
        let numbers = coroutine(|caller: Duplex<(), u32>| {
            let mut number = 0;
            while caller.put(number).is_ok() {
                number += 1;
            }
        });
        let evens = coroutine(move |caller: Duplex<(), u32>| {
            for number in numbers {
                if number % 2 == 0 && caller.put(number).is_err() {
                    return;
                }
            }
        });
        assert!(evens.into_iter().take(50).eq((0..50).map(|n| 2 * n)));
    });
}

/// One item fits in each direction, so that both may put before they get.
#[test]
fn both_may_put_first() {
    everywhere(|| {
        let twin = coroutine(|caller: Duplex<i32, i32>| {
            for number in 0..20 {
                caller.put(number).unwrap();
                assert_eq!(caller.get(), Ok(number));
            }
        });
        for number in 0..20 {
            twin.put(number).unwrap();
            assert_eq!(twin.get(), Ok(number));
        }
        twin.join().unwrap();
    });
}

#[test]
fn it_is_no_further_ahead_than_two() {
    one_worker(|| {
        let (made, counted) = rustlet::channel::unbounded();
        let numbers = coroutine(move |caller: Duplex<(), i32>| {
            for number in 0.. {
                made.send(number).unwrap();
                if caller.put(number).is_err() {
                    return;
                }
            }
        });
        for _ in 0..20 {
            turns();
        }
        // One is in the buffer, one is about to be put.
        assert_eq!(counted.len(), 2);
        assert_eq!(numbers.get(), Ok(0));
        turns();
        assert_eq!(counted.len(), 3);
    });
}

// --- one side goes ---

#[test]
fn the_inside_returns() {
    everywhere(|| {
        let short = coroutine(|caller: Duplex<i32, &str>| {
            assert_eq!(caller.get(), Ok(1));
            caller.put("last words").unwrap();
        });
        short.put(1).unwrap();
        while short.is_alive() {
            yield_now();
        }
        assert_eq!(short.put(2), Err(SendError(2)));
        assert_eq!(short.get(), Ok("last words"));
        assert_eq!(short.get(), Err(RecvError));
        short.join().unwrap();
    });
}

#[test]
fn the_inside_closes_and_goes_on() {
    one_worker(|| {
        let closing = coroutine(|caller: Duplex<i32, i32>| {
            caller.put(1).unwrap();
            caller.close();
            assert!(!caller.is_alive());
            assert_eq!(caller.put(2), Err(SendError(2)));
            assert_eq!(caller.get(), Err(RecvError));
            park();
        });
        assert_eq!(closing.iter().collect::<Vec<_>>(), [1]);
        assert_eq!(closing.put(1), Err(SendError(1)));
        closing.thread().unpark();
        closing.join().unwrap();
    });
}

#[test]
fn the_inside_panics() {
    everywhere(|| {
        let failing = coroutine(|caller: Duplex<(), i32>| {
            caller.put(1).unwrap();
            resume_unwind(Box::new("no"));
        });
        assert_eq!(failing.get(), Ok(1));
        assert_eq!(failing.get(), Err(RecvError));
        assert!(!failing.is_alive());
        let payload = failing.join().unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"no"));
    });
}

#[test]
fn the_outside_is_dropped() {
    one_worker(|| {
        // It waits in `get`, in `put`, and elsewhere.
        let (told, end) = rustlet::channel::unbounded();
        let (gets, puts, parks) = (told.clone(), told.clone(), told);
        let coroutines: [Coroutine<(), i32>; 3] = [
            coroutine(move |caller| gets.send(caller.get().is_err()).unwrap()),
            coroutine(move |caller| {
                caller.put(1).unwrap();
                puts.send(caller.put(2) == Err(SendError(2))).unwrap();
            }),
            coroutine(move |caller| {
                park();
                parks.send(!caller.is_alive()).unwrap();
            }),
        ];
        turns();
        let parked = coroutines[2].thread().clone();
        drop(coroutines);
        assert_eq!(end.iter().take(2).collect::<Vec<_>>(), [true, true]);
        parked.unpark();
        assert_eq!(end.iter().collect::<Vec<_>>(), [true]);
    });
}

#[test]
fn an_iterator_that_is_dropped_closes() {
    one_worker(|| {
        let (ended, end) = rustlet::channel::bounded::<()>(1);
        let numbers = coroutine(move |caller: Duplex<(), i32>| {
            let _ended = ended;
            while caller.put(1).is_ok() {}
        });
        assert_eq!(numbers.into_iter().take(3).count(), 3);
        assert!(end.recv().is_err());
    });
}

#[test]
fn a_kept_receiver_does_not_keep_it_open() {
    one_worker(|| {
        let numbers = coroutine(|caller: Duplex<(), i32>| while caller.put(1).is_ok() {});
        let receiver = numbers.receiver();
        assert_eq!(receiver.recv(), Ok(1));
        numbers.join().unwrap();
        assert!(receiver.recv().is_err());
    });
}

#[test]
fn the_inner_end_may_be_sent_away() {
    one_worker(|| {
        let delegated = coroutine(|caller: Duplex<i32, i32>| {
            std::thread::spawn(move || {
                for number in caller {
                    assert!(number < 10);
                }
            });
        });
        for number in 0..10 {
            delegated.put(number).unwrap();
        }
        delegated.join().unwrap();
    });
}

// --- cancellation ---

#[test]
fn a_coroutine_is_cancelled() {
    one_worker(|| {
        for wait in [
            |caller: &Duplex<(), i32>| assert!(caller.get().is_err()),
            |caller: &Duplex<(), i32>| while caller.put(1).is_ok() {},
            |_: &Duplex<(), i32>| sleep(LONG),
        ] {
            let stuck = coroutine(move |caller: Duplex<(), i32>| wait(&caller));
            turns();
            stuck.cancel();
            assert!(stuck.iter().all(|number| number == 1));
            assert!(!stuck.is_alive());
            assert!(stuck.join().unwrap_err().is::<Cancelled>());
        }
    });
}

#[test]
fn a_cancelled_get_loses_no_item() {
    one_worker(|| {
        for _ in 0..50 {
            let numbers = std::sync::Arc::new(coroutine(|caller: Duplex<(), i32>| {
                for number in 0..4 {
                    yield_now();
                    if caller.put(number).is_err() {
                        return;
                    }
                }
            }));
            let theirs = std::sync::Arc::clone(&numbers);
            let getter = spawn(move || theirs.get().unwrap());
            turns();
            getter.cancel();
            let first = getter.join();
            let rest: Vec<_> = numbers.iter().collect();
            match first {
                Ok(number) => assert_eq!((number, rest), (0, vec![1, 2, 3])),
                Err(_) => assert_eq!(rest, [0, 1, 2, 3]),
            }
        }
    });
}

#[test]
fn the_end_of_a_run_ends_coroutines() {
    let (to, from) = std::sync::mpsc::channel();
    struct Tells(std::sync::mpsc::Sender<()>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let kept = one_worker(move || {
        let tells = Tells(to);
        let waiting = coroutine(move |caller: Duplex<(), ()>| {
            let _tells = tells;
            assert!(caller.get().is_err());
        });
        turns();
        waiting
    });
    from.recv().unwrap();
    assert!(kept.get().is_err());
    assert!(kept.join().unwrap_err().is::<Cancelled>());
}

// --- select ---

#[test]
fn it_is_selected() {
    everywhere(|| {
        let (fast, slow) = (echo(), echo());
        let mut seen = Vec::new();
        fast.put(1).unwrap();
        while seen.len() < 3 {
            select! {
                recv(fast.receiver()) -> number => {
                    seen.push(number.unwrap());
                    slow.put(2).unwrap();
                }
                recv(slow.receiver()) -> number => {
                    seen.push(number.unwrap());
                    fast.close();
                }
                recv(after(LONG)) -> _ => unreachable!(),
            }
            if seen.len() == 2 {
                assert!(fast.receiver().recv().is_err());
                slow.put(3).unwrap();
                seen.push(slow.get().unwrap());
            }
        }
        assert_eq!(seen, [10, 20, 30]);
        let limited = slow.receiver().recv_timeout(Duration::from_millis(1));
        assert!(limited.unwrap_err().is_timeout());
    });
}
