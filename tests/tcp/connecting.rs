//! Binding, connecting, accepting, addresses.

use super::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use super::pair::{LOCAL, listen, pair, until_there};
use super::{enter, thread};
use rustix::net::{AddressFamily, SocketType};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A port without a listener, which no other process can get while the descriptor lives.
fn deaf_port() -> (OwnedFd, SocketAddr) {
    let fd = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&fd, &"127.0.0.1:0".parse::<SocketAddr>().unwrap()).unwrap();
    let addr = rustix::net::getsockname(&fd).unwrap().try_into().unwrap();
    (fd, addr)
}

#[test]
fn connect_refused() {
    enter(|| {
        let (_deaf, addr) = deaf_port();
        let error = TcpStream::connect(addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = TcpStream::connect_timeout(&addr, Duration::MAX).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn connect_tries_each_address() {
    enter(|| {
        let (_deaf, deaf) = deaf_port();
        let (listener, addr) = listen();
        let stream = TcpStream::connect(&[deaf, addr][..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);
        listener.accept().unwrap();
        let error = TcpStream::connect(&[deaf, deaf][..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn no_address_at_all() {
    enter(|| {
        let none: &[SocketAddr] = &[];
        let error = TcpStream::connect(none).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "could not resolve to any addresses");
        assert_eq!(TcpListener::bind(none).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn connect_timeout_of_zero_is_refused() {
    enter(|| {
        let (_listener, addr) = listen();
        let error = TcpStream::connect_timeout(&addr, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "cannot set a 0 duration timeout");
    });
}

#[test]
fn connect_timeout_elapses() {
    enter(|| {
        // A queue of length 0 takes one connection; the system then ignores further attempts.
        let (deaf, addr) = deaf_port();
        rustix::net::listen(&deaf, 0).unwrap();
        let mut taken = Vec::new();
        let error = loop {
            match TcpStream::connect_timeout(&addr, Duration::from_millis(20)) {
                Ok(stream) => taken.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(taken.len() <= 2, "{taken:?}");
    });
}

#[test]
fn address_in_use() {
    enter(|| {
        let (_listener, addr) = listen();
        assert_eq!(TcpListener::bind(addr).unwrap_err().kind(), ErrorKind::AddrInUse);
        // The next address is tried.
        let any: SocketAddr = LOCAL.parse().unwrap();
        let other = TcpListener::bind(&[addr, any][..]).unwrap();
        assert_ne!(other.local_addr().unwrap(), addr);
    });
}

#[test]
fn a_port_can_be_bound_again_at_once() {
    enter(|| {
        let (listener, addr) = listen();
        let client = TcpStream::connect(addr).unwrap();
        let (server, _) = listener.accept().unwrap();
        // The side that closes first keeps the port busy for a while, unless SO_REUSEADDR is set.
        drop(server);
        drop(listener);
        assert_eq!((&client).read(&mut [0]).unwrap(), 0);
        TcpListener::bind(addr).unwrap();
    });
}

#[test]
fn both_ends_know_their_addresses() {
    enter(|| {
        let (client, server) = pair();
        assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
        assert_eq!(client.local_addr().unwrap(), server.peer_addr().unwrap());
    });
}

#[test]
fn peer_addr_without_a_peer() {
    enter(|| {
        let (client, server) = pair();
        drop(server);
        assert_eq!((&client).read(&mut [0]).unwrap(), 0);
        client.shutdown(Shutdown::Both).unwrap();
        // The other side's acknowledgement may be a moment late.
        let error = loop {
            match client.peer_addr() {
                Ok(_) => thread::yield_now(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        assert!(client.local_addr().is_ok());
        assert_eq!(client.shutdown(Shutdown::Both).unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn names_and_text() {
    enter(|| {
        let (listener, addr) = listen();
        let port = addr.port();
        for _ in 0..2 {
            TcpStream::connect(("localhost", port)).unwrap();
            TcpStream::connect(format!("localhost:{port}")).unwrap();
            TcpStream::connect(("127.0.0.1".to_owned(), port)).unwrap();
            TcpStream::connect(format!("127.0.0.1:{port}").as_str()).unwrap();
        }
        for _ in 0..8 {
            listener.accept().unwrap();
        }
        for wrong in ["127.0.0.1", "localhost:", "localhost:65536", "localhost:http", ""] {
            let error = TcpStream::connect(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong:?}");
        }
        assert!("\0:1".to_socket_addrs().is_err());
    });
}

#[test]
fn every_implementation_of_to_socket_addrs() {
    use super::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

    fn all<A: ToSocketAddrs>(addr: A) -> Vec<SocketAddr> {
        addr.to_socket_addrs().unwrap().collect()
    }

    enter(|| {
        let four: SocketAddr = "1.2.3.4:5".parse().unwrap();
        let ip = Ipv4Addr::new(1, 2, 3, 4);
        assert_eq!(all(four), [four]);
        assert_eq!(all::<&&SocketAddr>(&&four), [four]);
        assert_eq!(all(SocketAddrV4::new(ip, 5)), [four]);
        assert_eq!(all((ip, 5)), [four]);
        assert_eq!(all((IpAddr::V4(ip), 5)), [four]);
        assert_eq!(all(("1.2.3.4", 5)), [four]);
        assert_eq!(all(("1.2.3.4".to_owned(), 5)), [four]);
        assert_eq!(all("1.2.3.4:5"), [four]);
        assert_eq!(all("1.2.3.4:5".to_owned()), [four]);
        assert_eq!(all(&[four, four][..]), [four, four]);

        let six: SocketAddr = "[::1]:5".parse().unwrap();
        assert_eq!(all(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 5, 0, 0)), [six]);
        assert_eq!(all((Ipv6Addr::LOCALHOST, 5)), [six]);
        assert_eq!(all(("::1", 5)), [six]);
    });
}

#[test]
fn ipv6_loopback() {
    enter(|| {
        let listener = match TcpListener::bind("[::1]:0") {
            Ok(listener) => listener,
            // A machine without IPv6.
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported)
                        || error.raw_os_error()
                            == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()),
                    "{error}"
                );
                return;
            }
        };
        let addr = listener.local_addr().unwrap();
        assert!(addr.is_ipv6());
        let client = TcpStream::connect(addr).unwrap();
        let (server, peer) = listener.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        (&client).write_all(b"six").unwrap();
        drop(client);
        let mut text = String::new();
        (&server).read_to_string(&mut text).unwrap();
        assert_eq!(text, "six");
    });
}

#[test]
fn incoming_goes_on_and_on() {
    enter(|| {
        let (listener, addr) = listen();
        thread::scope(|scope| {
            let clients = scope.spawn(move || {
                for number in 0..20u8 {
                    TcpStream::connect(addr).unwrap().write_all(&[number]).unwrap();
                }
            });
            for (number, stream) in (0..20u8).zip(listener.incoming()) {
                let mut bytes = Vec::new();
                stream.unwrap().read_to_end(&mut bytes).unwrap();
                assert_eq!(bytes, [number]);
            }
            clients.join().unwrap();
        });
    });
}

#[test]
fn several_threads_accept_from_one_listener() {
    enter(|| {
        let (listener, addr) = listen();
        thread::scope(|scope| {
            // Each returns its count when a connection that sends nothing asks it to.
            let acceptors: Vec<_> = (0..4)
                .map(|number| {
                    // One of them uses a second handle.
                    let clone = (number == 0).then(|| listener.try_clone().unwrap());
                    let listener = &listener;
                    scope.spawn(move || {
                        let listener = clone.as_ref().unwrap_or(listener);
                        let mut count = 0;
                        loop {
                            let (mut stream, _) = listener.accept().unwrap();
                            match stream.read(&mut [0]).unwrap() {
                                0 => return count,
                                _ => count += 1,
                            }
                        }
                    })
                })
                .collect();
            for _ in 0..100 {
                TcpStream::connect(addr).unwrap().write_all(&[1]).unwrap();
            }
            for _ in 0..4 {
                TcpStream::connect(addr).unwrap();
            }
            let total: usize = acceptors.into_iter().map(|thread| thread.join().unwrap()).sum();
            assert_eq!(total, 100);
        });
    });
}

#[test]
fn a_nonblocking_listener_does_not_wait() {
    enter(|| {
        let (listener, addr) = listen();
        let clone = listener.try_clone().unwrap();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(clone.accept().unwrap_err().kind(), ErrorKind::WouldBlock);

        let client = TcpStream::connect(addr).unwrap();
        // The connection does not inherit the flag: this read waits.
        let (stream, _) = until_there(|| listener.accept());
        thread::scope(|scope| {
            scope.spawn(|| (&client).write_all(b"x").unwrap());
            assert_eq!((&stream).read(&mut [0; 2]).unwrap(), 1);
        });

        listener.set_nonblocking(false).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| TcpStream::connect(addr).unwrap());
            clone.accept().unwrap();
        });
    });
}
