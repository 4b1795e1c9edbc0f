//! Conversions between std's types, descriptors and rustlet's types, with the state that std would
//! have.

use super::enter;
use super::net::{TcpListener, TcpStream};
use super::pair::{listen, pair, until_there};
use rustix::fs::{OFlags, fcntl_getfl};
use std::io::{ErrorKind, Read, Write};
use std::net as theirs;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

fn is_nonblocking(fd: impl AsFd) -> bool {
    fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
}

#[test]
fn a_stream_becomes_stds_and_comes_back() {
    enter(|| {
        let (client, mut server) = pair();
        let number = client.as_raw_fd();
        client
            .set_read_timeout(Some(Duration::from_secs(7)))
            .unwrap();
        server.write_all(b"ab").unwrap();
        assert!(is_nonblocking(&client));

        let mut client = theirs::TcpStream::from(client);
        assert_eq!(client.as_raw_fd(), number);
        assert!(!is_nonblocking(&client));
        assert_eq!(client.read_timeout().unwrap(), Some(Duration::from_secs(7)));
        assert_eq!(client.write_timeout().unwrap(), None);
        client.read_exact(&mut [0]).unwrap();
        client.set_read_timeout(None).unwrap();
        client
            .set_write_timeout(Some(Duration::from_secs(8)))
            .unwrap();

        // The open file may have other owners, who find it unchanged.
        let mut client = TcpStream::from(client);
        assert!(!is_nonblocking(&client));
        assert_eq!(client.read_timeout().unwrap(), None);
        assert_eq!(
            client.write_timeout().unwrap(),
            Some(Duration::from_secs(8))
        );
        client.read_exact(&mut [0]).unwrap();
    });
}

#[test]
fn the_nonblocking_flag_goes_along() {
    enter(|| {
        let (client, _server) = pair();
        client.set_nonblocking(true).unwrap();
        let mut client = theirs::TcpStream::from(client);
        assert_eq!(
            client.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        let mut client = TcpStream::from(client);
        assert_eq!(
            client.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );

        let (listener, _) = listen();
        listener.set_nonblocking(true).unwrap();
        let listener = theirs::TcpListener::from(listener);
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let listener = TcpListener::from(listener);
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_listener_becomes_stds_and_comes_back() {
    enter(|| {
        let (listener, addr) = listen();
        let _clients = [(); 3].map(|()| TcpStream::connect(addr).unwrap());
        listener.accept().unwrap();
        let listener = theirs::TcpListener::from(listener);
        assert!(!is_nonblocking(&listener));
        listener.accept().unwrap();
        let listener = TcpListener::from(listener);
        let (stream, _) = listener.accept().unwrap();
        assert!(!is_nonblocking(&listener) && is_nonblocking(&stream));
    });
}

#[test]
fn descriptors() {
    enter(|| {
        let (client, mut server) = pair();
        let number = client.as_raw_fd();
        let fd = OwnedFd::from(client);
        assert_eq!(fd.as_raw_fd(), number);
        assert!(!is_nonblocking(&fd));
        let client = TcpStream::from(fd);
        assert_eq!(client.as_fd().as_raw_fd(), number);
        let raw = client.into_raw_fd();
        // SAFETY: `into_raw_fd` has just released it.
        #[allow(unsafe_code, reason = "the tested functions are unsafe")]
        let mut client = unsafe { TcpStream::from_raw_fd(raw) };
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
    });
}

#[test]
fn a_clone_outlives_the_conversion_of_the_other() {
    enter(|| {
        let (client, mut server) = pair();
        let mut clone = client.try_clone().unwrap();
        let _theirs = theirs::TcpStream::from(client);
        // The open file is in blocking mode now, and the clone still works: it waits without
        // blocking its worker.
        assert!(!is_nonblocking(&clone));
        let reader = super::thread::spawn(move || {
            clone.write_all(b"r").unwrap();
            clone.read(&mut [0; 2]).unwrap()
        });
        server.read_exact(&mut [0]).unwrap();
        server.write_all(b"x").unwrap();
        assert_eq!(reader.join().unwrap(), 1);

        let (listener, addr) = listen();
        let clone = listener.try_clone().unwrap();
        let _theirs = theirs::TcpListener::from(listener);
        let acceptor = super::thread::spawn(move || clone.accept().unwrap());
        super::thread::yield_now();
        let client = TcpStream::connect(addr).unwrap();
        assert_eq!(acceptor.join().unwrap().1, client.local_addr().unwrap());
    });
}

#[test]
fn stds_listener_with_a_timeout() {
    enter(|| {
        let listener = theirs::TcpListener::bind("127.0.0.1:0").unwrap();
        let timeout = Some(Duration::from_millis(20));
        rustix::net::sockopt::set_socket_timeout(
            &listener,
            rustix::net::sockopt::Timeout::Recv,
            timeout,
        )
        .unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let listener = TcpListener::from(listener);
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        // Linux: an accepted socket inherits it.
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (stream, _) = until_there(|| listener.accept());
        assert_eq!(stream.read_timeout().unwrap(), timeout);
    });
}

#[test]
fn debug_output_is_stds() {
    enter(|| {
        let (client, _server) = pair();
        let ours = format!("{client:?} {client:#?}");
        let client = theirs::TcpStream::from(client);
        assert_eq!(ours, format!("{client:?} {client:#?}"));

        let (listener, _) = listen();
        let ours = format!("{listener:?} {:?}", listener.incoming());
        let listener = theirs::TcpListener::from(listener);
        assert_eq!(ours, format!("{listener:?} {:?}", listener.incoming()));
    });
}

#[test]
fn other_descriptors_as_tcp_sockets_fail_as_in_std() {
    enter(|| {
        // std's `TcpStream` takes any stream socket in this way too.
        let (one, mut two) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut one = TcpStream::from(OwnedFd::from(one));
        two.write_all(b"x").unwrap();
        one.read_exact(&mut [0]).unwrap();
        assert_eq!(
            one.local_addr().unwrap_err().kind(),
            ErrorKind::InvalidInput
        );

        let file = std::fs::File::open("/dev/null").unwrap();
        let mut file = TcpStream::from(OwnedFd::from(file));
        assert!(file.read(&mut [0]).is_err());
        assert!(file.write(&[0]).is_err());
        assert!(file.shutdown(super::net::Shutdown::Both).is_err());
        drop(theirs::TcpStream::from(file));
    });
}
