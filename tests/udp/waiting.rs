//! Waits of green threads: they delay no other thread, and end when they should.

use super::ends::{bound, pair};
use super::net::UdpSocket;
use super::thread;
use crate::settings::on_one_worker;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn a_receiver_does_not_hold_up_its_worker() {
    on_one_worker(|| {
        let (one, other) = pair();
        let receiver = thread::spawn(move || one.recv(&mut [0; 4]).unwrap());
        // If the worker were blocked, no thread would count, and none would send.
        for _ in 0..1000 {
            thread::yield_now();
        }
        assert!(!receiver.is_finished());
        other.send(b"ok").unwrap();
        assert_eq!(receiver.join().unwrap(), 2);
    });
}

#[test]
fn a_blocking_descriptor_does_not_hold_up_its_worker() {
    on_one_worker(|| {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        let clone = socket.try_clone().unwrap();
        let ours = UdpSocket::from(socket);
        // The flag belongs to the open file, which has another owner, too.
        clone.set_nonblocking(false).unwrap();
        let receiver = thread::spawn(move || ours.recv_from(&mut [0; 4]).unwrap().0);
        for _ in 0..100 {
            thread::yield_now();
        }
        clone.send_to(b"ok", addr).unwrap();
        assert_eq!(receiver.join().unwrap(), 2);
    });
}

#[test]
fn a_cancelled_receiver_has_taken_nothing() {
    for workers in [1, 2] {
        rustlet::Builder::new()
            .workers(workers)
            .build()
            .unwrap()
            .run(|| {
                let (one, other) = pair();
                let clone = one.try_clone().unwrap();
                let receiver = thread::spawn(move || {
                    clone.send(b"r").unwrap();
                    clone.recv(&mut [0]).map(drop)
                });
                other.recv(&mut [0]).unwrap();
                receiver.cancel();
                assert!(receiver.join().unwrap_err().is::<rustlet::Cancelled>());
                other.send(b"x").unwrap();
                assert_eq!(one.recv(&mut [0]).unwrap(), 1);
            });
    }
}

#[test]
fn a_receive_while_unwinding_reports_the_cancellation() {
    static SEEN: AtomicBool = AtomicBool::new(false);
    struct Receives(UdpSocket);
    impl Drop for Receives {
        fn drop(&mut self) {
            let error = self.0.recv(&mut [0]).unwrap_err();
            assert!(
                error
                    .get_ref()
                    .is_some_and(|inner| inner.is::<rustlet::Cancelled>())
            );
            SEEN.store(true, Ordering::SeqCst);
        }
    }
    rustlet::run(|| {
        let (one, other) = pair();
        thread::spawn(move || {
            let receives = Receives(one);
            receives.0.send(b"r").unwrap();
            thread::park();
        });
        other.recv(&mut [0]).unwrap();
    });
    assert!(SEEN.load(Ordering::SeqCst));
}

/// Not a method of `UdpSocket`, but programs end a wait in this way.
#[test]
fn a_socket_that_is_shut_down_wakes_its_receivers() {
    fn case() {
        let (one, other) = pair();
        let clone = one.try_clone().unwrap();
        other.send(b"early").unwrap();
        one.peek(&mut [0]).unwrap();
        thread::scope(|scope| {
            // The thread that gets the early one waits for another.
            let receivers = [&one, &one, &clone].map(|socket| {
                scope.spawn(|| {
                    let mut buf = [0; 8];
                    let count = socket.recv(&mut buf).unwrap();
                    count.max(socket.recv(&mut buf).unwrap())
                })
            });
            thread::yield_now();
            rustix::net::shutdown(&one, rustix::net::Shutdown::Read).unwrap();
            let counts = receivers.map(|receiver| receiver.join().unwrap());
            assert_eq!(counts.iter().sum::<usize>(), 5);
        });
    }
    rustlet::run(case);
    on_one_worker(case);
    case();
}

#[test]
fn timeouts_are_exact() {
    let (socket, _) = bound();
    for timeout in [
        Duration::from_nanos(1),
        Duration::from_nanos(1_000_001),
        Duration::MAX,
    ] {
        socket.set_read_timeout(Some(timeout)).unwrap();
        assert_eq!(socket.read_timeout().unwrap(), Some(timeout));
    }
    socket
        .set_read_timeout(Some(Duration::from_nanos(1)))
        .unwrap();
    assert_eq!(
        socket.recv(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    rustlet::run(|| {
        assert_eq!(
            socket.recv(&mut [0]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    });
}

#[test]
fn a_socket_outlives_its_runtimes() {
    let (one, other) = pair();
    for _ in 0..3 {
        rustlet::run(|| {
            thread::scope(|scope| {
                scope.spawn(|| one.recv(&mut [0]).unwrap());
                thread::yield_now();
                other.send(b"x").unwrap();
            });
        });
        std::thread::scope(|scope| {
            scope.spawn(|| one.recv(&mut [0]).unwrap());
            rustlet::run(|| other.send(b"x").unwrap());
        });
    }
}

#[test]
fn a_panic_of_one_receiver_leaves_the_socket_good() {
    rustlet::run(|| {
        let (one, other) = pair();
        other.send(b"x").unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| {
            one.recv(&mut [0]).unwrap();
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(result.is_err());
        other.send(b"y").unwrap();
        assert_eq!(one.recv(&mut [0]).unwrap(), 1);
    });
}

/// Timeouts that elapse as datagrams arrive, on several handles: none is lost.
#[test]
fn timeouts_race_with_datagrams() {
    // An emulator hardly does anything else within so short a time.
    let messages = if crate::support::is_emulated() {
        20
    } else {
        1000
    };
    let case = move || {
        let (one, other) = pair();
        one.set_read_timeout(Some(Duration::from_micros(40)))
            .unwrap();
        let stop = &AtomicBool::new(false);
        thread::scope(|scope| {
            let receivers = [(); 4].map(|()| {
                let clone = one.try_clone().unwrap();
                scope.spawn(move || {
                    let mut count = 0;
                    loop {
                        match clone.recv(&mut [0; 4]) {
                            Ok(_) => {
                                count += 1;
                                clone.send(b"got it").unwrap();
                            }
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                                if stop.load(Ordering::SeqCst) {
                                    return count;
                                }
                            }
                        }
                    }
                })
            });
            for _ in 0..messages {
                other.send(b"x").unwrap();
                other.recv(&mut [0; 8]).unwrap();
            }
            stop.store(true, Ordering::SeqCst);
            let counts = receivers.map(|receiver| receiver.join().unwrap());
            assert_eq!(counts.iter().sum::<usize>(), messages);
        });
    };
    on_one_worker(case);
    rustlet::run(case);
}
