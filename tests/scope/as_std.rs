//! std's API: the same source against std's scopes and rustlet's.

use super::{enter, thread};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Counts how often it is dropped; borrows the counter.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn message(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("something else")
}

#[test]
fn threads_borrow() {
    enter(|| {
        let mut numbers = vec![1, 2, 3];
        let mut doubled = 0;
        let text = String::from("text");
        let length = thread::scope(|s| {
            s.spawn(|| doubled = numbers.iter().sum::<i32>() * 2);
            let length = s.spawn(|| text.len());
            length.join().unwrap()
        });
        numbers.push(doubled);
        assert_eq!((numbers, length), (vec![1, 2, 3, 12], 4));
    });
}

#[test]
fn a_scope_returns_the_value_of_its_closure() {
    enter(|| {
        let text = String::from("text");
        let borrowed: &str = thread::scope(|s| s.spawn(|| &text[1..]).join().unwrap());
        assert_eq!(borrowed, "ext");
        assert_eq!(thread::scope(|_| 5), 5);
    });
}

#[test]
fn a_scope_waits_for_threads_that_are_not_joined() {
    enter(|| {
        let ended = AtomicUsize::new(0);
        thread::scope(|s| {
            for _ in 0..20 {
                s.spawn(|| {
                    for _ in 0..5 {
                        thread::yield_now();
                    }
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(ended.into_inner(), 20);
    });
}

#[test]
fn threads_of_a_scope_spawn_on_it() {
    enter(|| {
        let ended = AtomicUsize::new(0);
        thread::scope(|s| {
            s.spawn(|| {
                for _ in 0..3 {
                    s.spawn(|| {
                        s.spawn(|| {
                            thread::yield_now();
                            ended.fetch_add(1, Ordering::Relaxed);
                        });
                    });
                }
            });
        });
        assert_eq!(ended.into_inner(), 3);
    });
}

#[test]
fn scopes_nest() {
    enter(|| {
        let mut outer = 1;
        let mut inner = 10;
        thread::scope(|s| {
            let outer = &mut outer;
            let inner = &mut inner;
            s.spawn(move || {
                let mut own = 100;
                thread::scope(|t| {
                    t.spawn(|| own += 1);
                    t.spawn(|| *inner += 1);
                });
                *outer += own;
            });
        });
        assert_eq!((outer, inner), (102, 11));
    });
}

#[test]
fn a_panic_that_is_joined_stays_there() {
    enter(|| {
        let value = thread::scope(|s| {
            let thread = s.spawn(|| resume_unwind(Box::new("mine")));
            let payload = thread.join().unwrap_err();
            assert_eq!(message(&*payload), "mine");
            5
        });
        assert_eq!(value, 5);
    });
}

#[test]
fn a_panic_that_is_not_joined_comes_out_of_the_scope() {
    enter(|| {
        let others = AtomicUsize::new(0);
        let scope = AssertUnwindSafe(|| {
            thread::scope(|s| {
                s.spawn(|| resume_unwind(Box::new("lost")));
                s.spawn(|| {
                    thread::yield_now();
                    others.fetch_add(1, Ordering::SeqCst);
                });
            });
        });
        let payload = catch_unwind(scope).unwrap_err();
        assert_eq!(message(&*payload), "a scoped thread panicked");
        assert_eq!(others.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_panic_whose_handle_is_dropped_late_comes_out_too() {
    enter(|| {
        let scope = || {
            thread::scope(|s| {
                let thread = s.spawn(|| resume_unwind(Box::new("lost")));
                while !thread.is_finished() {
                    thread::yield_now();
                }
            });
        };
        let payload = catch_unwind(scope).unwrap_err();
        assert_eq!(message(&*payload), "a scoped thread panicked");
    });
}

#[test]
fn a_panic_of_the_closure_waits_for_the_threads() {
    enter(|| {
        let go = AtomicBool::new(false);
        let ended = AtomicUsize::new(0);
        let scope = AssertUnwindSafe(|| {
            thread::scope(|s| {
                for _ in 0..3 {
                    s.spawn(|| {
                        while !go.load(Ordering::SeqCst) {
                            thread::yield_now();
                        }
                        thread::yield_now();
                        ended.fetch_add(1, Ordering::SeqCst);
                    });
                }
                // Unlike the others, this one panics as well: the closure's panic is the one that
                // is resumed.
                s.spawn(|| resume_unwind(Box::new("theirs")));
                go.store(true, Ordering::SeqCst);
                if !thread::panicking() {
                    resume_unwind(Box::new("mine"));
                }
            });
        });
        let payload = catch_unwind(scope).unwrap_err();
        assert_eq!(message(&*payload), "mine");
        assert_eq!(ended.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn results_may_borrow_and_are_dropped_before_the_scope_ends() {
    enter(|| {
        let drops = AtomicUsize::new(0);
        thread::scope(|s| {
            // The handle is dropped before the end, dropped after the end, and joined.
            s.spawn(|| Counted(&drops));
            let late = s.spawn(|| Counted(&drops));
            while !late.is_finished() {
                thread::yield_now();
            }
            drop(late);
            drop(s.spawn(|| Counted(&drops)).join().unwrap());
        });
        assert_eq!(drops.into_inner(), 3);
    });
}

#[test]
fn a_payload_is_dropped_once() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    enter(|| {
        let before = DROPS.load(Ordering::SeqCst);
        let scope = || {
            thread::scope(|s| {
                s.spawn(|| resume_unwind(Box::new(Counted(&DROPS))));
            });
        };
        catch_unwind(scope).unwrap_err();
        assert_eq!(DROPS.load(Ordering::SeqCst), before + 1);
    });
}

#[test]
fn handles_move_into_other_threads_of_the_scope() {
    enter(|| {
        let number = AtomicUsize::new(0);
        thread::scope(|s| {
            let first = s.spawn(|| number.fetch_add(5, Ordering::SeqCst));
            let second = s.spawn(move || first.join().unwrap());
            let third = s.spawn(move || second);
            assert_eq!(third.join().unwrap().join().unwrap(), 0);
        });
        assert_eq!(number.into_inner(), 5);
    });
}

#[test]
fn a_result_may_be_a_handle_that_is_never_taken() {
    enter(|| {
        let ended = AtomicUsize::new(0);
        thread::scope(|s| {
            s.spawn(|| {
                s.spawn(|| {
                    thread::yield_now();
                    ended.fetch_add(1, Ordering::SeqCst);
                    Counted(&ended)
                })
            });
        });
        assert_eq!(ended.into_inner(), 2);
    });
}

#[test]
fn a_builder_spawns_scoped() {
    enter(|| {
        let number = 5;
        thread::scope(|s| {
            let builder = thread::Builder::new().name("amber".into()).stack_size(1 << 20);
            let thread = builder.spawn_scoped(s, || {
                assert_eq!(thread::current().name(), Some("amber"));
                &number
            });
            let thread = thread.unwrap();
            assert_eq!(thread.thread().name(), Some("amber"));
            assert_eq!(*thread.join().unwrap(), 5);
        });
    });
}

#[test]
fn a_lock_is_shared() {
    enter(|| {
        let total = Mutex::new(0);
        thread::scope(|s| {
            for number in 0..50 {
                let total = &total;
                s.spawn(move || {
                    thread::yield_now();
                    *total.lock().unwrap() += number;
                });
            }
        });
        assert_eq!(total.into_inner().unwrap(), 1225);
    });
}

#[test]
fn unpark_does_not_end_a_scope() {
    enter(|| {
        let ended = AtomicBool::new(false);
        let this = thread::current();
        thread::scope(|s| {
            s.spawn(|| {
                for _ in 0..20 {
                    this.unpark();
                    thread::yield_now();
                }
                ended.store(true, Ordering::SeqCst);
            });
        });
        assert!(ended.into_inner());
    });
}

#[test]
fn many_scopes_at_once() {
    enter(|| {
        let total = AtomicUsize::new(0);
        thread::scope(|s| {
            for _ in 0..10 {
                s.spawn(|| {
                    for _ in 0..super::super::stress(10) {
                        let own = Cell::new(0);
                        let sum: usize = thread::scope(|t| {
                            let threads = [1, 2, 3].map(|number| t.spawn(move || number));
                            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
                        });
                        own.set(own.get() + sum);
                        total.fetch_add(own.get(), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 10 * 6 * super::super::stress(10));
    });
}

#[test]
fn traits_are_those_of_std() {
    fn is<T: Send + Sync + std::fmt::Debug>() {}
    is::<thread::Scope<'static, 'static>>();
    is::<thread::ScopedJoinHandle<'static, Cell<u8>>>();
}
