//! Corner cases of accepting, and of waiting threads whose socket is changed meanwhile.

use super::net::{TcpListener, TcpStream};
use super::pair::{LOCAL, listen, pair};
use super::{enter, thread};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

/// A client that resets before it is accepted is accepted all the same (Linux), and the first read
/// returns the reset.
#[test]
fn a_client_that_is_gone_before_it_is_accepted() {
    enter(|| {
        let (listener, addr) = listen();
        let mut client = TcpStream::connect(addr).unwrap();
        client.write_all(b"last words").unwrap();
        rustix::net::sockopt::set_socket_linger(client.as_fd(), Some(Duration::ZERO)).unwrap();
        drop(client);
        let (mut server, _) = listener.accept().unwrap();
        let mut text = Vec::new();
        let error = server.read_to_end(&mut text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
        // The listener can still be used.
        let _client = TcpStream::connect(addr).unwrap();
        listener.accept().unwrap();
    });
}

/// A listener that is shut down ends all calls that wait in it, through all of its clones.
#[test]
fn a_listener_that_is_shut_down() {
    enter(|| {
        let listener = TcpListener::bind(LOCAL).unwrap();
        let addr = listener.local_addr().unwrap();
        let (tell, begun) = rustlet::channel::unbounded();
        let acceptors: Vec<_> = (0..3)
            .map(|_| {
                let clone = listener.try_clone().unwrap();
                let tell = tell.clone();
                thread::spawn(move || {
                    loop {
                        match clone.accept() {
                            Ok(_) => tell.send(()).unwrap(),
                            Err(error) => return error.kind(),
                        }
                    }
                })
            })
            .collect();
        for _ in 0..3 {
            TcpStream::connect(addr).unwrap();
        }
        // They accept, or are about to.
        for _ in 0..3 {
            begun.recv().unwrap();
        }
        rustix::net::shutdown(listener.as_fd(), rustix::net::Shutdown::Both).unwrap();
        for acceptor in acceptors {
            assert_eq!(acceptor.join().unwrap(), ErrorKind::InvalidInput);
        }
        assert!(TcpStream::connect(addr).is_err());
    });
}

/// A handle that is dropped does not affect threads that wait through another one.
#[test]
fn a_clone_of_a_listener_goes_while_others_accept() {
    enter(|| {
        let (listener, addr) = listen();
        let clone = listener.try_clone().unwrap();
        let acceptor = thread::spawn(move || {
            clone.accept().unwrap();
            clone.accept().unwrap();
        });
        TcpStream::connect(addr).unwrap();
        drop(listener);
        TcpStream::connect(addr).unwrap();
        acceptor.join().unwrap();
    });
}

/// Urgent data that is read in line is data like any other.
#[test]
fn urgent_data_in_line() {
    enter(|| {
        let (mut client, mut server) = pair();
        rustix::net::sockopt::set_socket_oobinline(server.as_fd(), true).unwrap();
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            server.read_to_end(&mut all).unwrap();
            all
        });
        client.write_all(b"one").unwrap();
        rustix::net::send(client.as_fd(), b"!", rustix::net::SendFlags::OOB).unwrap();
        client.write_all(b"two").unwrap();
        drop(client);
        assert_eq!(reader.join().unwrap(), b"one!two");
    });
}
