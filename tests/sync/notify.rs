//! `Notify`: from green threads, from OS threads, and across.

use crate::{let_others_block, on_workers};
use rustlet::channel::{after, select};
use rustlet::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use rustlet::sync::{Arc, Notify};
use rustlet::{JoinHandle, spawn, yield_now};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(1);

fn waiter(notify: &Arc<Notify>) -> JoinHandle<()> {
    let notify = Arc::clone(notify);
    spawn(move || notify.notified())
}

#[test]
fn one_permit_is_stored() {
    let case = || {
        let notify = Notify::default();
        assert!(!notify.try_notified());
        assert!(!notify.notified_timeout(Duration::ZERO));
        assert!(!notify.notified_timeout(SHORT));
        notify.notify_one();
        notify.notify_one();
        assert_eq!(format!("{notify:?}"), "Notify { permit: true, .. }");
        notify.notified();
        assert!(!notify.notified_timeout(SHORT));
        notify.notify_one();
        assert!(notify.notified_timeout(Duration::MAX));
        notify.notify_waiters();
        assert!(!notify.try_notified());
    };
    on_workers(1, case);
    case();
}

#[test]
fn waiters_are_notified_in_order() {
    on_workers(1, || {
        let notify = Arc::new(Notify::new());
        let threads = [waiter(&notify), waiter(&notify), waiter(&notify)];
        let_others_block();
        for (count, thread) in threads.into_iter().enumerate() {
            assert!(!thread.is_finished(), "{count}");
            notify.notify_one();
            thread.join().unwrap();
        }
        assert!(!notify.try_notified());
    });
}

#[test]
fn all_that_wait_are_notified_and_no_others() {
    on_workers(1, || {
        let notify = Arc::new(Notify::new());
        let early = [(); 5].map(|()| waiter(&notify));
        let_others_block();
        notify.notify_waiters();
        // It begins to wait before the others have run.
        let late = waiter(&notify);
        for thread in early {
            thread.join().unwrap();
        }
        let_others_block();
        assert!(!late.is_finished());
        notify.notify_one();
        late.join().unwrap();
        assert!(!notify.try_notified());
    });
}

#[test]
fn a_notification_is_not_lost_to_a_waiter_that_leaves() {
    on_workers(1, || {
        let notify = Arc::new(Notify::new());
        let (first, second) = (waiter(&notify), waiter(&notify));
        let_others_block();
        first.cancel();
        notify.notify_one();
        // The cancelled one was still in the queue, and is notified: it returns. Or it has left,
        // and the second is notified. Then there is one notification, not two.
        let by_first = first.join().is_ok();
        if by_first {
            let_others_block();
            assert!(!second.is_finished());
            notify.notify_one();
        }
        second.join().unwrap();
        assert!(!notify.try_notified());

        // Cancelled first, and seen to be.
        let (first, second) = (waiter(&notify), waiter(&notify));
        let_others_block();
        first.cancel();
        let_others_block();
        assert!(first.join().is_err());
        notify.notify_one();
        second.join().unwrap();

        // All are notified, and one is cancelled before it has run.
        let threads = [(); 3].map(|()| waiter(&notify));
        let_others_block();
        notify.notify_waiters();
        threads[1].cancel();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(!notify.notified_timeout(Duration::ZERO));
    });
}

/// Each notification wakes one waiter, with waiters that give up at any moment.
#[test]
fn notifications_are_conserved() {
    for workers in [1, 2] {
        on_workers(workers, || {
            let notify = Arc::new(Notify::new());
            let taken = Arc::new(AtomicUsize::new(0));
            let threads: Vec<_> = (0..20)
                .map(|n| {
                    let (notify, taken) = (Arc::clone(&notify), Arc::clone(&taken));
                    let body = move || {
                        for round in 0..50 {
                            let limit = Duration::from_micros((n * round) % 70);
                            if notify.notified_timeout(limit) {
                                taken.fetch_add(1, SeqCst);
                            }
                        }
                    };
                    let os = n % 5 == 0;
                    let os_thread = os.then(|| std::thread::spawn(body.clone()));
                    (os_thread, (!os).then(|| spawn(body)))
                })
                .collect();
            let mut sent = 0;
            while !threads
                .iter()
                .flat_map(|(_, green)| green)
                .all(JoinHandle::is_finished)
            {
                // A permit that is stored already makes this one vanish.
                if !notify.receiver().is_empty() {
                    yield_now();
                    continue;
                }
                notify.notify_one();
                sent += 1;
                yield_now();
            }
            let (os, green): (Vec<_>, Vec<_>) = threads.into_iter().unzip();
            // In this order: the last blocks this worker.
            (green.into_iter().flatten()).for_each(|thread| thread.join().unwrap());
            (os.into_iter().flatten()).for_each(|thread| thread.join().unwrap());
            let left = usize::from(notify.try_notified());
            assert_eq!(taken.load(SeqCst) + left, sent);
        });
    }
}

/// `notify_waiters` and `notify_one` at once, with waiters that come and go: none waits forever.
#[test]
fn both_kinds_of_notification_at_once() {
    on_workers(2, || {
        let notify = Arc::new(Notify::new());
        let threads: Vec<_> = (0..16)
            .map(|_| {
                let notify = Arc::clone(&notify);
                spawn(move || {
                    for _ in 0..200 {
                        notify.notified();
                    }
                })
            })
            .collect();
        let all = Arc::clone(&notify);
        let alls = spawn(move || {
            loop {
                all.notify_waiters();
                yield_now();
            }
        });
        while !threads.iter().all(JoinHandle::is_finished) {
            notify.notify_one();
            yield_now();
        }
        alls.cancel();
        assert!(alls.join().is_err());
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_permit_is_waited_for_in_a_select() {
    for workers in [1, 2] {
        on_workers(workers, || {
            let notify = Arc::new(Notify::new());
            let other = Arc::clone(&notify);
            let notifier = spawn(move || {
                yield_now();
                other.notify_one();
            });
            select! {
                recv(notify.receiver()) -> ready => assert_eq!(ready, Ok(())),
                recv(after(Duration::from_secs(600))) -> _ => panic!("not notified"),
            }
            assert!(notify.try_notified());
            notifier.join().unwrap();
        });
    }
}
