//! `TaskGroup`: the limit, results as they come, the first error, cancellation.

use crate::{everywhere, on_workers};
use rustlet::channel::{after, bounded, select, unbounded};
use rustlet::thread::TaskGroup;
use rustlet::{Cancelled, park, run, spawn, timeout, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(1);

#[test]
fn results_come_as_threads_end() {
    everywhere(|| {
        let mut group = TaskGroup::new();
        assert!(group.join_next().is_none() && group.try_join_next().is_none());
        let senders = [(); 3].map(|()| {
            let (sender, receiver) = bounded::<u32>(1);
            group.spawn(move || receiver.recv().unwrap());
            sender
        });
        assert_eq!((group.len(), group.is_empty()), (3, false));
        for n in [1, 2, 0] {
            assert!(group.try_join_next().is_none());
            senders[n].send(n as u32).unwrap();
            assert_eq!(group.join_next().unwrap().unwrap(), n as u32);
        }
        assert!(group.is_empty() && group.join_next().is_none());
        assert_eq!(format!("{group:?}"), "TaskGroup { len: 0, .. }");
    });
}

#[test]
fn no_more_run_than_the_limit_allows() {
    everywhere(|| {
        let running = Arc::new(AtomicUsize::new(0));
        let mut group = TaskGroup::with_limit(3);
        for n in 0..50 {
            let running = Arc::clone(&running);
            group.spawn(move || {
                assert!(running.fetch_add(1, SeqCst) < 3);
                for _ in 0..n % 4 {
                    yield_now();
                }
                running.fetch_sub(1, SeqCst);
                n
            });
        }
        assert_eq!(group.join_all(), (0..50).collect::<Vec<_>>());
    });
}

#[test]
#[should_panic = "the limit of a TaskGroup must be at least 1"]
fn a_limit_of_zero_is_refused() {
    drop(TaskGroup::<()>::with_limit(0));
}

#[test]
fn panics_come_out() {
    everywhere(|| {
        let mut group = TaskGroup::new();
        group.spawn(|| resume_unwind(Box::new(7)));
        let payload = group.join_next().unwrap().unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&7));
        group.spawn(park);
        group.spawn(|| resume_unwind(Box::new(8)));
        let payload = catch_unwind(AssertUnwindSafe(|| group.join_all())).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&8));
    });
}

#[test]
fn a_group_that_an_error_has_ended_is_not_ready() {
    everywhere(|| {
        let mut group = TaskGroup::with_limit(1);
        group.try_spawn(|| Ok(1)).unwrap();
        // This call keeps the value.
        group.try_spawn(|| Err("no")).unwrap();
        assert_eq!(group.try_spawn(|| Ok(2)), Err("no"));
        assert!(group.is_empty());
        let ready = group.receiver();
        select! {
            recv(ready) -> _ => panic!("there is no result"),
            default => {}
        }
    });
}

#[test]
fn the_first_error_ends_the_group() {
    everywhere(|| {
        let ended = Arc::new(AtomicUsize::new(0));
        let note = || {
            struct Note(Arc<AtomicUsize>);
            impl Drop for Note {
                fn drop(&mut self) {
                    self.0.fetch_add(1, SeqCst);
                }
            }
            Note(Arc::clone(&ended))
        };
        let mut group = TaskGroup::new();
        for _ in 0..5 {
            let note = note();
            group.spawn(move || {
                let _note = note;
                park();
                Ok(1)
            });
        }
        group.spawn(|| Err("no"));
        assert_eq!(group.try_join_all(), Err("no"));
        // All have ended, not only been cancelled.
        assert_eq!(ended.load(SeqCst), 5);

        let mut group = TaskGroup::with_limit(2);
        let held = note();
        group
            .try_spawn(move || {
                let _note = held;
                park();
                Ok(1)
            })
            .unwrap();
        group.try_spawn(|| Err("never")).unwrap();
        assert_eq!(group.try_spawn(|| Ok(2)), Err("never"));
        assert_eq!(ended.load(SeqCst), 6);
        assert!(group.is_empty());
        // It may be used again.
        group.try_spawn(|| Ok(3)).unwrap();
        assert_eq!(group.try_join_all(), Ok(vec![3]));
    });
}

