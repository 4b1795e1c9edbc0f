//! `Semaphore`, `WaitGroup`, `Event`, `oneshot`, `Callback` and `Parker`: from green threads, from
//! OS threads, and across.

use crate::{let_others_block, on_workers};
use rustlet::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use rustlet::sync::{
    AcquireError, Arc, Callback, Event, Parker, Semaphore, TryAcquireError, WaitGroup, oneshot,
};
use rustlet::{spawn, yield_now};
use std::time::Duration;

/// On one worker, on two, and on an OS thread; `start` begins another thread of the same kind.
fn settings(case: fn(start: fn(Job))) {
    for workers in [1, 2] {
        on_workers(workers, || {
            case(|job| {
                spawn(job);
            });
        });
    }
    case(|job| {
        std::thread::spawn(job);
    });
    // One side on each kind of thread.
    case(|job| {
        spawn(job);
    });
    on_workers(1, || {
        case(|job| {
            std::thread::spawn(job);
        });
    });
}

type Job = Box<dyn FnOnce() + Send>;

const SHORT: Duration = Duration::from_millis(1);

#[test]
fn a_semaphore_counts() {
    settings(|start| {
        let places = Arc::new(Semaphore::new(3));
        let two = places.acquire_many(2).unwrap();
        assert_eq!(places.available_permits(), 1);
        assert_eq!(
            places.try_acquire_many(2).unwrap_err(),
            TryAcquireError::NoPermits
        );
        let other = Arc::clone(&places);
        start(Box::new(move || {
            drop(other.acquire_many(3).unwrap());
            other.close();
        }));
        drop(two);
        while let Ok(permit) = places.acquire() {
            drop(permit);
            yield_now();
        }
        assert!(places.is_closed());
        let closed: AcquireError = places.acquire().unwrap_err();
        assert_eq!(closed.to_string(), "the semaphore is closed");
        assert_eq!(places.try_acquire().unwrap_err(), TryAcquireError::Closed);
        assert_eq!(
            places.acquire_timeout(SHORT).unwrap_err(),
            TryAcquireError::Closed
        );
        assert_eq!(places.available_permits(), 3);
    });
}

#[test]
fn a_large_acquire_is_not_starved() {
    on_workers(1, || {
        let places = Arc::new(Semaphore::new(2));
        let one = places.acquire().unwrap();
        let large = Arc::clone(&places);
        let large = spawn(move || drop(large.acquire_many(2).unwrap()));
        let_others_block();
        // One permit is left, but another thread came first.
        assert!(places.try_acquire().is_err());
        assert_eq!(
            places.acquire_timeout(SHORT).unwrap_err(),
            TryAcquireError::NoPermits
        );
        drop(one);
        large.join().unwrap();
        assert!(places.try_acquire().is_ok());
    });
}

#[test]
fn permits_are_split_merged_and_forgotten() {
    let places = Arc::new(Semaphore::new(4));
    let mut all = places.try_acquire_many(4).unwrap();
    let one = all.split(1).unwrap();
    assert!(all.split(4).is_none());
    assert_eq!((one.num_permits(), all.num_permits()), (1, 3));
    all.merge(one);
    assert_eq!(places.available_permits(), 0);
    drop(all);
    let mut owned = Arc::clone(&places).try_acquire_many_owned(3).unwrap();
    owned.split(1).unwrap().forget();
    owned.merge(Arc::clone(&places).acquire_owned().unwrap());
    assert!(Arc::ptr_eq(owned.semaphore(), &places));
    assert_eq!(owned.num_permits(), 3);
    drop(owned);
    assert_eq!(places.available_permits(), 3);
    assert_eq!(places.forget_permits(2), 2);
    assert_eq!(places.forget_permits(2), 1);
    assert_eq!(places.available_permits(), 0);
    places.add_permits(Semaphore::MAX_PERMITS);
    let full = std::panic::catch_unwind(|| places.add_permits(1));
    assert!(full.is_err());
    assert_eq!(places.available_permits(), Semaphore::MAX_PERMITS);
    let other = Semaphore::new(1);
    let merged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut mine = places.try_acquire().unwrap();
        mine.merge(other.try_acquire().unwrap());
    }));
    assert!(merged.is_err());
    assert_eq!(other.available_permits(), 1);
    assert_eq!(places.available_permits(), Semaphore::MAX_PERMITS);
    assert!(places.acquire_many(0).is_ok());
    assert!(format!("{places:?}").starts_with("Semaphore { permits: "));
}

#[test]
fn a_wait_group_waits_for_all() {
    settings(|start| {
        let done = Arc::new(AtomicUsize::new(0));
        let group = WaitGroup::new();
        assert_eq!(format!("{group:?}"), "WaitGroup { count: 1 }");
        for n in 0..6 {
            let (part, done) = (group.clone(), Arc::clone(&done));
            start(Box::new(move || {
                done.fetch_add(1, SeqCst);
                if n % 2 == 0 {
                    part.wait();
                    assert_eq!(done.load(SeqCst), 6);
                }
            }));
        }
        group.wait();
        assert_eq!(done.load(SeqCst), 6);
        WaitGroup::default().wait();
    });
}

