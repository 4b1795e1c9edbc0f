//! Reading, writing, peeking, ending.

use super::net::{Shutdown, TcpStream};
use super::pair::{echo, listen, pair};
use super::{enter, thread};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};

const MEGABYTE: usize = 1 << 20;

#[test]
fn read_after_the_peer_ended_gives_zero_for_ever() {
    enter(|| {
        let (client, mut server) = pair();
        drop(client);
        for _ in 0..3 {
            assert_eq!(server.read(&mut [0; 8]).unwrap(), 0);
            assert_eq!(server.peek(&mut [0; 8]).unwrap(), 0);
        }
    });
}

#[test]
fn read_after_shutdown_gives_zero() {
    enter(|| {
        let (client, _server) = pair();
        client.shutdown(Shutdown::Read).unwrap();
        assert_eq!((&client).read(&mut [0; 8]).unwrap(), 0);
    });
}

#[test]
fn write_after_shutdown_is_a_broken_pipe() {
    enter(|| {
        let (client, _server) = pair();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!((&client).write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let bufs = [IoSlice::new(b"x")];
        assert_eq!((&client).write_vectored(&bufs).unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn write_to_a_closed_peer_is_a_broken_pipe() {
    enter(|| {
        let (client, server) = pair();
        drop(server);
        // The first writes may succeed: the peer's answer, a reset, has to arrive first.
        let first = loop {
            if let Err(error) = (&client).write(b"x") {
                break error.kind();
            }
            thread::yield_now();
        };
        assert!(matches!(first, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{first:?}");
        assert_eq!((&client).write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_reset_is_an_error_once() {
    enter(|| {
        let (client, server) = pair();
        // Closing with unread data resets the connection.
        (&client).write_all(b"unread").unwrap();
        assert_eq!(server.peek(&mut [0; 8]).unwrap(), 6);
        drop(server);
        let error = (&client).read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!((&client).read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn a_reset_that_interrupts_a_write_is_not_lost() {
    enter(|| {
        let (client, server) = pair();
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                // More than fits: it is stopped half way, and the next call returns the reason.
                let count = (&client).write(&vec![0; 64 * MEGABYTE]).unwrap();
                assert!(count < 64 * MEGABYTE);
                (&client).write(b"x").unwrap_err().kind()
            });
            (&server).read_exact(&mut [0; 4096]).unwrap();
            drop(server);
            assert_eq!(writer.join().unwrap(), ErrorKind::ConnectionReset);
        });
        assert_eq!((&client).write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn data_and_end_arrive_together() {
    enter(|| {
        let (listener, addr) = listen();
        for round in 0..50 {
            let mut client = TcpStream::connect(addr).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            thread::scope(|scope| {
                let reader = scope.spawn(move || {
                    // The first message makes sure that the reader has waited before, where that
                    // matters.
                    let mut first = [0; 4];
                    server.read_exact(&mut first).unwrap();
                    server.write_all(&first).unwrap();
                    let mut all = Vec::new();
                    server.read_to_end(&mut all).unwrap();
                    all
                });
                thread::yield_now();
                client.write_all(b"ping").unwrap();
                client.read_exact(&mut [0; 4]).unwrap();
                client.write_all(b"last words").unwrap();
                if round % 2 == 0 {
                    client.shutdown(Shutdown::Write).unwrap();
                    assert_eq!(reader.join().unwrap(), b"last words");
                } else {
                    drop(client);
                    assert_eq!(reader.join().unwrap(), b"last words");
                }
            });
        }
    });
}

#[test]
fn the_end_alone_wakes_a_reader() {
    enter(|| {
        let (client, server) = pair();
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                (&server).write_all(b"r").unwrap();
                (&server).read(&mut [0; 8]).unwrap()
            });
            (&client).read_exact(&mut [0]).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(reader.join().unwrap(), 0);
        });
    });
}

#[test]
fn peek_leaves_the_data() {
    enter(|| {
        let (mut client, mut server) = pair();
        thread::scope(|scope| {
            scope.spawn(move || client.write_all(b"abc").unwrap());
            let mut buf = [0; 8];
            // Waits for the first byte, then polls for the rest.
            while server.peek(&mut buf).unwrap() < 3 {
                thread::yield_now();
            }
            assert_eq!(&buf[..3], b"abc");
            assert_eq!(server.peek(&mut buf[..1]).unwrap(), 1);
            assert_eq!(server.read(&mut buf[..2]).unwrap(), 2);
            assert_eq!(server.peek(&mut buf).unwrap(), 1);
            assert_eq!(server.read(&mut buf).unwrap(), 1);
            assert_eq!(buf[0], b'c');
            assert_eq!(server.peek(&mut buf).unwrap(), 0);
            assert_eq!(server.read(&mut buf).unwrap(), 0);
        });
    });
}

#[test]
fn empty_buffers() {
    enter(|| {
        let (mut client, mut server) = pair();
        assert_eq!(client.write(&[]).unwrap(), 0);
        assert_eq!(client.write_vectored(&[]).unwrap(), 0);
        assert_eq!(client.write_vectored(&[IoSlice::new(&[])]).unwrap(), 0);
        assert_eq!(server.read_vectored(&mut []).unwrap(), 0);
        assert_eq!(server.read_vectored(&mut [IoSliceMut::new(&mut [])]).unwrap(), 0);
        client.write_all(b"x").unwrap();
        // This one waits for data, takes none of it, and does not mistake that for a drained
        // socket.
        assert_eq!(server.read(&mut []).unwrap(), 0);
        assert_eq!(server.read(&mut [0; 8]).unwrap(), 1);
        client.flush().unwrap();
    });
}

#[test]
fn vectored_reads_fill_one_buffer_after_the_other() {
    enter(|| {
        let (mut client, mut server) = pair();
        client.write_all(b"abcdefgh").unwrap();
        until_peeked(&server, 8);
        let (mut one, mut none, mut two) = ([0; 3], [0; 0], [0; 4]);
        let mut bufs =
            [IoSliceMut::new(&mut one), IoSliceMut::new(&mut none), IoSliceMut::new(&mut two)];
        assert_eq!(server.read_vectored(&mut bufs).unwrap(), 7);
        assert_eq!((&one, &two), (b"abc", b"defg"));
        assert_eq!(server.read(&mut two).unwrap(), 1);
        drop(client);
        assert_eq!(server.read_vectored(&mut [IoSliceMut::new(&mut two)]).unwrap(), 0);
    });
}

#[test]
fn vectored_writes_keep_the_order() {
    enter(|| {
        let (mut client, mut server) = pair();
        let bufs = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"c")];
        assert_eq!(client.write_vectored(&bufs).unwrap(), 3);
        // No call takes more buffers than the system does: the others remain.
        let many = vec![IoSlice::new(b"x"); 2000];
        assert_eq!(client.write_vectored(&many).unwrap(), 1024);
        drop(client);
        let mut all = String::new();
        server.read_to_string(&mut all).unwrap();
        assert_eq!(all, format!("abc{}", "x".repeat(1024)));
    });
}

#[test]
fn a_write_returns_when_all_is_written() {
    enter(|| {
        let (client, server) = pair();
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut sum = 0;
                let mut buf = vec![0; 10_000];
                loop {
                    match (&server).read(&mut buf).unwrap() {
                        0 => return sum,
                        count => sum += count,
                    }
                    thread::yield_now();
                }
            });
            let data = vec![7; 16 * MEGABYTE];
            assert_eq!((&client).write(&data).unwrap(), data.len());
            let halves = data.split_at(MEGABYTE + 1);
            let bufs = [IoSlice::new(halves.0), IoSlice::new(&[]), IoSlice::new(halves.1)];
            assert_eq!((&client).write_vectored(&bufs).unwrap(), data.len());
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(reader.join().unwrap(), 2 * data.len());
        });
    });
}

#[test]
fn a_slow_reader_holds_the_writer_back_and_gets_everything() {
    enter(|| {
        let (mut client, mut server) = pair();
        let data: Vec<u8> = (0..8 * MEGABYTE).map(|n| (n % 251) as u8).collect();
        let expected = data.clone();
        let writer = thread::spawn(move || client.write_all(&data).unwrap());
        let mut received = Vec::new();
        let mut buf = vec![0; 100_000];
        loop {
            // From one byte to the whole buffer, with pauses.
            let size = 1 + received.len() % buf.len();
            match server.read(&mut buf[..size]).unwrap() {
                0 => break,
                count => received.extend_from_slice(&buf[..count]),
            }
            thread::yield_now();
        }
        writer.join().unwrap();
        assert!(received == expected);
    });
}

#[test]
fn half_closed_echo() {
    enter(|| {
        let (client, server) = pair();
        let server = thread::spawn(move || echo(&server));
        let data = vec![3; MEGABYTE];
        thread::scope(|scope| {
            scope.spawn(|| {
                (&client).write_all(&data).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
            });
            let mut answer = Vec::new();
            (&client).read_to_end(&mut answer).unwrap();
            assert!(answer == data);
        });
        server.join().unwrap();
    });
}

/// A read stops short at urgent data, though more lies behind it.
#[test]
fn urgent_data_in_between() {
    enter(|| {
        let (client, mut server) = pair();
        thread::scope(|scope| {
            let reader = scope.spawn(move || {
                // It has waited when the rest comes.
                server.write_all(b"r").unwrap();
                server.read_exact(&mut [0]).unwrap();
                let mut all = Vec::new();
                let mut buf = [0; 16];
                while all.len() < 6 {
                    let count = server.read(&mut buf).unwrap();
                    all.extend_from_slice(&buf[..count]);
                }
                all
            });
            (&client).read_exact(&mut [0]).unwrap();
            (&client).write_all(b"xabc").unwrap();
            rustix::net::send(&client, b"!", rustix::net::SendFlags::OOB).unwrap();
            (&client).write_all(b"def").unwrap();
            assert_eq!(reader.join().unwrap(), b"abcdef");
        });
    });
}

fn until_peeked(stream: &TcpStream, count: usize) {
    let mut buf = vec![0; count];
    while stream.peek(&mut buf).unwrap() < count {
        thread::yield_now();
    }
}
