//! Features that std does not have, or not stably: many connections at once, reusing a port,
//! lingering, owning iterators.

use super::net::{TcpListener, TcpStream};
use super::pair::{LOCAL, echo, listen, pair};
use super::{enter, thread};
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::time::Duration;

#[test]
fn a_thousand_connections() {
    enter(|| {
        const COUNT: usize = 1_000;
        let (listener, addr) = listen();
        // All connect before the first is accepted: the queue is as long as the system allows.
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
        // The last of them may be a moment behind its client.
        let mut accepted = 0;
        while accepted < 20 {
            for listener in [&one, &two] {
                accepted += listener.incoming().map_while(Result::ok).count();
            }
        }
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

/// Waits on `stream` until the time limit, so that its source is registered.
fn wait_a_little(stream: &TcpStream) {
    stream
        .set_read_timeout(Some(Duration::from_micros(100)))
        .unwrap();
    assert_eq!(
        (&mut &*stream).read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    stream.set_read_timeout(None).unwrap();
}

/// Waits on `stream` until the other end sends a byte.
fn wait_for_a_byte(stream: &TcpStream, other: &TcpStream) {
    thread::scope(|scope| {
        scope.spawn(|| {
            (&mut &*other).read_exact(&mut [0]).unwrap();
            (&mut &*other).write_all(b"x").unwrap();
        });
        (&mut &*stream).write_all(b"r").unwrap();
        (&mut &*stream).read_exact(&mut [0]).unwrap();
    });
}

#[test]
fn streams_outlive_their_runtime() {
    let (one, other) = rustlet::run(|| {
        let (one, other) = pair();
        wait_a_little(&one);
        wait_for_a_byte(&one, &other);
        (one, other)
    });
    for round in 0..3 {
        // On a thread without a runtime, then in another runtime.
        if round > 0 {
            wait_a_little(&one);
            wait_for_a_byte(&one, &other);
        }
        rustlet::run(|| {
            wait_for_a_byte(&other, &one);
            wait_for_a_byte(&one, &other);
            wait_a_little(&one);
        });
    }
}

#[test]
fn two_runtimes_and_an_os_thread_share_a_stream() {
    const EACH: usize = 300;
    let (one, other) = pair();
    // Each reader takes its share, one byte at a time; there are exactly enough.
    let take = || {
        for _ in 0..EACH {
            (&one).read_exact(&mut [0]).unwrap();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            rustlet::run(|| {
                thread::scope(|scope| {
                    scope.spawn(take);
                    scope.spawn(take);
                })
            })
        });
        scope.spawn(|| rustlet::run(take));
        scope.spawn(take);
        for _ in 0..4 * EACH {
            (&other).write_all(b"x").unwrap();
            std::thread::yield_now();
        }
    });
    one.set_nonblocking(true).unwrap();
    assert_eq!(
        (&one).read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
}

#[test]
fn a_stream_that_was_waited_on_can_be_converted_and_waited_on_again() {
    enter(|| {
        let (mut one, other) = pair();
        for _ in 0..20 {
            wait_a_little(&one);
            wait_for_a_byte(&one, &other);
            one = std::net::TcpStream::from(one).into();
        }
    });
}

#[test]
fn nonblocking_reads_see_data_without_yielding() {
    enter(|| {
        let (one, other) = pair();
        wait_for_a_byte(&one, &other);
        one.set_nonblocking(true).unwrap();
        for _ in 0..100 {
            (&other).write_all(b"ab").unwrap();
            // Nothing in here suspends.
            let mut got = 0;
            while got < 2 {
                match (&one).read(&mut [0; 8]) {
                    Ok(count) => got += count,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
        }
    });
}

/// Streams that are made, waited on and dropped on different workers, while events for them come
/// in.
#[test]
fn streams_come_and_go_on_many_workers() {
    rustlet::Builder::new().workers(4).build().unwrap().run(|| {
        let (listener, addr) = listen();
        thread::scope(|scope| {
            for _ in 0..8 {
                let listener = &listener;
                scope.spawn(move || {
                    for round in 0..200 {
                        let client = TcpStream::connect(addr).unwrap();
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

#[test]
fn the_end_of_a_runtime_closes_what_waits_in_it() {
    let (mut reading, mut writing, addr) = rustlet::run(|| {
        let (reader, reading) = pair();
        thread::spawn(move || {
            (&reader).write_all(b"r").unwrap();
            (&reader).read(&mut [0]).map(drop)
        });
        // It cannot write everything, and tries to write the rest when it is dropped.
        let (writer, writing) = pair();
        thread::spawn(move || {
            let mut writer = BufWriter::new(writer);
            loop {
                writer.write_all(b"w").unwrap();
            }
        });
        let (listener, addr) = listen();
        thread::spawn(move || listener.accept().map(drop));
        (&reading).read_exact(&mut [0]).unwrap();
        (&writing).read_exact(&mut [0]).unwrap();
        thread::yield_now();
        (reading, writing, addr)
    });
    assert_eq!(reading.read(&mut [0]).unwrap(), 0);
    assert!(std::io::copy(&mut writing, &mut std::io::sink()).unwrap() > 0);
    assert_eq!(
        TcpStream::connect(addr).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}
