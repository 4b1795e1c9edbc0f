//! Virtual time.

use std::time::Duration;

use rustlet::channel::{after, select, tick, unbounded};
use rustlet::sync::{Arc, Condvar, Mutex};
use rustlet::testing::{self, Simulation, advance, elapsed};
use rustlet::time::now;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn an_hour_passes_at_once() {
    let start = std::time::Instant::now();
    testing::run(|| rustlet::sleep(HOUR));
    let took = start.elapsed();
    println!("an hour of virtual time took {took:?}");
    assert!(took < HOUR / 2);
}

#[test]
fn every_limit_uses_virtual_time() {
    testing::run(|| {
        rustlet::park_timeout(HOUR);
        assert_eq!(elapsed(), HOUR);
        assert!(rustlet::timeout(HOUR, rustlet::park).is_err());
        assert_eq!(elapsed(), 2 * HOUR);
        let (sender, receiver) = unbounded::<()>();
        assert!(receiver.recv_timeout(HOUR).is_err());
        assert_eq!(elapsed(), 3 * HOUR);
        let mutex = Mutex::new(());
        let guard = mutex.lock().unwrap();
        let (guard, waited) = Condvar::new().wait_timeout(guard, HOUR).unwrap();
        assert!(waited.timed_out());
        drop(guard);
        assert_eq!(elapsed(), 4 * HOUR);
        after(HOUR).recv().unwrap();
        assert_eq!(elapsed(), 5 * HOUR);
        let ticks = tick(HOUR);
        ticks.recv().unwrap();
        ticks.recv().unwrap();
        assert_eq!(elapsed(), 7 * HOUR);
        let mut interval = rustlet::time::interval(HOUR);
        interval.tick();
        interval.tick();
        assert_eq!(elapsed(), 8 * HOUR);
        select! {
            recv(receiver) -> message => panic!("received {message:?}"),
            default(HOUR) => {}
        }
        assert_eq!(elapsed(), 9 * HOUR);
        let thread = rustlet::spawn(rustlet::park);
        assert!(thread.join_timeout(HOUR).is_err());
        assert_eq!(elapsed(), 10 * HOUR);
        let start = now();
        rustlet::sleep_until(start + HOUR);
        assert_eq!(now() - start, HOUR);
        drop(sender);
    });
}

#[test]
fn timers_of_futures_use_virtual_time() {
    testing::run(|| {
        rustlet::block_on(async {
            rustlet::future::sleep(HOUR).await;
            let late = rustlet::future::timeout(HOUR, std::future::pending::<()>()).await;
            assert!(late.is_err());
        });
        assert_eq!(elapsed(), 2 * HOUR);
    });
}

#[test]
fn time_stands_still_while_a_thread_is_ready() {
    testing::run(|| {
        let sleeper = rustlet::spawn(|| rustlet::sleep(Duration::from_nanos(1)));
        for _ in 0..1000 {
            rustlet::yield_now();
        }
        assert_eq!(elapsed(), Duration::ZERO);
        assert!(!sleeper.is_finished());
        sleeper.join().unwrap();
        assert_eq!(elapsed(), Duration::from_nanos(1));
    });
}

#[test]
fn sleeps_end_in_the_order_of_their_deadlines() {
    testing::check(|| {
        let order = Arc::new(Mutex::new(Vec::new()));
        let threads: Vec<_> = [3, 1, 2]
            .map(|seconds| {
                let order = order.clone();
                rustlet::spawn(move || {
                    rustlet::sleep(Duration::from_secs(seconds));
                    order.lock().unwrap().push(seconds);
                })
            })
            .into();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(*order.lock().unwrap(), [1, 2, 3]);
    });
}

#[test]
fn time_advances_as_if_the_thread_had_computed() {
    testing::run(|| {
        let sleeper = rustlet::spawn(|| {
            rustlet::sleep(Duration::from_secs(1));
            elapsed()
        });
        rustlet::yield_now();
        rustlet::sleep(Duration::from_millis(1));
        advance(Duration::from_secs(10));
        assert_eq!(elapsed(), Duration::from_millis(10_001));
        // It was due long ago, and could not run.
        assert_eq!(sleeper.join().unwrap(), Duration::from_millis(10_001));
    });
}

#[test]
fn limits_of_a_scope_and_of_a_wait_are_told_apart() {
    testing::run(|| {
        // Many records make the worker's own time run ahead of the virtual clock.
        for _ in 0..10_000 {
            rustlet::yield_now();
        }
        let start = now();
        let inner = rustlet::timeout(Duration::from_micros(1), || {
            rustlet::park_timeout(Duration::from_micros(2));
            rustlet::park_timeout(HOUR);
        });
        assert!(inner.is_err());
        assert_eq!(now() - start, Duration::from_micros(1));
    });
}

#[test]
fn two_runs_on_two_os_threads_have_two_clocks() {
    let other = std::thread::spawn(|| {
        testing::run(|| {
            rustlet::sleep(HOUR);
            elapsed()
        })
    });
    let here = testing::run(|| {
        rustlet::sleep(2 * HOUR);
        elapsed()
    });
    assert_eq!((here, other.join().unwrap()), (2 * HOUR, HOUR));
    // Real again.
    let before = std::time::Instant::now();
    assert!(now() >= before && now() < before + HOUR);
}

#[test]
fn wait_idle_returns_before_time_moves() {
    Simulation::new().check(|| {
        let thread = rustlet::spawn(|| rustlet::sleep(HOUR));
        rustlet::wait_idle();
        assert_eq!(elapsed(), Duration::ZERO);
        thread.join().unwrap();
    });
}
