//! An open socket of which std has a handle as well: std's handle behaves as std's, and rustlet's
//! never blocks its worker.

use super::net::{TcpListener, TcpStream};
use crate::support::competing::{self, is_nonblocking};
use crate::support::on_one_worker as enter;
use std::io::{Read, Write};
use std::net as theirs;
use std::os::fd::{AsFd, FromRawFd, IntoRawFd};

fn accept_in_competition(ours: TcpListener, theirs: theirs::TcpListener) {
    let addr = ours.local_addr().unwrap();
    competing::accept_in_competition(
        move || ours.accept().map(|(stream, _)| stream),
        move || theirs.accept().map(|(stream, _)| stream),
        move || theirs::TcpStream::connect(addr).unwrap(),
        move || TcpStream::connect(addr).unwrap(),
    );
}

#[test]
fn a_clone_that_became_stds_competes() {
    let ours = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = theirs::TcpListener::from(ours.try_clone().unwrap());
    assert!(!is_nonblocking(&theirs));
    accept_in_competition(ours, theirs);
}

#[test]
fn a_clone_of_stds_that_became_ours_competes() {
    let theirs = theirs::TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpListener::from(theirs.try_clone().unwrap());
    assert!(!is_nonblocking(&theirs));
    accept_in_competition(ours, theirs);

    let theirs = theirs::TcpListener::bind("127.0.0.1:0").unwrap();
    let raw = theirs.try_clone().unwrap().into_raw_fd();
    // SAFETY: `into_raw_fd` has just released it.
    #[allow(unsafe_code, reason = "the tested functions are unsafe")]
    let ours = unsafe { TcpListener::from_raw_fd(raw) };
    accept_in_competition(ours, theirs);
}

/// The descriptor was only lent, and its borrower has cleared the flag.
#[test]
fn a_duplicate_of_the_descriptor_competes() {
    let ours = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = theirs::TcpListener::from(ours.as_fd().try_clone_to_owned().unwrap());
    theirs.set_nonblocking(false).unwrap();
    accept_in_competition(ours, theirs);
}

/// The `set_nonblocking` of std's handle and of rustlet's are kept apart, in both orders.
#[test]
fn a_nonblocking_handle_of_ours_does_not_change_stds() {
    enter(|| {
        let ours = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = theirs::TcpListener::from(ours.try_clone().unwrap());
        ours.set_nonblocking(true).unwrap();
        assert_eq!(
            ours.accept().unwrap_err().kind(),
            std::io::ErrorKind::WouldBlock
        );
        assert!(!is_nonblocking(&theirs));
        let addr = ours.local_addr().unwrap();
        let _client = TcpStream::connect(addr).unwrap();
        theirs.accept().unwrap();
        let _client = TcpStream::connect(addr).unwrap();
        super::pair::until_there(|| ours.accept());
        // rustlet's handle is converted as it was set, and std's clone follows, because they are
        // one open file.
        let ours = theirs::TcpListener::from(ours);
        assert!(is_nonblocking(&theirs));
        assert_eq!(
            ours.accept().unwrap_err().kind(),
            std::io::ErrorKind::WouldBlock
        );
    });
}

/// std's handle waits in a read, on an OS thread, and so does rustlet's: each byte reaches one of
/// them.
#[test]
fn a_stream_is_read_by_both() {
    let listener = theirs::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    for way in 0..2 {
        let mut peer = theirs::TcpStream::connect(addr).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let (mut ours, mut theirs) = if way == 0 {
            (TcpStream::from(accepted.try_clone().unwrap()), accepted)
        } else {
            let ours = TcpStream::from(accepted);
            let theirs = theirs::TcpStream::from(ours.try_clone().unwrap());
            (ours, theirs)
        };
        assert!(!is_nonblocking(&theirs));
        const BYTES: usize = 2_000;
        let reading = std::thread::spawn(move || {
            let mut count = 0;
            while theirs.read(&mut [0]).expect("it blocks") > 0 {
                count += 1;
                theirs.write_all(b"!").unwrap();
            }
            count
        });
        let count = std::sync::Mutex::new(0);
        enter(|| {
            rustlet::scope(|scope| {
                scope.spawn(|| {
                    while ours.read(&mut [0]).unwrap() > 0 {
                        *count.lock().unwrap() += 1;
                        ours.write_all(b"!").unwrap();
                    }
                });
                let mut peer = TcpStream::from(peer.try_clone().unwrap());
                for _ in 0..BYTES {
                    peer.write_all(b"?").unwrap();
                    peer.read_exact(&mut [0]).unwrap();
                }
                peer.shutdown(theirs::Shutdown::Write).unwrap();
            });
        });
        let count = count.into_inner().unwrap();
        assert_eq!(reading.join().unwrap() + count, BYTES);
        drop(ours);
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    }
}
