//! Waits of green threads: they delay no other thread, and end when they should.

use super::net::Shutdown;
use super::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use super::thread;
use crate::dir::abstract_name;
use crate::settings::on_one_worker;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;

/// Counts in one green thread while `work` is done in another, on one worker; `work` has to wait
/// until the counter calls `release`.
fn while_another_counts<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    release: impl FnOnce(),
) -> T {
    let working = thread::spawn(work);
    for _ in 0..1000 {
        thread::yield_now();
    }
    assert!(!working.is_finished());
    release();
    working.join().unwrap()
}

/// Returns a listener with a queue of one, which is full.
fn full_listener() -> (UnixListener, std::os::unix::net::SocketAddr, UnixStream) {
    let addr = abstract_name();
    let listener = UnixListener::bind_addr(&addr).unwrap();
    // Listening again changes the length.
    rustix::net::listen(&listener, 0).unwrap();
    let client = UnixStream::connect_addr(&addr).unwrap();
    (listener, addr, client)
}

fn full_receiver() -> (UnixDatagram, std::os::unix::net::SocketAddr) {
    let addr = abstract_name();
    let receiver = UnixDatagram::bind_addr(&addr).unwrap();
    let stranger = UnixDatagram::unbound().unwrap();
    stranger.set_nonblocking(true).unwrap();
    while stranger.send_to_addr(b"x", &addr).is_ok() {}
    (receiver, addr)
}

#[test]
fn nothing_holds_up_the_worker() {
    on_one_worker(|| {
        let (one, other) = UnixStream::pair().unwrap();
        let reading = move || (&one).read(&mut [0; 4]).unwrap();
        assert_eq!(
            while_another_counts(reading, || (&other).write_all(b"ok").unwrap()),
            2
        );

        let (one, other) = UnixStream::pair().unwrap();
        let writing = move || (&one).write(&vec![0; 3_000_000]).unwrap();
        let read = || (&other).read_exact(&mut vec![0; 3_000_000]).unwrap();
        assert_eq!(while_another_counts(writing, read), 3_000_000);

        let addr = abstract_name();
        let listener = UnixListener::bind_addr(&addr).unwrap();
        let accepting = move || listener.accept().map(drop).unwrap();
        while_another_counts(accepting, || drop(UnixStream::connect_addr(&addr).unwrap()));

        let (listener, addr, _client) = full_listener();
        let connecting = move || UnixStream::connect_addr(&addr).map(drop).unwrap();
        while_another_counts(connecting, || drop(listener.accept().unwrap()));

        let (receiver, addr) = full_receiver();
        let sending = move || {
            UnixDatagram::unbound()
                .unwrap()
                .send_to_addr(b"y", &addr)
                .unwrap()
        };
        while_another_counts(sending, || drop(receiver.recv(&mut [0])));

        let (receiver, addr) = full_receiver();
        let socket = UnixDatagram::unbound().unwrap();
        socket.connect_addr(&addr).unwrap();
        let sending = move || socket.send(b"y").unwrap();
        while_another_counts(sending, || drop(receiver.recv(&mut [0])));

        let (one, other) = UnixDatagram::pair().unwrap();
        let receiving = move || one.recv_from(&mut [0]).map(drop).unwrap();
        while_another_counts(receiving, || drop(other.send(b"x")));
    });
}

