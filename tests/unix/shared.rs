//! An open socket of which std has a handle as well: std's handle behaves as std's, and rustlet's
//! never blocks its worker.

use super::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use crate::dir::abstract_name;
use crate::support::competing::{self, is_nonblocking};
use crate::support::on_one_worker as enter;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net as theirs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

fn accept_in_competition(ours: UnixListener, theirs: theirs::UnixListener) {
    let addr = ours.local_addr().unwrap();
    let where_to = addr.clone();
    competing::accept_in_competition(
        move || ours.accept().map(|(stream, _)| stream),
        move || theirs.accept().map(|(stream, _)| stream),
        move || theirs::UnixStream::connect_addr(&where_to).unwrap(),
        move || UnixStream::connect_addr(&addr).unwrap(),
    );
}

#[test]
fn a_listener_that_became_stds_competes() {
    let ours = UnixListener::bind_addr(&abstract_name()).unwrap();
    let theirs = theirs::UnixListener::from(ours.try_clone().unwrap());
    accept_in_competition(ours, theirs);
}

#[test]
fn a_listener_of_stds_competes() {
    let theirs = theirs::UnixListener::bind_addr(&abstract_name()).unwrap();
    let ours = UnixListener::from(OwnedFd::from(theirs.try_clone().unwrap()));
    assert!(!is_nonblocking(&theirs));
    accept_in_competition(ours, theirs);
}

/// std's handle waits in a call on an OS thread, rustlet's on a green thread: each message reaches
/// one of them.
#[test]
fn datagrams_and_streams_are_read_by_both() {
    fn share(
        mut send: impl FnMut(&[u8]) + Send,
        ours: impl Fn(&mut [u8]) -> usize + Send + 'static,
        theirs: impl Fn(&mut [u8]) -> usize + Send + 'static,
    ) {
        const MESSAGES: usize = 2_000;
        let seen = Arc::new(AtomicUsize::new(0));
        let stds = Arc::clone(&seen);
        let reading = std::thread::spawn(move || {
            while theirs(&mut [0]) > 0 {
                stds.fetch_add(1, SeqCst);
            }
        });
        enter(move || {
            let counted = Arc::clone(&seen);
            let reader = rustlet::spawn(move || {
                while ours(&mut [0]) > 0 {
                    counted.fetch_add(1, SeqCst);
                }
            });
            for message in 0..MESSAGES {
                send(b"?");
                while seen.load(SeqCst) <= message {
                    rustlet::yield_now();
                }
            }
            drop(send);
            reader.join().unwrap();
        });
        reading.join().unwrap();
    }

    let (one, other) = theirs::UnixStream::pair().unwrap();
    let ours = UnixStream::from(one.try_clone().unwrap());
    share(
        move |bytes| (&other).write_all(bytes).unwrap(),
        move |buf| (&ours).read(buf).unwrap(),
        move |buf| (&one).read(buf).expect("it blocks"),
    );

    let (one, other) = UnixDatagram::pair().unwrap();
    let theirs = theirs::UnixDatagram::from(one.try_clone().unwrap());
    assert!(!is_nonblocking(&theirs));
    // A datagram socket does not notice the end of the sender, which therefore sends an empty
    // message to each of the two receivers.
    struct Sender(UnixDatagram);
    impl Sender {
        fn send(&self, message: &[u8]) {
            assert_eq!(self.0.send(message).unwrap(), message.len());
        }
    }
    impl Drop for Sender {
        fn drop(&mut self) {
            self.send(b"");
            self.send(b"");
        }
    }
    let sender = Sender(other);
    share(
        move |bytes| sender.send(bytes),
        move |buf| one.recv(buf).unwrap(),
        move |buf| theirs.recv(buf).expect("it blocks"),
    );
}
