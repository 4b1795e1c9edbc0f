//! `CancelToken`: on green threads of one and of two workers, and on OS threads.

use crate::{everywhere, on_workers};
use rustlet::channel::{after, bounded, select};
use rustlet::thread::scope;
use rustlet::{CancelToken, Cancelled, Elapsed, park, shield, sleep, spawn, timeout, yield_now};
use std::cell::Cell;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(1);

/// A destructor that sets its flag.
struct Note<'a>(&'a Cell<bool>);

impl Drop for Note<'_> {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn a_token_ends_the_waits_of_a_call() {
    everywhere(|| {
        let token = CancelToken::new();
        let canceller = token.clone();
        let thread = spawn(move || {
            sleep(SHORT);
            canceller.cancel();
        });
        let dropped = Cell::new(false);
        let result = token.run_until_cancelled(|| {
            let _note = Note(&dropped);
            loop {
                park();
            }
        });
        assert_eq!(result, None::<()>);
        assert!(dropped.get() && token.is_cancelled());
        // It stays cancelled.
        assert_eq!(token.run_until_cancelled(|| sleep(Duration::MAX)), None);
        assert_eq!(token.run_until_cancelled(|| 7), Some(7));
        token.cancelled();
        thread.join().unwrap();
        assert_eq!(
            format!("{token:?}"),
            "CancelToken { is_cancelled: true, .. }"
        );
    });
}

#[test]
fn a_token_ends_calls_of_many_threads() {
    for workers in [1, 2] {
        on_workers(workers, || {
            let token = CancelToken::new();
            let (started, starts) = bounded(0);
            let body = {
                let token = token.clone();
                move || {
                    token.run_until_cancelled(|| {
                        started.send(()).unwrap();
                        park();
                        park();
                    })
                }
            };
            let green: Vec<_> = (0..50).map(|_| spawn(body.clone())).collect();
            let os: Vec<_> = (0..3).map(|_| std::thread::spawn(body.clone())).collect();
            for _ in 0..53 {
                starts.recv().unwrap();
            }
            token.cancel();
            for thread in green {
                assert_eq!(thread.join().unwrap(), None);
            }
            for thread in os {
                assert_eq!(thread.join().unwrap(), None);
            }
        });
    }
}

/// Socket operations of an OS thread are polled for it.
#[test]
fn a_token_ends_a_read() {
    everywhere(|| {
        let (_one, mut other) = rustlet::os::unix::net::UnixStream::pair().unwrap();
        let token = CancelToken::new();
        let canceller = token.clone();
        let thread = spawn(move || canceller.cancel());
        assert!(token.run_until_cancelled(|| other.read(&mut [0])).is_none());
        thread.join().unwrap();
    });
}

#[test]
fn calls_nest() {
    everywhere(|| {
        let (outer, inner) = (CancelToken::new(), CancelToken::new());
        inner.cancel();
        let result = outer.run_until_cancelled(|| inner.run_until_cancelled(park));
        assert_eq!(result, Some(None));
        outer.cancel();
        // The outermost counts.
        let result = outer.run_until_cancelled(|| inner.run_until_cancelled(park));
        assert_eq!(result, None);
        let result = timeout(SHORT, || CancelToken::new().run_until_cancelled(park));
        assert_eq!(result, Err(Elapsed));
        let result = outer.run_until_cancelled(|| {
            shield(|| {
                sleep(SHORT);
                // Started within the shield.
                assert_eq!(inner.run_until_cancelled(park), None);
            });
            "shielded"
        });
        assert_eq!(result, Some("shielded"));
    });
}

#[test]
fn children_end_with_their_parents() {
    everywhere(|| {
        let root = CancelToken::new();
        let middle = root.child_token();
        let (leaf, other) = (middle.child_token(), root.child_token());
        drop(middle);
        other.cancel();
        assert!(!root.is_cancelled() && !leaf.is_cancelled());
        let waits = leaf.clone();
        let thread = spawn(move || waits.run_until_cancelled(park));
        // Its parent is gone, and its parent's parent is not.
        root.cancel();
        assert!(leaf.is_cancelled());
        assert_eq!(thread.join().unwrap(), None);
        assert!(root.child_token().child_token().is_cancelled());
    });
}

#[test]
fn many_children_come_and_go() {
    let root = CancelToken::new();
    let kept: Vec<_> = (0..1_000)
        .map(|n| {
            for _ in 0..n % 7 {
                drop(root.child_token());
            }
            root.child_token()
        })
        .collect();
    // A chain that is dropped without recursion, and cancelled without it.
    let mut last = root.clone();
    for _ in 0..200_000 {
        last = last.child_token();
    }
    root.cancel();
    assert!(last.is_cancelled() && kept.iter().all(CancelToken::is_cancelled));
    drop((root, kept));
    drop(last);
}

#[test]
fn a_token_is_waited_for_and_selected() {
    everywhere(|| {
        let token = CancelToken::new();
        assert_eq!(timeout(SHORT, || token.cancelled()), Err(Elapsed));
        assert!(token.done().try_recv().is_err());
        let guard = token.clone().drop_guard();
        let thread = spawn(move || {
            yield_now();
            drop(guard);
        });
        select! {
            recv(token.done()) -> done => assert_eq!(done, Ok(())),
            recv(after(Duration::from_secs(600))) -> _ => panic!("not cancelled"),
        }
        assert!(token.done().recv().is_ok() && token.done().recv().is_ok());
        thread.join().unwrap();
        let kept = CancelToken::new();
        assert!(!kept.clone().drop_guard().disarm().is_cancelled());
        assert!(!kept.is_cancelled());
    });
}

#[test]
fn a_panic_and_another_cancellation_pass() {
    on_workers(1, || {
        let token = CancelToken::new();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            token.run_until_cancelled(|| resume_unwind(Box::new(7)))
        }));
        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&7));
        let thread = spawn({
            let token = token.clone();
            move || token.run_until_cancelled(park)
        });
        yield_now();
        thread.cancel();
        assert!(thread.join().unwrap_err().is::<Cancelled>());
        // Neither has left a waiter behind.
        token.cancel();
        assert_eq!(Arc::strong_count(&Arc::new(token)), 1);
    });
}

#[test]
fn a_scope_in_a_call_is_cancelled() {
    for workers in [1, 2] {
        on_workers(workers, || {
            let token = CancelToken::new();
            let canceller = token.clone();
            let thread = spawn(move || {
                yield_now();
                canceller.cancel();
            });
            let result = token.run_until_cancelled(|| {
                scope(|s| {
                    for _ in 0..10 {
                        s.spawn(park);
                    }
                });
            });
            assert_eq!(result, None);
            thread.join().unwrap();
        });
    }
}

/// The cancellation and the wait come at the same time.
#[test]
fn a_cancellation_is_never_missed() {
    for workers in [1, 2] {
        on_workers(workers, || {
            for n in 0..super::stress(2_000) {
                let token = CancelToken::new();
                let canceller = token.clone();
                let thread = spawn(move || canceller.cancel());
                if n % 2 == 0 {
                    assert_eq!(token.run_until_cancelled(park), None);
                } else {
                    token.cancelled();
                }
                thread.join().unwrap();
            }
        });
    }
}