#[test]
fn cancelled_waits_end_and_leave_all_good() {
    for workers in [1, 2] {
        rustlet::Builder::new()
            .workers(workers)
            .build()
            .unwrap()
            .run(|| {
                let cancel = |thread: thread::JoinHandle<()>| {
                    for _ in 0..3 {
                        thread::yield_now();
                    }
                    thread.cancel();
                    assert!(thread.join().unwrap_err().is::<rustlet::Cancelled>());
                };
                let (one, other) = UnixStream::pair().unwrap();
                let clone = one.try_clone().unwrap();
                cancel(thread::spawn(move || drop((&clone).read(&mut [0]))));
                (&other).write_all(b"x").unwrap();
                assert_eq!((&one).read(&mut [0]).unwrap(), 1);

                let (listener, addr, _client) = full_listener();
                let again = addr.clone();
                cancel(thread::spawn(move || {
                    drop(UnixStream::connect_addr(&again))
                }));
                listener.accept().unwrap();
                // The cancelled one has left nothing behind.
                listener.set_nonblocking(true).unwrap();
                assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
                UnixStream::connect_addr(&addr).unwrap();
                listener.accept().unwrap();

                let (receiver, addr) = full_receiver();
                let again = addr.clone();
                cancel(thread::spawn(move || {
                    drop(
                        UnixDatagram::unbound()
                            .unwrap()
                            .send_to_addr(b"lost", &again),
                    );
                }));
                receiver.set_nonblocking(true).unwrap();
                while let Ok(count) = receiver.recv(&mut [0; 8]) {
                    assert_eq!(count, 1);
                }
            });
    }
}

#[test]
fn a_wait_while_unwinding_reports_the_cancellation() {
    struct Sends(std::os::unix::net::SocketAddr);
    impl Drop for Sends {
        fn drop(&mut self) {
            let socket = UnixDatagram::unbound().unwrap();
            for error in [
                socket.send_to_addr(b"y", &self.0).unwrap_err(),
                socket.recv(&mut [0]).unwrap_err(),
            ] {
                assert!(
                    error
                        .get_ref()
                        .is_some_and(|inner| inner.is::<rustlet::Cancelled>())
                );
            }
        }
    }
    rustlet::run(|| {
        let (_receiver, addr) = full_receiver();
        let (one, other) = UnixStream::pair().unwrap();
        let thread = thread::spawn(move || {
            let _sends = Sends(addr);
            (&one).write_all(b"r").unwrap();
            thread::park();
        });
        (&other).read_exact(&mut [0]).unwrap();
        thread.cancel();
        assert!(thread.join().unwrap_err().is::<rustlet::Cancelled>());
    });
}

#[test]
fn the_end_of_a_runtime_closes_what_waits_in_it() {
    let (mut reading, mut writing) = rustlet::run(|| {
        let (reader, reading) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            (&reader).write_all(b"r").unwrap();
            (&reader).read(&mut [0]).map(drop)
        });
        // It cannot write everything, and tries to write the rest when it is dropped.
        let (writer, writing) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            let mut writer = BufWriter::new(writer);
            loop {
                writer.write_all(b"w").unwrap();
            }
        });
        (&reading).read_exact(&mut [0]).unwrap();
        (&writing).read_exact(&mut [0]).unwrap();
        thread::yield_now();
        (reading, writing)
    });
    assert_eq!(reading.read(&mut [0]).unwrap(), 0);
    assert!(std::io::copy(&mut writing, &mut std::io::sink()).unwrap() > 0);
}

/// One side in a runtime, the other on an OS thread, and then both in two runtimes.
#[test]
fn two_runtimes_and_an_os_thread() {
    let (one, other) = UnixStream::pair().unwrap();
    let echo = || {
        let mut buf = [0; 100];
        loop {
            match (&other).read(&mut buf).unwrap() {
                0 => return,
                count => (&other).write_all(&buf[..count]).unwrap(),
            }
        }
    };
    let ask = || {
        for number in 0..200u8 {
            (&one).write_all(&[number]).unwrap();
            let mut answer = [0];
            (&one).read_exact(&mut answer).unwrap();
            assert_eq!(answer, [number]);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| rustlet::run(echo));
        ask();
        rustlet::run(ask);
        on_one_worker(ask);
        one.shutdown(Shutdown::Write).unwrap();
    });
}

/// Streams that are made, waited on and dropped on different workers, while events for them come
/// in.
#[test]
fn streams_come_and_go_on_many_workers() {
    rustlet::Builder::new().workers(4).build().unwrap().run(|| {
        let addr = &abstract_name();
        let listener = &UnixListener::bind_addr(addr).unwrap();
        rustix::net::listen(listener, 2).unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(move || {
                    for round in 0..100 {
                        let client = UnixStream::connect_addr(addr).unwrap();
                        let (server, _) = listener.accept().unwrap();
                        // Usually not the other end of `client`.
                        (&client).write_all(b"x").unwrap();
                        (&server).read_exact(&mut [0]).unwrap();
                        if round % 3 == 0 {
                            thread::spawn(move || drop(server));
                        }
                    }
                });
            }
        });
    });
}