#[test]
fn an_event_wakes_all_waiters() {
    settings(|start| {
        let event = Arc::new(Event::new());
        let group = WaitGroup::new();
        for _ in 0..5 {
            let (event, part) = (Arc::clone(&event), group.clone());
            start(Box::new(move || {
                event.wait();
                drop(part);
            }));
        }
        assert!(!event.wait_timeout(Duration::ZERO) && !event.wait_timeout(SHORT));
        event.set();
        group.wait();
        assert!(event.is_set() && event.wait_timeout(Duration::MAX));
        event.clear();
        assert!(!event.wait_timeout(Duration::from_nanos(1)));
        assert_eq!(format!("{event:?}"), "Event { is_set: false, .. }");
    });
}

#[test]
fn an_event_that_is_cleared_at_once_wakes_the_earlier_waiters() {
    on_workers(1, || {
        let event = Arc::new(Event::default());
        let wait = || {
            let event = Arc::clone(&event);
            spawn(move || event.wait())
        };
        let early = [wait(), wait(), wait()];
        let_others_block();
        event.set();
        event.clear();
        let late = wait();
        for thread in early {
            thread.join().unwrap();
        }
        let_others_block();
        assert!(!late.is_finished());
        event.set();
        late.join().unwrap();
    });
}

#[test]
fn a_oneshot_carries_one_value() {
    settings(|start| {
        let (sender, receiver) = oneshot::channel();
        assert_eq!(receiver.try_recv(), Err(oneshot::TryRecvError::Empty));
        assert_eq!(
            receiver.recv_timeout(SHORT),
            Err(oneshot::RecvTimeoutError::Timeout)
        );
        start(Box::new(move || {
            assert!(!sender.is_closed());
            sender.send(String::from("x")).unwrap();
        }));
        assert_eq!(receiver.recv().as_deref(), Ok("x"));
        assert_eq!(receiver.recv(), Err(oneshot::RecvError));
        assert_eq!(
            receiver.try_recv(),
            Err(oneshot::TryRecvError::Disconnected)
        );

        let (sender, receiver) = oneshot::channel::<u8>();
        start(Box::new(move || drop(sender)));
        assert_eq!(
            receiver.recv_timeout(Duration::MAX),
            Err(oneshot::RecvTimeoutError::Disconnected)
        );

        // Closed: the messages that were sent before are there.
        let (sender, receiver) = oneshot::channel();
        sender.send(1).unwrap();
        receiver.close();
        assert_eq!(receiver.recv(), Ok(1));
        let (sender, receiver) = oneshot::channel();
        receiver.close();
        assert_eq!(receiver.recv(), Err(oneshot::RecvError));
        assert_eq!(sender.send(1), Err(1));
    });
}

#[test]
fn a_oneshot_drops_a_value_that_is_not_received() {
    let value = Arc::new(());
    let (sender, receiver) = oneshot::channel();
    sender.send(Arc::clone(&value)).unwrap();
    assert_eq!(Arc::strong_count(&value), 2);
    drop(receiver);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn each_call_of_a_callback_ends_one_wait() {
    settings(|start| {
        let callback = Callback::new();
        assert_eq!(callback.try_wait(), None);
        assert_eq!(callback.wait_timeout(SHORT), None);
        for n in 0..100 {
            callback.call(n);
        }
        for n in 0..100 {
            assert_eq!(callback.wait(), n);
        }
        let back = Callback::default();
        for _ in 0..4 {
            let (called, back) = (callback.clone(), back.clone());
            start(Box::new(move || back.call(called.wait())));
        }
        for n in 0..4 {
            callback.call(n);
        }
        let mut got: Vec<_> = (0..4).map(|_| back.wait()).collect();
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2, 3]);
        assert_eq!(callback.try_wait(), None);
    });
}

#[test]
#[allow(unsafe_code, reason = "raw pointers are part of the interface")]
fn a_parker_has_one_token() {
    settings(|start| {
        let parker = Parker::new();
        parker.unparker().unpark();
        parker.unparker().unpark();
        parker.park();
        parker.park_timeout(SHORT);
        parker.park_timeout(Duration::ZERO);
        parker.park_deadline(std::time::Instant::now());
        for _ in 0..10 {
            let unparker = parker.unparker().clone();
            start(Box::new(move || unparker.unpark()));
            parker.park();
        }
        assert_eq!(
            format!("{parker:?} {:?}", parker.unparker()),
            "Parker { .. } Unparker { .. }"
        );
        let raw = Parker::into_raw(parker);
        // SAFETY: it comes from `into_raw` above, and is converted back once.
        let parker = unsafe { Parker::from_raw(raw) };
        parker.unparker().unpark();
        parker.park_timeout(Duration::MAX);
    });
}

#[test]
fn messages_between_runtimes_arrive() {
    let (to, from) = (Callback::new(), Callback::new());
    let (there, back) = (to.clone(), from.clone());
    let other = std::thread::spawn(move || {
        on_workers(1, || {
            for _ in 0..200 {
                let n: u32 = there.wait();
                back.call(n + 1);
            }
        });
    });
    on_workers(2, || {
        let mut n = 0;
        for _ in 0..200 {
            to.call(n);
            n = from.wait();
        }
        assert_eq!(n, 200);
    });
    other.join().unwrap();
}
