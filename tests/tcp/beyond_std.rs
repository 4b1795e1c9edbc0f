//! What std does not have, or not stably: many connections at once, reusing a port, lingering, owning iterators.

use super::net::{TcpListener, TcpStream};
use super::pair::{LOCAL, echo, listen, pair};
use super::{enter, thread};
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

#[test]
fn a_thousand_connections() {
    enter(|| {
        const COUNT: usize = 1_000;
        let (listener, addr) = listen();
        // All before the first is accepted: the queue is as long as the system allows.
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(128);
        let early = COUNT.min(allowed);
        let mut clients: Vec<_> = (0..early)
            .map(|_| TcpStream::connect(addr).unwrap())
            .collect();
        let server = thread::spawn(move || {
            let handlers: Vec<_> = (0..COUNT)
                .map(|_| {
                    let (stream, _) = listener.accept().unwrap();
                    thread::spawn(move || echo(&stream))
                })
                .collect();
            for handler in handlers {
                handler.join().unwrap();
            }
        });
        clients.extend((early..COUNT).map(|_| TcpStream::connect(addr).unwrap()));

        let clients: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(number, mut stream)| {
                thread::spawn(move || {
                    for round in 0..3 {
                        let text = format!("{round} of {number}");
                        stream.write_all(text.as_bytes()).unwrap();
                        let mut answer = vec![0; text.len()];
                        stream.read_exact(&mut answer).unwrap();
                        assert_eq!(answer, text.as_bytes());
                    }
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        server.join().unwrap();
    });
}

#[test]
fn listeners_share_a_port_when_all_agree() {
    enter(|| {
        let one = TcpListener::bind_reuse_port(LOCAL).unwrap();
        let addr = one.local_addr().unwrap();
        let two = TcpListener::bind_reuse_port(addr).unwrap();
        assert_eq!(
            TcpListener::bind(addr).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );

        one.set_nonblocking(true).unwrap();
        two.set_nonblocking(true).unwrap();
        let _clients: Vec<_> = (0..20).map(|_| TcpStream::connect(addr).unwrap()).collect();
        let accepted =
            [&one, &two].map(|listener| listener.incoming().map_while(Result::ok).count());
        assert_eq!(accepted.iter().sum::<usize>(), 20);
    });
}

#[test]
fn the_owning_iterator() {
    enter(|| {
        let (listener, addr) = listen();
        let _clients = [(); 3].map(|()| TcpStream::connect(addr).unwrap());
        assert_eq!(
            listener
                .into_incoming()
                .take(3)
                .filter(Result::is_ok)
                .count(),
            3
        );
    });
}

#[test]
fn lingering_for_no_time_resets() {
    enter(|| {
        let (client, server) = pair();
        assert_eq!(client.linger().unwrap(), None);
        client.set_linger(Some(Duration::MAX)).unwrap();
        assert!(client.linger().unwrap() > Some(Duration::from_secs(1_000_000)));
        client.set_linger(Some(Duration::ZERO)).unwrap();
        assert_eq!(client.linger().unwrap(), Some(Duration::ZERO));
        drop(client);
        assert_eq!(
            (&server).read(&mut [0]).unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    });
}

#[test]
fn timeouts_are_exact() {
    enter(|| {
        let (client, _server) = pair();
        for timeout in [
            Duration::from_nanos(1),
            Duration::from_nanos(1_000_001),
            Duration::MAX,
        ] {
            client.set_read_timeout(Some(timeout)).unwrap();
            assert_eq!(client.read_timeout().unwrap(), Some(timeout));
        }
    });
}