/// Descriptors that are shared with an owner that has put them into blocking mode.
#[test]
fn blocking_descriptors_do_not_block() {
    on_one_worker(|| {
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        let clone = one.try_clone().unwrap();
        let ours = UnixStream::from(OwnedFd::from(one));
        clone.set_nonblocking(false).unwrap();
        let reading = move || (&ours).read(&mut [0; 4]).unwrap();
        assert_eq!(
            while_another_counts(reading, || (&other).write_all(b"ok").unwrap()),
            2
        );

        // `accept` has no flag of its own, and polls first.
        let addr = abstract_name();
        let listener = UnixListener::bind_addr(&addr).unwrap();
        let clone = listener.try_clone().unwrap();
        let _theirs = std::os::unix::net::UnixListener::from(listener);
        let accepting = move || clone.accept().map(drop).unwrap();
        while_another_counts(accepting, || drop(UnixStream::connect_addr(&addr).unwrap()));
    });
}

/// Senders to a short queue, some of which are cancelled: the messages of the others arrive, and no
/// sender is left waiting.
#[test]
fn cancelled_and_uncancelled_senders() {
    for workers in [1, 2] {
        rustlet::Builder::new()
            .workers(workers)
            .build()
            .unwrap()
            .run(|| {
                let addr = abstract_name();
                let receiver = UnixDatagram::bind_addr(&addr).unwrap();
                receiver
                    .set_read_timeout(Some(std::time::Duration::from_micros(200)))
                    .unwrap();
                let (mut got, mut sent) = (0, 0);
                for _ in 0..50 {
                    let senders: Vec<_> = (0..8)
                        .map(|number| {
                            let addr = addr.clone();
                            thread::spawn(move || {
                                let socket = UnixDatagram::unbound().unwrap();
                                if number % 2 == 0 {
                                    socket.connect_addr(&addr).unwrap();
                                }
                                for _ in 0..4 {
                                    match number % 2 {
                                        0 => socket.send(b"x").unwrap(),
                                        _ => socket.send_to_addr(b"x", &addr).unwrap(),
                                    };
                                }
                            })
                        })
                        .collect();
                    got += usize::from(receiver.recv(&mut [0]).is_ok());
                    for sender in senders.iter().step_by(3) {
                        sender.cancel();
                    }
                    while senders.iter().any(|sender| !sender.is_finished()) {
                        got += usize::from(receiver.recv(&mut [0]).is_ok());
                    }
                    let done = senders.into_iter().filter_map(|sender| sender.join().ok());
                    sent += 4 * done.count();
                }
                receiver.set_nonblocking(true).unwrap();
                while receiver.recv(&mut [0]).is_ok() {
                    got += 1;
                }
                assert!(got >= sent);
            });
    }
}

/// A failed attempt to send is an event for the sender's socket. It must not try again at once,
/// without end.
#[test]
fn senders_pause_while_the_queue_of_the_receiver_is_full() {
    on_one_worker(|| {
        let (_receiver, addr) = full_receiver();
        let sender = UnixDatagram::unbound().unwrap();
        let steps = || {
            let metrics = rustlet::runtime::Handle::current().unwrap().metrics();
            metrics.per_worker[0].steps
        };
        let before = steps();
        let limit = std::time::Duration::from_millis(200);
        let sent = rustlet::timeout(limit, || sender.send_to_addr(b"one more", &addr));
        assert!(!matches!(sent, Ok(Ok(_))), "{sent:?}");
        // Pauses of 50 µs, then twice as long and so on, up to 10 ms, and two attempts after each.
        let taken = steps() - before;
        assert!(taken < 200, "{taken} steps");
    });
}
