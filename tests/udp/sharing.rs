//! One socket, several threads and handles.

use super::ends::{bound, pair};
use super::net::UdpSocket;
use super::{enter, thread};
use std::io::ErrorKind;
use std::time::Duration;

#[test]
fn two_clones_receive_one_each() {
    enter(|| {
        let (one, other) = pair();
        let clone = one.try_clone().unwrap();
        let receivers = [one, clone].map(|socket| {
            thread::spawn(move || {
                let mut buf = [0];
                assert_eq!(socket.recv(&mut buf).unwrap(), 1);
                socket.send(&buf).unwrap();
                buf[0]
            })
        });
        other.send(&[1]).unwrap();
        other.recv(&mut [0]).unwrap();
        other.send(&[2]).unwrap();
        let mut got = receivers.map(|receiver| receiver.join().unwrap());
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    });
}

#[test]
fn two_clones_send() {
    enter(|| {
        let ((one, one_addr), (other, other_addr)) = (bound(), bound());
        let clone = one.try_clone().unwrap();
        let sender = thread::spawn(move || clone.send_to(&[1], other_addr).unwrap());
        one.send_to(&[2], other_addr).unwrap();
        let mut sum = 0;
        for _ in 0..2 {
            let mut buf = [0];
            assert_eq!(other.recv_from(&mut buf).unwrap(), (1, one_addr));
            sum += buf[0];
        }
        assert_eq!(sum, 3);
        sender.join().unwrap();
    });
}

/// Every datagram goes to one receiver, and none is left behind by a wake-up that went to the wrong
/// one.
#[test]
fn many_receivers_share_what_comes() {
    const EACH: usize = 100;
    enter(|| {
        let ((server, addr), (client, _)) = (bound(), bound());
        client.connect(addr).unwrap();
        let answer = |socket: &UdpSocket| {
            let mut count = 0;
            loop {
                let mut buf = [0; 8];
                let (size, from) = socket.recv_from(&mut buf).unwrap();
                if size == 0 {
                    // Asked to stop: it passes the request on to the next receiver.
                    socket.send_to(&[], addr).unwrap();
                    return count;
                }
                count += 1;
                socket.send_to(&buf[..size], from).unwrap();
            }
        };
        thread::scope(|scope| {
            let receivers: Vec<_> = (0..6)
                .map(|number| {
                    let clone = (number % 2 == 0).then(|| server.try_clone().unwrap());
                    let server = &server;
                    scope.spawn(move || answer(clone.as_ref().unwrap_or(server)))
                })
                .collect();
            for number in 0..EACH {
                // Three at a time, so that the system has no reason to drop any.
                for part in 0..3u8 {
                    client.send(&[number as u8, part]).unwrap();
                }
                let mut parts: Vec<_> = (0..3)
                    .map(|_| {
                        let mut buf = [0; 2];
                        assert_eq!(client.recv(&mut buf).unwrap(), 2);
                        assert_eq!(buf[0], number as u8);
                        buf[1]
                    })
                    .collect();
                parts.sort_unstable();
                assert_eq!(parts, [0, 1, 2]);
            }
            client.send(&[]).unwrap();
            let total: usize = receivers.into_iter().map(|receiver| receiver.join().unwrap()).sum();
            assert_eq!(total, 3 * EACH);
        });
    });
}

#[test]
fn both_ways_at_once() {
    enter(|| {
        let (one, other) = pair();
        let play = |socket: &UdpSocket| {
            // Two datagrams are in flight in each direction, sent by one thread and received by
            // another.
            for number in 0..200u8 {
                let mut buf = [0];
                assert_eq!(socket.recv(&mut buf).unwrap(), 1);
                assert_eq!(buf[0], number);
                socket.send(&[number]).unwrap();
            }
        };
        let feed = |socket: &UdpSocket| {
            for number in 0..200u8 {
                socket.send(&[number]).unwrap();
                assert_eq!(socket.recv(&mut [0]).unwrap(), 1);
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| play(&other));
            scope.spawn(|| feed(&one));
        });
    });
}

#[test]
fn dropping_a_clone_does_not_wake_waiters() {
    enter(|| {
        let (one, other) = pair();
        for round in 0..20u8 {
            let clone = one.try_clone().unwrap();
            clone.set_read_timeout(Some(Duration::from_micros(100))).unwrap();
            assert_eq!(clone.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            clone.set_read_timeout(None).unwrap();
            thread::scope(|scope| {
                let receiver = scope.spawn(|| {
                    one.send(b"r").unwrap();
                    let mut buf = [0];
                    one.recv(&mut buf).unwrap();
                    buf[0]
                });
                other.recv(&mut [0]).unwrap();
                drop(clone);
                other.send(&[round]).unwrap();
                assert_eq!(receiver.join().unwrap(), round);
            });
        }
    });
}
