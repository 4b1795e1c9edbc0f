//! The descriptor and the deadline, as the event loop of another library uses them.

use super::tick_all;
use rustix::event::{PollFd, PollFlags, poll};
use rustlet::net::TcpStream;
use rustlet::{Worker, park, sleep, yield_now};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(3600);

/// Returns whether the descriptor is readable, now or after a short wait.
fn is_readable(worker: &impl AsFd, timeout: Duration) -> bool {
    let timeout = rustix::time::Timespec {
        tv_sec: timeout.as_secs() as i64,
        tv_nsec: i64::from(timeout.subsec_nanos()),
    };
    let mut polled = [PollFd::new(worker, PollFlags::IN)];
    poll(&mut polled, Some(&timeout)).unwrap() > 0
}

const NOW: Duration = Duration::ZERO;

/// Far longer than any operation takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ticks, without polling elsewhere, until the descriptor reports that there is no work.
fn until_still(worker: &Worker) {
    while is_readable(worker, NOW) {
        worker.tick();
    }
    assert!(!worker.tick());
}

#[test]
fn it_is_readable_while_something_is_ready() {
    Worker::scope(|worker| {
        assert!(!is_readable(worker, NOW));
        let handle = worker.assign(yield_now);
        assert!(is_readable(worker, NOW));
        assert!(is_readable(worker, NOW));
        assert!(worker.tick());
        assert!(is_readable(worker, NOW), "it has yielded only");
        assert!(worker.tick());
        until_still(worker);
        handle.join().unwrap();
    });
    // First queried when there is already work.
    Worker::scope(|worker| {
        worker.assign(park);
        assert!(is_readable(worker, NOW));
        until_still(worker);
        // Actions of the rest of the loop on this OS thread are visible, too.
        let parked = worker.assign(park);
        until_still(worker);
        parked.thread().unpark();
        assert!(is_readable(worker, NOW));
        until_still(worker);
        parked.join().unwrap();
    });
}

#[test]
fn it_becomes_readable_when_others_wake() {
    Worker::scope(|worker| {
        for _ in 0..super::support::stress(50) {
            let parked = worker.assign(park);
            until_still(worker);
            let thread = parked.thread().clone();
            let other = std::thread::spawn(move || thread.unpark());
            while !parked.is_finished() {
                assert!(is_readable(worker, PATIENCE));
                worker.tick();
            }
            other.join().unwrap();
            let handle = worker.handle();
            let other = std::thread::spawn(move || handle.spawn(|| ()).join().unwrap());
            while !other.is_finished() {
                // The OS thread may take a moment to end.
                if is_readable(worker, Duration::from_millis(1)) {
                    worker.tick();
                }
            }
            other.join().unwrap();
        }
    });
}

#[test]
fn it_becomes_readable_for_io() {
    Worker::scope(|worker| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut stream = TcpStream::from(listener.accept().unwrap().0);
        let reader = worker.assign(move || {
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        });
        until_still(worker);
        for part in ["one ", "two"] {
            peer.write_all(part.as_bytes()).unwrap();
            assert!(is_readable(worker, PATIENCE));
            until_still(worker);
        }
        drop(peer);
        while !reader.is_finished() {
            assert!(is_readable(worker, PATIENCE));
            worker.tick();
        }
        assert_eq!(reader.join().unwrap(), "one two");
    });
}

/// A thread that sleeps when there is no other work: since when, for how long, and which thread. A
/// busy machine may need a longer sleep.
fn asleep(worker: &Worker) -> (Instant, Duration, rustlet::JoinHandle<()>) {
    let mut nap = Duration::from_millis(5);
    loop {
        let start = Instant::now();
        let sleeper = worker.assign(move || sleep(nap));
        tick_all(worker);
        if !sleeper.is_finished() {
            return (start, nap, sleeper);
        }
        nap *= 2;
    }
}

#[test]
#[cfg(target_os = "linux")]
fn it_becomes_readable_for_timers() {
    Worker::scope(|worker| {
        let later = worker.assign(|| sleep(LONG));
        let (start, nap, sleeper) = asleep(worker);
        assert!(is_readable(worker, PATIENCE));
        assert!(start.elapsed() >= nap);
        until_still(worker);
        sleeper.join().unwrap();
        assert!(!later.is_finished());
    });
}

#[test]
fn it_sits_in_another_epoll() {
    let outer = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC).unwrap();
    Worker::scope(|worker| {
        rustix::event::epoll::add(
            &outer,
            worker,
            rustix::event::epoll::EventData::new_u64(1),
            rustix::event::epoll::EventFlags::IN,
        )
        .unwrap();
        assert!(!is_readable(&outer, NOW));
        let parked = worker.assign(park);
        assert!(is_readable(&outer, NOW));
        tick_all(worker);
        assert!(!is_readable(&outer, NOW));
        let thread = parked.thread().clone();
        std::thread::spawn(move || thread.unpark()).join().unwrap();
        assert!(is_readable(&outer, PATIENCE));
        tick_all(worker);
        parked.join().unwrap();
    });
}

/// `work` sleeps although the descriptor was readable, and leaves it as it should be.
#[test]
fn work_between_polls() {
    Worker::scope(|worker| {
        // The machine decides how much other work there is: so retry with a longer sleep.
        let mut nap = Duration::from_millis(3);
        loop {
            let napping = worker.assign(move || sleep(nap));
            assert!(is_readable(worker, NOW));
            let before = cpu_time();
            worker.work();
            assert!(napping.is_finished());
            assert!(!is_readable(worker, NOW));
            if cpu_time() - before < nap / 2 {
                break;
            }
            assert!(nap < Duration::from_secs(3), "it has not slept");
            nap *= 2;
        }
        worker.assign(|| ());
        assert!(is_readable(worker, NOW));
    });
}

/// The CPU time of this OS thread.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn deadlines() {
    Worker::scope(|worker| {
        assert_eq!(worker.next_deadline(), None);
        let begin = Instant::now();
        let far = worker.assign(|| sleep(LONG));
        assert!(worker.next_deadline().unwrap() <= Instant::now());
        let (start, nap, near) = asleep(worker);
        let deadline = worker.next_deadline().unwrap();
        assert!(deadline >= start + nap);
        assert!(deadline < begin + LONG);
        while !near.is_finished() {
            worker.tick();
        }
        assert!(Instant::now() >= deadline);
        assert!(worker.next_deadline().unwrap() >= begin + LONG);
        far.cancel();
        assert!(worker.next_deadline().unwrap() <= Instant::now());
        tick_all(worker);
        assert_eq!(worker.next_deadline(), None);
        // A sleep without end has no deadline.
        worker.assign(|| sleep(Duration::MAX));
        tick_all(worker);
        assert_eq!(worker.next_deadline(), None);
    });
}

/// A deadline that was cancelled leaves no trace: a read timeout, after the read.
#[test]
fn a_deadline_that_was_met_is_gone() {
    Worker::scope(|worker| {
        let parked = worker.assign(|| {
            rustlet::thread::park_timeout(LONG);
            park();
        });
        tick_all(worker);
        assert!(worker.next_deadline().is_some());
        parked.thread().unpark();
        tick_all(worker);
        assert_eq!(worker.next_deadline(), None);
        parked.thread().unpark();
        tick_all(worker);
        parked.join().unwrap();
    });
}
