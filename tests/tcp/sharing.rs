//! One stream and several threads: clones, references, hand-overs, and streams that come and go.

use super::net::{Shutdown, TcpStream};
use super::pair::{echo, listen, pair};
use super::{enter, thread};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn streams_have_the_auto_traits() {
    fn has_them<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + 'static>() {}
    has_them::<TcpStream>();
    has_them::<super::net::TcpListener>();
}

#[test]
fn clones_share_the_data() {
    enter(|| {
        let (client, mut server) = pair();
        let clone = server.try_clone().unwrap();
        (&client).write_all(b"ab").unwrap();
        let mut byte = [0];
        server.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"a");
        drop(server);
        (&clone).read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"b");
        // Still open: closed with the last handle only.
        (&clone).write_all(b"c").unwrap();
        (&client).read_exact(&mut byte).unwrap();
        drop(clone);
        assert_eq!((&client).read(&mut byte).unwrap(), 0);
    });
}

#[test]
fn a_clone_is_shut_down_too() {
    enter(|| {
        let (client, server) = pair();
        let clone = client.try_clone().unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!((&clone).write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!((&server).read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn shutdown_wakes_a_reader_in_another_thread() {
    enter(|| {
        for how in [Shutdown::Read, Shutdown::Both] {
            let (client, server) = pair();
            let clone = server.try_clone().unwrap();
            thread::scope(|scope| {
                let own = scope.spawn(|| {
                    (&server).write_all(b"r").unwrap();
                    (&server).read(&mut [0]).unwrap()
                });
                let cloned = scope.spawn(|| {
                    (&clone).write_all(b"r").unwrap();
                    (&clone).read(&mut [0]).unwrap()
                });
                // Both are about to wait, or wait.
                (&client).read_exact(&mut [0; 2]).unwrap();
                server.shutdown(how).unwrap();
                assert_eq!(own.join().unwrap(), 0);
                assert_eq!(cloned.join().unwrap(), 0);
            });
        }
    });
}

#[test]
fn shutdown_wakes_a_writer_in_another_thread() {
    enter(|| {
        let (client, server) = pair();
        thread::scope(|scope| {
            let writer = scope.spawn(|| (&client).write_all(&vec![0; 64 << 20]).unwrap_err().kind());
            // The writer has begun, and cannot end: the other side does not read.
            (&server).read_exact(&mut [0; 1]).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(writer.join().unwrap(), ErrorKind::BrokenPipe);
        });
    });
}

#[test]
fn a_stream_moves_to_another_thread_half_way() {
    enter(|| {
        let (client, mut server) = pair();
        let echoing = thread::spawn(move || echo(&client));
        for _ in 0..20 {
            server.write_all(b"here").unwrap();
            server.read_exact(&mut [0; 4]).unwrap();
            // A thread has waited on it here; from now on it is used elsewhere.
            server = thread::spawn(move || {
                server.write_all(b"there").unwrap();
                server.read_exact(&mut [0; 5]).unwrap();
                server
            })
            .join()
            .unwrap();
        }
        drop(server);
        echoing.join().unwrap();
    });
}

#[test]
fn one_thread_reads_while_another_writes() {
    enter(|| {
        let (client, server) = pair();
        let server = thread::spawn(move || echo(&server));
        let stream = Arc::new(client);
        let data: Vec<u8> = (0..4_000_000u32).map(|n| n as u8).collect();
        let expected = data.clone();
        let writer = thread::spawn({
            let stream = Arc::clone(&stream);
            move || {
                (&*stream).write_all(&data).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            }
        });
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            (&*stream).read_to_end(&mut all).unwrap();
            all
        });
        writer.join().unwrap();
        assert!(reader.join().unwrap() == expected);
        server.join().unwrap();
    });
}

#[test]
fn several_threads_read_one_stream() {
    enter(|| {
        let (client, server) = pair();
        const BYTES: usize = 20_000;
        thread::scope(|scope| {
            let readers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut count = 0;
                        let mut buf = [0; 16];
                        loop {
                            match (&server).read(&mut buf).unwrap() {
                                0 => return count,
                                some => count += some,
                            }
                        }
                    })
                })
                .collect();
            for _ in 0..BYTES / 10 {
                (&client).write_all(&[1; 10]).unwrap();
                thread::yield_now();
            }
            drop(client);
            let total: usize = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
            assert_eq!(total, BYTES);
        });
    });
}

#[test]
fn several_threads_write_one_stream() {
    enter(|| {
        let (client, mut server) = pair();
        let client = Arc::new(client);
        let writers: Vec<_> = (0..4u8)
            .map(|number| {
                let client = Arc::clone(&client);
                thread::spawn(move || {
                    for _ in 0..100 {
                        (&*client).write_all(&[number; 10_000]).unwrap();
                    }
                })
            })
            .collect();
        drop(client);
        let mut counts = [0; 4];
        let mut buf = vec![0; 50_000];
        loop {
            match server.read(&mut buf).unwrap() {
                0 => break,
                count => buf[..count].iter().for_each(|&number| counts[usize::from(number)] += 1),
            }
        }
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(counts, [1_000_000; 4]);
    });
}

#[test]
fn dropping_a_stream_that_was_waited_on() {
    enter(|| {
        let (listener, addr) = listen();
        for _ in 0..50 {
            let client = TcpStream::connect(addr).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            let clone = server.try_clone().unwrap();
            server.set_read_timeout(Some(Duration::from_micros(100))).unwrap();
            assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            assert_eq!((&clone).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            drop(server);
            // The open socket stays alive in the clone, and the number of the descriptor is free
            // for the next one: events of the first must not disturb it.
            (&client).write_all(b"late").unwrap();
            drop(client);
            let mut text = String::new();
            clone.set_read_timeout(None).unwrap();
            (&clone).read_to_string(&mut text).unwrap();
            assert_eq!(text, "late");
        }
    });
}

#[test]
fn buffered_readers_and_writers() {
    enter(|| {
        let (client, server) = pair();
        let server = thread::spawn(move || {
            let mut writer = BufWriter::new(&server);
            for line in BufReader::new(&server).lines() {
                writeln!(writer, "you said {}", line.unwrap()).unwrap();
                writer.flush().unwrap();
            }
        });
        let mut reader = BufReader::new(&client);
        for number in 0..10 {
            writeln!(&client, "{number}").unwrap();
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            assert_eq!(line, format!("you said {number}\n"));
        }
        client.shutdown(Shutdown::Write).unwrap();
        server.join().unwrap();
    });
}
