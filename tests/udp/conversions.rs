//! Conversions between std's type, descriptors and rustlet's type, with the state that std would
//! have.

use super::ends::{bound, pair};
use super::net::UdpSocket;
use super::{enter, thread};
use rustix::fs::{OFlags, fcntl_getfl};
use std::io::ErrorKind;
use std::net as theirs;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

fn is_nonblocking(fd: impl AsFd) -> bool {
    fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
}

#[test]
fn a_socket_becomes_stds_and_comes_back() {
    enter(|| {
        let (one, other) = pair();
        let number = one.as_raw_fd();
        assert!(is_nonblocking(&one));
        one.set_read_timeout(Some(Duration::from_secs(7))).unwrap();
        let one = theirs::UdpSocket::from(one);
        assert_eq!(one.as_raw_fd(), number);
        assert!(!is_nonblocking(&one));
        assert_eq!(one.read_timeout().unwrap(), Some(Duration::from_secs(7)));
        one.set_read_timeout(None).unwrap();
        one.set_write_timeout(Some(Duration::from_secs(8))).unwrap();

        // The open file may have other owners, who find it unchanged.
        let one = UdpSocket::from(one);
        assert!(!is_nonblocking(&one));
        assert_eq!(one.read_timeout().unwrap(), None);
        assert_eq!(one.write_timeout().unwrap(), Some(Duration::from_secs(8)));
        one.set_nonblocking(true).unwrap();
        let one = theirs::UdpSocket::from(one);
        assert_eq!(
            one.recv(&mut [0]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        let one = UdpSocket::from(one);
        assert_eq!(
            one.recv(&mut [0]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        other.send(b"x").unwrap();
        one.set_nonblocking(false).unwrap();
        assert_eq!(one.recv(&mut [0]).unwrap(), 1);
    });
}

#[test]
fn descriptors() {
    enter(|| {
        let (one, other) = pair();
        let fd = OwnedFd::from(one);
        assert!(!is_nonblocking(&fd));
        let raw = UdpSocket::from(fd).into_raw_fd();
        // SAFETY: `into_raw_fd` has just released it.
        #[allow(unsafe_code, reason = "the tested functions are unsafe")]
        let one = unsafe { UdpSocket::from_raw_fd(raw) };
        let receiver = thread::spawn(move || one.recv(&mut [0; 4]).unwrap());
        thread::yield_now();
        other.send(b"xy").unwrap();
        assert_eq!(receiver.join().unwrap(), 2);
    });
}

#[test]
fn a_clone_outlives_the_conversion_of_the_other() {
    enter(|| {
        let (one, other) = pair();
        let clone = one.try_clone().unwrap();
        let _theirs = theirs::UdpSocket::from(one);
        assert!(!is_nonblocking(&clone));
        let receiver = thread::spawn(move || clone.recv(&mut [0]).unwrap());
        thread::yield_now();
        other.send(b"x").unwrap();
        assert_eq!(receiver.join().unwrap(), 1);
    });
}

#[test]
fn debug_output_is_stds() {
    enter(|| {
        let (socket, _) = bound();
        let ours = format!("{socket:?} {socket:#?}");
        let socket = theirs::UdpSocket::from(socket);
        assert_eq!(ours, format!("{socket:?} {socket:#?}"));
    });
}

#[test]
fn other_descriptors_as_udp_sockets_fail_as_in_std() {
    enter(|| {
        let (one, two) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let one = UdpSocket::from(OwnedFd::from(one));
        two.send(b"x").unwrap();
        assert_eq!(
            one.peek_from(&mut [0]).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(one.recv(&mut [0]).unwrap(), 1);
        assert_eq!(
            one.local_addr().unwrap_err().kind(),
            ErrorKind::InvalidInput
        );

        let file = UdpSocket::from(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
        assert!(file.recv(&mut [0]).is_err());
        assert!(file.send(&[0]).is_err());
        drop(theirs::UdpSocket::from(file));
    });
}
