//! Timer slack: no timed wait ends early, whatever the slack, and deadlines that are close share a
//! wake-up.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests look at the OS threads below, and read the time to compare"
)]

#[cfg(target_os = "linux")]
use std::fs;
use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustlet::channel;
use rustlet::net::{TcpListener, TcpStream, UdpSocket};
use rustlet::runtime::{Builder, Runtime};
use rustlet::sync::{Condvar, Mutex};

mod support;

const HOUR: Duration = Duration::from_secs(3600);

fn with_slack(slack: Duration) -> Runtime {
    let builder = Builder::new().workers(1).timer_slack(slack);
    builder.build().expect("a runtime")
}

/// A wait that ends after the given time.
type TimedWait = (&'static str, fn(Duration));

/// Returns one of each kind of timed wait.
const WAITS: [TimedWait; 11] = [
    ("sleep", rustlet::sleep),
    ("sleep_until", |limit| {
        rustlet::thread::sleep_until(Instant::now() + limit);
    }),
    ("park_timeout", rustlet::park_timeout),
    ("timeout", |limit| {
        assert!(rustlet::timeout(limit, rustlet::park).is_err());
    }),
    ("wait_timeout", |limit| {
        let mutex = Mutex::new(());
        let guard = mutex.lock().unwrap();
        let (_guard, result) = Condvar::new().wait_timeout(guard, limit).unwrap();
        assert!(result.timed_out());
    }),
    ("recv_timeout", |limit| {
        let (_sender, receiver) = channel::bounded::<()>(1);
        assert!(receiver.recv_timeout(limit).is_err());
    }),
    ("after", |limit| {
        channel::after(limit).recv().unwrap();
    }),
    ("tick", |limit| {
        channel::tick(limit).recv().unwrap();
    }),
    ("interval", |limit| {
        let mut interval = rustlet::time::interval(limit);
        // The first tick comes at once.
        interval.tick();
        interval.tick();
    }),
    ("TcpStream::set_read_timeout", |limit| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_read_timeout(Some(limit)).unwrap();
        let error = stream.read(&mut [0]).unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::WouldBlock | ErrorKind::TimedOut
        ));
    }),
    ("UdpSocket::set_read_timeout", |limit| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(limit)).unwrap();
        assert!(socket.recv(&mut [0]).is_err());
    }),
];

#[test]
fn no_timed_wait_ends_early_under_any_slack() {
    for slack in [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_micros(50),
        Duration::from_micros(100),
        Duration::from_millis(10),
    ] {
        with_slack(slack).run(|| {
            let waits: Vec<_> = WAITS
                .iter()
                .zip(1..)
                .map(|(&(name, wait), n)| {
                    rustlet::spawn(move || {
                        let limit = Duration::from_micros(700 * n);
                        let start = Instant::now();
                        wait(limit);
                        let waited = start.elapsed();
                        assert!(waited >= limit, "{name}, slack {slack:?}: {waited:?}");
                    })
                })
                .collect();
            for wait in waits {
                wait.join().unwrap();
            }
        });
    }
}

/// Under a slack of an hour a deadline does not wake the worker. The end of another thread's wait
/// does.
#[test]
fn every_kind_of_timed_wait_obeys_the_slack() {
    let limit = Duration::from_millis(250);
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let runtime = with_slack(HOUR);
    let spawner = {
        let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
        runtime.spawn(move || {
            let waits = WAITS.map(|(_, wait)| {
                let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
                rustlet::spawn(move || {
                    begun.fetch_add(1, Ordering::Relaxed);
                    wait(limit);
                    ended.fetch_add(1, Ordering::Relaxed);
                })
            });
            rustlet::park();
            for ((name, _), wait) in WAITS.iter().zip(waits) {
                assert!(wait.join().is_ok(), "{name}");
            }
        })
    };
    while begun.load(Ordering::Relaxed) < WAITS.len() {
        std::thread::yield_now();
    }
    // All of them reach their wait, and all deadlines pass.
    std::thread::sleep(limit + Duration::from_millis(50));
    assert_eq!(ended.load(Ordering::Relaxed), 0);
    spawner.thread().unpark();
    spawner.join().unwrap();
    assert_eq!(ended.load(Ordering::Relaxed), WAITS.len());
}

/// Returns how often the calling OS thread has gone to sleep.
#[cfg(target_os = "linux")]
fn sleeps() -> usize {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

/// Runs 50 timers, 400 µs apart. Returns how often their worker slept meanwhile.
#[cfg(target_os = "linux")]
fn sleeps_of_timers(slack: Duration) -> usize {
    with_slack(slack).run(|| {
        let before = sleeps();
        let timers: Vec<_> = (1..=50)
            .map(|n| rustlet::spawn(move || rustlet::sleep(Duration::from_micros(400 * n))))
            .collect();
        for timer in timers {
            timer.join().unwrap();
        }
        sleeps() - before
    })
}

#[test]
#[cfg(target_os = "linux")]
fn timers_within_the_slack_share_a_wake_up() {
    if support::is_emulated() {
        println!("an emulator waits for reasons of its own, and the system counts that");
        return;
    }
    let sleeps = sleeps_of_timers(Duration::from_millis(50));
    // One of fifty; the system may count a few of its own.
    assert!((1..=20).contains(&sleeps), "{sleeps}");
}

/// Messages wake the worker before the deadline; at the deadline only the timer does.
#[test]
fn a_deadline_is_kept_by_a_worker_that_messages_have_woken_before() {
    let (sender, receiver) = channel::bounded::<()>(1);
    let runtime = Builder::new().workers(1).build().unwrap();
    for limit in [Duration::from_millis(30), Duration::from_millis(60)] {
        let (told, ended) = std::sync::mpsc::channel();
        let sleeper = runtime.spawn(move || {
            let start = Instant::now();
            rustlet::sleep(limit);
            told.send(start.elapsed()).unwrap();
        });
        let receiver = receiver.clone();
        let woken = runtime.spawn(move || (0..20).for_each(|_| receiver.recv().unwrap()));
        for _ in 0..20 {
            sender.send(()).unwrap();
            // The worker goes to sleep meanwhile.
            std::thread::sleep(Duration::from_micros(300));
        }
        woken.join().unwrap();
        let waited = ended.recv_timeout(Duration::from_secs(20));
        assert!(waited.expect("it was woken") >= limit);
        sleeper.join().unwrap();
    }
}

#[test]
fn a_slack_without_end_delays_until_something_else_happens() {
    let runtime = with_slack(Duration::MAX);
    let sleeper = runtime.spawn(|| rustlet::sleep(Duration::from_millis(1)));
    // Each message wakes the worker, which then sees that the deadline has passed.
    while !sleeper.is_finished() {
        runtime.spawn(|| ()).join().unwrap();
    }
    sleeper.join().unwrap();
}

/// A worker that is stepped by hand waits by the same rules.
#[test]
#[cfg(target_os = "linux")]
fn a_stepped_worker_obeys_the_slack_while_it_waits() {
    let builder = Builder::new().timer_slack(Duration::from_millis(50));
    builder
        .worker_scope(|worker| {
            for n in 1..=50 {
                worker.assign(move || rustlet::sleep(Duration::from_micros(400 * n)));
            }
            let before = sleeps();
            worker.work();
            let sleeps = sleeps() - before;
            // One of fifty; an emulator waits for reasons of its own, and the system counts that.
            assert!(
                (1..=20).contains(&sleeps) || support::is_emulated(),
                "{sleeps}"
            );
        })
        .unwrap();
}
