//! Conversions between std's types, descriptors and rustlet's types; methods with std's unstable
//! signatures; the traits of `os`.

use super::net::{TcpListener, TcpStream};
use super::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use super::thread;
use crate::dir::{Dir, abstract_name};
use rustix::fs::{OFlags, fcntl_getfl};
use rustlet::os::unix::prelude::*;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net as theirs;
use std::time::Duration;

fn is_nonblocking(fd: impl AsFd) -> bool {
    fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
}

#[test]
fn a_stream_becomes_stds_and_comes_back() {
    rustlet::run(|| {
        let (one, mut other) = UnixStream::pair().unwrap();
        let number = one.as_raw_fd();
        assert!(is_nonblocking(&one));
        one.set_read_timeout(Some(Duration::from_secs(7))).unwrap();
        let one = theirs::UnixStream::from(one);
        assert_eq!(one.as_raw_fd(), number);
        assert!(!is_nonblocking(&one));
        assert_eq!(one.read_timeout().unwrap(), Some(Duration::from_secs(7)));
        one.set_nonblocking(true).unwrap();
        let one = UnixStream::from(one);
        assert_eq!(one.read_timeout().unwrap(), Some(Duration::from_secs(7)));
        assert_eq!(
            (&one).read(&mut [0]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        one.set_nonblocking(false).unwrap();
        one.set_read_timeout(None).unwrap();
        let one = UnixStream::from(OwnedFd::from(one));
        let reader = thread::spawn(move || (&one).read(&mut [0; 4]).unwrap());
        thread::yield_now();
        other.write_all(b"ok").unwrap();
        assert_eq!(reader.join().unwrap(), 2);
    });
}

#[test]
fn listeners_and_datagrams_do_too() {
    rustlet::run(|| {
        let addr = abstract_name();
        let listener = theirs::UnixListener::bind_addr(&addr).unwrap();
        // The open file may have other owners, who find it unchanged.
        let listener = UnixListener::from(listener);
        assert!(!is_nonblocking(&listener));
        let acceptor = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            (listener, is_nonblocking(stream))
        });
        let _client = UnixStream::connect_addr(&addr).unwrap();
        let (listener, nonblocking) = acceptor.join().unwrap();
        assert!(nonblocking);
        let listener = theirs::UnixListener::from(listener);
        assert!(!is_nonblocking(&listener));
        // SAFETY: `into_raw_fd` has just released it.
        #[allow(unsafe_code, reason = "the tested functions are unsafe")]
        let _listener = unsafe { UnixListener::from_raw_fd(listener.into_raw_fd()) };

        let (one, other) = theirs::UnixDatagram::pair().unwrap();
        let (one, other) = (UnixDatagram::from(one), UnixDatagram::from(other));
        let receiver = thread::spawn(move || (one.recv(&mut [0; 4]).unwrap(), one));
        thread::yield_now();
        other.send(b"ok").unwrap();
        let (count, one) = receiver.join().unwrap();
        assert_eq!(count, 2);
        assert!(!is_nonblocking(theirs::UnixDatagram::from(one)));
    });
}

#[test]
fn debug_output_is_stds() {
    rustlet::run(|| {
        let dir = Dir::new();
        let path = dir.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let stream = UnixStream::connect(&path).unwrap();
        let datagram = UnixDatagram::bind_addr(&abstract_name()).unwrap();
        let ours = format!(
            "{listener:#?} {:?} {stream:?} {datagram:?}",
            listener.incoming()
        );
        let listener = theirs::UnixListener::from(listener);
        let stream = theirs::UnixStream::from(stream);
        let datagram = theirs::UnixDatagram::from(datagram);
        let stds = format!(
            "{listener:#?} {:?} {stream:?} {datagram:?}",
            listener.incoming()
        );
        assert_eq!(ours, stds);
    });
}

#[test]
fn other_descriptors_as_unix_sockets_fail_as_in_std() {
    rustlet::run(|| {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = udp.local_addr().unwrap();
        udp.send_to(b"x", addr).unwrap();
        let socket = UnixDatagram::from(OwnedFd::from(udp));
        assert_eq!(
            socket.local_addr().unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            socket.recv_from(&mut [0]).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );

        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
        let listener = UnixListener::from(OwnedFd::from(tcp));
        assert_eq!(
            listener.accept().unwrap_err().kind(),
            ErrorKind::InvalidInput
        );

        let file = UnixStream::from(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
        assert!((&file).read(&mut [0]).is_err());
        assert!((&file).write(&[0]).is_err());
        drop(theirs::UnixStream::from(file));
    });
}

#[test]
fn peeking() {
    rustlet::run(|| {
        let (one, mut other) = UnixStream::pair().unwrap();
        let writer = thread::spawn(move || {
            other.write_all(b"hello").unwrap();
            other
        });
        let mut buf = [0; 8];
        for _ in 0..2 {
            assert_eq!(one.peek(&mut buf).unwrap(), 5);
        }
        assert_eq!((&one).read(&mut buf).unwrap(), 5);
        one.set_nonblocking(true).unwrap();
        assert_eq!(
            one.peek(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        drop(writer.join().unwrap());
        assert_eq!(one.peek(&mut buf).unwrap(), 0);

        let (one, other) = UnixDatagram::pair().unwrap();
        let sender = thread::spawn(move || other.send(b"hello").map(|_| other));
        assert_eq!(one.peek(&mut buf).unwrap(), 5);
        let (count, from) = one.peek_from(&mut buf[..2]).unwrap();
        assert!(count == 2 && from.is_unnamed());
        assert_eq!(one.recv(&mut buf).unwrap(), 5);
        drop(sender.join().unwrap());
    });
}

#[test]
fn quick_acknowledgements() {
    use rustlet::os::linux::net::TcpStreamExt;
    rustlet::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        for quickack in [true, false] {
            stream.set_quickack(quickack).unwrap();
            assert_eq!(stream.quickack().unwrap(), quickack);
        }
    });
}