#[test]
fn values_that_came_before_are_kept() {
    everywhere(|| {
        let mut group = TaskGroup::with_limit(1);
        for n in 0..5 {
            group.try_spawn(move || Ok::<_, ()>(n)).unwrap();
        }
        let (sender, receiver) = bounded(1);
        let last = move || Ok(receiver.recv().unwrap());
        group.try_spawn(last).unwrap();
        assert_eq!(group.len(), 6);
        for n in 0..4 {
            assert!(group.receiver().recv().is_ok());
            assert_eq!(group.join_next().unwrap().unwrap(), Ok(n));
        }
        assert_eq!(group.try_join_next().unwrap().unwrap(), Ok(4));
        assert!(group.receiver().try_recv().is_err());
        sender.send(5).unwrap();
        assert_eq!(group.try_join_all(), Ok(vec![5]));
    });
}

#[test]
fn cancelled_threads_report_it() {
    everywhere(|| {
        let mut group = TaskGroup::new();
        group.spawn(park);
        group.spawn(park);
        group.cancel_all();
        while let Some(result) = group.join_next() {
            assert!(result.unwrap_err().is::<Cancelled>());
        }
        group.spawn(park);
        group.shutdown();
        assert!(group.is_empty());
        group.spawn(park);
        group.cancel_all();
        let payload = catch_unwind(AssertUnwindSafe(|| group.join_all())).unwrap_err();
        let text = payload.downcast_ref::<&str>();
        assert_eq!(text, Some(&"a thread of the group was cancelled"));
    });
}

#[test]
fn a_dropped_group_cancels_and_a_detached_one_does_not() {
    run(|| {
        let (sender, receiver) = unbounded::<()>();
        let mut group = TaskGroup::new();
        let other = sender.clone();
        group.spawn(move || {
            park();
            other.send(()).unwrap();
        });
        drop(group);
        let mut group = TaskGroup::new();
        group.spawn(move || {
            yield_now();
            sender.send(()).unwrap();
        });
        group.detach_all();
        assert!(group.is_empty() && group.join_next().is_none());
        assert_eq!(receiver.iter().count(), 1);
    });
}

#[test]
fn a_cancelled_owner_loses_no_result() {
    on_workers(1, || {
        let (sender, receiver) = bounded::<u32>(1);
        let mut group = TaskGroup::with_limit(1);
        group.spawn(move || receiver.recv().unwrap());
        assert!(timeout(SHORT, || group.join_next().is_some()).is_err());
        let dropped = Arc::new(());
        let held = Arc::clone(&dropped);
        assert!(
            timeout(SHORT, || group
                .spawn(move || Arc::strong_count(&held) as u32))
            .is_err()
        );
        assert_eq!(Arc::strong_count(&dropped), 1);
        sender.send(7).unwrap();
        assert_eq!(group.join_next().unwrap().unwrap(), 7);

        // The owner of a group ends, and with it the group.
        let (sender, receiver) = unbounded::<()>();
        let owner = spawn(move || {
            let mut group = TaskGroup::new();
            group.spawn(move || {
                let _sender = sender;
                park();
            });
            group.join_all();
        });
        yield_now();
        owner.cancel();
        assert!(owner.join().unwrap_err().is::<Cancelled>());
        assert!(receiver.recv().is_err());
    });
}

#[test]
fn a_result_is_waited_for_in_a_select() {
    everywhere(|| {
        let mut group = TaskGroup::new();
        for n in 0..20 {
            group.spawn(move || {
                for _ in 0..n {
                    yield_now();
                }
                n
            });
        }
        let mut sum = 0;
        while !group.is_empty() {
            select! {
                recv(group.receiver()) -> _ => sum += group.try_join_next().unwrap().unwrap(),
                recv(after(Duration::from_secs(600))) -> _ => panic!("no result"),
            }
        }
        assert_eq!(sum, 190);
    });
}
