//! Races of a limit or a cancellation against operations that complete by themselves, on several
//! workers.

use super::{OnDrop, on_workers, stress, turns};
use rustlet::net::{TcpListener, TcpStream};
use rustlet::{
    Cancelled, Elapsed, JoinHandle, park, shield, sleep, spawn, thread, timeout, yield_now,
};
use std::io::{Read, Write};
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Pseudo-random numbers, the same at each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[test]
fn a_result_and_a_limit_at_the_same_time() {
    for workers in [1, 2, 3] {
        on_workers(workers, || {
            for round in 0..stress(300) {
                let micros = Duration::from_micros(round as u64 % 60);
                let child = spawn(move || {
                    sleep(micros);
                    round
                });
                let limit = Duration::from_micros(30);
                if let Ok(value) = timeout(limit, || child.join().unwrap()) {
                    assert_eq!(value, round);
                }
            }
        });
    }
}

#[test]
fn a_wake_up_and_a_limit_at_the_same_time() {
    for workers in [1, 2] {
        on_workers(workers, || {
            for round in 0..stress(300) {
                let this = rustlet::current();
                let waker = spawn(move || {
                    sleep(Duration::from_micros(round as u64 % 40));
                    this.unpark();
                });
                let result = timeout(Duration::from_micros(20), park);
                shield(|| waker.join().unwrap());
                if result.is_err() {
                    // The wait that was ended did not take the token.
                    assert_eq!(timeout(Duration::from_secs(60), park), Ok(()));
                }
            }
        });
    }
}

#[test]
fn a_cancellation_and_a_limit_at_the_same_time() {
    for workers in [1, 2] {
        on_workers(workers, || {
            for round in 0..stress(200) {
                let thread = spawn(move || {
                    let result = timeout(Duration::from_micros(round as u64 % 50), || {
                        let _guard = OnDrop(|| shield(yield_now));
                        park();
                    });
                    assert_eq!(result, Err(Elapsed));
                    park();
                });
                sleep(Duration::from_micros(25));
                thread.cancel();
                assert!(Cancelled::is(&thread.join().unwrap_err()));
            }
        });
    }
}

#[test]
fn cancelled_from_outside_in_every_state() {
    for workers in [1, 3] {
        on_workers(workers, || {
            for round in 0..stress(30) {
                let (entered, left) =
                    (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
                let threads: Vec<_> = (0..100_u64)
                    .map(|number| {
                        let (entered, left) = (entered.clone(), left.clone());
                        spawn(move || {
                            entered.fetch_add(1, Ordering::SeqCst);
                            let _guard = OnDrop(|| {
                                left.fetch_add(1, Ordering::SeqCst);
                            });
                            let mut dice = Dice(number + 1);
                            for _ in 0..20 {
                                work(&mut dice, 0);
                            }
                        })
                    })
                    .collect();
                for _ in 0..round {
                    yield_now();
                }
                threads.iter().for_each(JoinHandle::cancel);
                for thread in threads {
                    if let Err(payload) = thread.join() {
                        assert!(Cancelled::is(&payload));
                    }
                }
                assert_eq!(entered.load(Ordering::SeqCst), left.load(Ordering::SeqCst));
            }
        });
    }
}

/// Random nested scopes; each returns the right result, whichever limit ended it.
fn work(dice: &mut Dice, depth: u32) {
    let limit = Duration::from_micros(dice.roll(100));
    match dice.roll(if depth < 4 { 9 } else { 4 }) {
        0 => yield_now(),
        1 => sleep(Duration::from_micros(dice.roll(40))),
        2 => thread::park_timeout(Duration::from_micros(dice.roll(40))),
        3 => drop(spawn(yield_now).join()),
        4 => drop(timeout(limit, || work(dice, depth + 1))),
        5 => shield(|| work(dice, depth + 1)),
        6 => drop(timeout(limit, || {
            let _guard = OnDrop(|| sleep(Duration::from_micros(5)));
            work(dice, depth + 1);
            park();
        })),
        7 => {
            let swallowed = timeout(limit, || {
                let caught = catch_unwind(|| sleep(Duration::from_micros(50)));
                if let Err(payload) = &caught {
                    assert!(Cancelled::is(payload));
                }
                8
            });
            assert!(swallowed.is_err() || swallowed == Ok(8));
        }
        _ => drop(timeout(limit, || {
            thread::scope_cancelling(|s| {
                s.spawn(|| sleep(Duration::from_micros(30)));
                s.spawn(yield_now);
            });
        })),
    }
}

/// A limit does not lose bytes of a read: they are there at the next read.
#[test]
fn no_byte_is_lost_to_a_limit() {
    on_workers(2, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut receiver, _) = listener.accept().unwrap();
        let count = stress(500);
        let sending = spawn(move || {
            let mut dice = Dice(5);
            for number in 0..count {
                sender.write_all(&[number as u8]).unwrap();
                if dice.roll(3) == 0 {
                    sleep(Duration::from_micros(dice.roll(60)));
                }
            }
        });
        let mut expected = 0_u8;
        let mut received = 0;
        let mut buffer = [0; 16];
        while received < count {
            // The result of a read under a limit counts if it returned.
            let Ok(read) = timeout(Duration::from_micros(20), || receiver.read(&mut buffer)) else {
                continue;
            };
            for &byte in &buffer[..read.unwrap()] {
                assert_eq!(byte, expected);
                expected = expected.wrapping_add(1);
                received += 1;
            }
        }
        sending.join().unwrap();
    });
}

#[test]
fn os_threads_and_green_threads_end_each_others_waits() {
    let running = AtomicUsize::new(0);
    std::thread::scope(|s| {
        for number in 0..3_u64 {
            let running = &running;
            s.spawn(move || {
                let mut dice = Dice(number + 100);
                for _ in 0..stress(50) {
                    let child = spawn(park);
                    let limit = Duration::from_micros(dice.roll(100));
                    let joined = child.join_timeout(limit).unwrap_err();
                    assert_eq!(timeout(limit, park), Err(Elapsed));
                    joined.cancel();
                    let result = timeout(Duration::from_secs(60), || joined.join());
                    assert!(Cancelled::is(&result.unwrap().unwrap_err()));
                    running.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(running.into_inner(), 3 * stress(50));
    turns();
}
