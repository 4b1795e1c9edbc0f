//! Streams, listeners and datagram sockets.

use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustlet::block_on;
use rustlet::future::timeout;
use rustlet::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use rustlet::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use super::{LONG, assert_pending, everywhere, tell, waker_of_an_ended_thread, woken};

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

async fn read(stream: &TcpStream, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while filled < size {
        let rest = &mut bytes[filled..];
        let count = poll_fn(|context| stream.poll_read(context, rest))
            .await
            .unwrap();
        if count == 0 {
            break;
        }
        filled += count;
    }
    bytes.truncate(filled);
    bytes
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let count = poll_fn(|context| stream.poll_write(context, bytes))
            .await
            .unwrap();
        bytes = &bytes[count..];
    }
}

/// Much more than the buffers of a connection hold.
const MUCH: usize = 8 << 20;

#[test]
fn much_goes_through_a_stream_in_both_directions() {
    everywhere(async || {
        let (one, other) = tcp_pair();
        let echo = rustlet::spawn(move || {
            block_on(async {
                loop {
                    let some = read(&other, 1).await;
                    if some.is_empty() {
                        return other.shutdown(Shutdown::Write).unwrap();
                    }
                    write(&other, &some).await;
                    let mut rest = vec![0; 1 << 16];
                    let count = poll_fn(|context| other.poll_read(context, &mut rest))
                        .await
                        .unwrap();
                    write(&other, &rest[..count]).await;
                }
            });
        });
        let sent: Vec<u8> = (0..MUCH).map(|n| (n % 251) as u8).collect();
        let one = Arc::new(one);
        let (writer, bytes) = (Arc::clone(&one), sent.clone());
        let writing = rustlet::spawn(move || {
            block_on(write(&writer, &bytes));
            writer.shutdown(Shutdown::Write).unwrap();
        });
        assert!(read(&one, MUCH).await == sent);
        assert!(read(&one, 1).await.is_empty(), "the end");
        writing.await.unwrap();
        echo.await.unwrap();
    });
}

/// One direction by one OS thread each, with executors of their own.
#[test]
fn two_os_threads_poll_one_stream() {
    let (one, other) = tcp_pair();
    let sent: Vec<u8> = (0..MUCH).map(|n| (n % 241) as u8).collect();
    std::thread::scope(|s| {
        s.spawn(|| super::block_on_os_thread(write(&one, &sent)));
        s.spawn(|| super::block_on_os_thread(write(&other, &sent)));
        s.spawn(|| assert!(super::block_on_os_thread(read(&one, MUCH)) == sent));
        assert!(super::block_on_os_thread(read(&other, MUCH)) == sent);
    });
}

#[test]
fn vectored_reads_and_writes() {
    everywhere(async || {
        let (one, other) = tcp_pair();
        let bufs = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
        let count = poll_fn(|context| one.poll_write_vectored(context, &bufs)).await;
        assert_eq!(count.unwrap(), 5);
        poll_fn(|context| other.poll_readable(context))
            .await
            .unwrap();
        let (mut a, mut b) = ([0; 1], [0; 8]);
        let mut bufs = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
        let count = poll_fn(|context| other.poll_read_vectored(context, &mut bufs)).await;
        assert_eq!((count.unwrap(), &a, &b[..4]), (5, b"a", &b"bcde"[..]));
        let nothing = poll_fn(|context| other.poll_read(context, &mut [])).await;
        assert_eq!(nothing.unwrap(), 0);
    });
}

/// A poll that is pending has taken nothing, and its task delays no other waiter: threads that wait
/// in blocking calls get all bytes, also those behind others in the queue.
#[test]
fn a_task_that_is_dropped_takes_nothing() {
    for workers in [1, 2] {
        let runtime = rustlet::Builder::new().workers(workers).build().unwrap();
        runtime.run(|| {
            let (one, mut other) = tcp_pair();
            let one = Arc::new(one);
            let (waker, told) = tell();
            assert_pending(|context| one.poll_read(context, &mut [0]), &waker);
            let reader = || {
                let one = Arc::clone(&one);
                rustlet::spawn(move || (&*one).read(&mut [0]).unwrap())
            };
            let readers = [(); 4].map(|()| reader());
            rustlet::yield_now();
            assert_pending(|context| one.poll_read(context, &mut [0]), &waker);
            for reader in readers {
                other.write_all(b"x").unwrap();
                drop(reader);
            }
            other.write_all(b"yz").unwrap();
            woken(&told);
            let readers = [(); 2].map(|()| reader());
            readers
                .into_iter()
                .for_each(|reader| assert_eq!(reader.join().unwrap(), 1));
        });
    }
}

#[test]
fn of_two_wakers_in_turn_the_last_is_woken() {
    everywhere(async || {
        let (one, mut other) = tcp_pair();
        let ((first, not_told), (last, told)) = (tell(), tell());
        assert_pending(|context| one.poll_read(context, &mut [0]), &first);
        assert_pending(|context| one.poll_read(context, &mut [0]), &last);
        rustlet::spawn(move || other.write_all(b"x").map(|()| other))
            .await
            .unwrap()
            .unwrap();
        woken(&told);
        assert!(not_told.try_recv().is_err());
        assert_eq!(read(&one, 1).await, b"x");
    });
}

/// The two directions have a waker each.
#[test]
fn a_reader_and_a_writer_do_not_disturb_each_other() {
    everywhere(async || {
        let (one, mut other) = tcp_pair();
        let ((reader, read_told), (writer, write_told)) = (tell(), tell());
        assert_pending(|context| one.poll_read(context, &mut [0]), &reader);
        let some = [0; 1 << 16];
        let full = |context: &mut Context<'_>| {
            while let Poll::Ready(written) = one.poll_write(context, &some) {
                written.unwrap();
            }
            Poll::<()>::Pending
        };
        assert_pending(full, &writer);
        let other = rustlet::spawn(move || other.write_all(b"x").map(|()| other));
        let mut other = other.await.unwrap().unwrap();
        woken(&read_told);
        // There is room when enough of it has been read.
        other.set_nonblocking(true).unwrap();
        let drain = rustlet::spawn(move || {
            let mut some = vec![0; 1 << 16];
            while write_told.try_recv().is_err() {
                match other.read(&mut some) {
                    Ok(count) => assert!(count > 0),
                    Err(_) => rustlet::yield_now(),
                }
            }
        });
        timeout(LONG, drain).await.unwrap().unwrap();
    });
}

#[test]
fn waker_of_a_thread_that_has_ended_does_nothing() {
    everywhere(async || {
        let (one, mut other) = tcp_pair();
        let waker = waker_of_an_ended_thread();
        assert_pending(|context| one.poll_read(context, &mut [0]), &waker);
        drop(waker);
        let other = rustlet::spawn(move || other.write_all(b"x").map(|()| other));
        other.await.unwrap().unwrap();
        assert_eq!(read(&one, 1).await, b"x");
    });
}

/// The worker that watches the stream ends while a task of elsewhere waits.
#[test]
fn the_runtime_that_watches_the_stream_ends() {
    for workers in [1, 2] {
        let (one, mut other) = tcp_pair();
        let (waker, told) = tell();
        let runtime = rustlet::Builder::new().workers(workers).build().unwrap();
        runtime.run(|| assert_pending(|context| one.poll_read(context, &mut [0]), &waker));
        drop(runtime);
        woken(&told);
        // The next poll finds another reactor.
        assert_pending(|context| one.poll_read(context, &mut [0]), &waker);
        other.write_all(b"x").unwrap();
        woken(&told);
        assert_eq!(super::block_on_os_thread(read(&one, 1)), b"x");
        let next = rustlet::Builder::new().workers(workers).build().unwrap();
        other.write_all(b"y").unwrap();
        assert_eq!(next.run(|| block_on(read(&one, 1))), b"y");
    }
}

#[test]
fn accepts() {
    everywhere(async || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (waker, told) = tell();
        assert_pending(|context| listener.poll_accept(context), &waker);
        let address = listener.local_addr().unwrap();
        let client = rustlet::spawn(move || TcpStream::connect(address).unwrap());
        let client = client.await.unwrap();
        woken(&told);
        let (stream, peer) = poll_fn(|context| listener.poll_accept(context))
            .await
            .unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        write(&stream, b"x").await;
        assert_eq!(read(&client, 1).await, b"x");
    });
    let path = std::env::temp_dir().join(format!("rustlet-accepts-{}", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let accept = poll_fn(|context| listener.poll_accept(context));
    let connect = std::thread::spawn({
        let path = path.clone();
        move || UnixStream::connect(path).unwrap()
    });
    let (stream, _) = block_on(accept).unwrap();
    std::fs::remove_file(path).unwrap();
    drop(stream);
    assert_eq!(connect.join().unwrap().read(&mut [0]).unwrap(), 0);
}

#[test]
fn datagrams() {
    everywhere(async || {
        let bind = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let (one, other) = (bind(), bind());
        let (waker, told) = tell();
        let mut buf = [0; 8];
        assert_pending(|context| one.poll_recv_from(context, &mut buf), &waker);
        let address = one.local_addr().unwrap();
        let sent = poll_fn(|context| other.poll_send_to(context, b"hello", address)).await;
        assert_eq!(sent.unwrap(), 5);
        woken(&told);
        let (count, from) = poll_fn(|context| one.poll_recv_from(context, &mut buf))
            .await
            .unwrap();
        assert_eq!(
            (&buf[..count], from),
            (&b"hello"[..], other.local_addr().unwrap())
        );
        one.connect(from).unwrap();
        other.connect(address).unwrap();
        poll_fn(|context| one.poll_send(context, b"back"))
            .await
            .unwrap();
        let count = poll_fn(|context| other.poll_recv(context, &mut buf))
            .await
            .unwrap();
        assert_eq!(&buf[..count], b"back");
    });
}

#[test]
fn the_end_and_errors_come_out_of_polls() {
    everywhere(async || {
        let (one, other) = tcp_pair();
        let (waker, told) = tell();
        assert_pending(|context| one.poll_read(context, &mut [0]), &waker);
        drop(other);
        woken(&told);
        assert!(read(&one, 1).await.is_empty());
        let until_it_fails = async {
            loop {
                let written = poll_fn(|context| one.poll_write(context, b"x")).await;
                if let Err(error) = written {
                    return error.kind();
                }
                rustlet::future::sleep(Duration::from_millis(1)).await;
            }
        };
        let kind = timeout(LONG, until_it_fails).await.unwrap();
        assert!(
            matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
            "{kind}"
        );
    });
}

/// The system does not report that the receiver's queue has room again, nor that the peer of a
/// stream with a full buffer was shut down.
#[test]
fn unix_sockets_that_nothing_is_reported_of_are_tried_again() {
    everywhere(async || {
        let path = std::env::temp_dir().join(format!(
            "rustlet-full-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let receiver = UnixDatagram::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        let (waker, told) = tell();
        let mut sent = 0;
        let full = |context: &mut Context<'_>| {
            while let Poll::Ready(count) = sender.poll_send_to(context, b"x", &path) {
                sent += count.unwrap();
            }
            Poll::<()>::Pending
        };
        assert_pending(full, &waker);
        woken(&told);
        let all = rustlet::spawn(move || {
            for _ in 0..sent + 1 {
                receiver.recv(&mut [0]).unwrap();
            }
        });
        poll_fn(|context| sender.poll_send_to(context, b"x", &path))
            .await
            .unwrap();
        all.await.unwrap();
        std::fs::remove_file(&path).unwrap();

        let (one, other) = UnixStream::pair().unwrap();
        let some = [0; 1 << 16];
        let full = |context: &mut Context<'_>| {
            while let Poll::Ready(count) = one.poll_write(context, &some) {
                count.unwrap();
            }
            Poll::<()>::Pending
        };
        assert_pending(full, &waker);
        other.shutdown(Shutdown::Read).unwrap();
        let written = poll_fn(|context| one.poll_write(context, b"x")).await;
        assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

/// Tasks that never have to wait yield to the other green threads of their worker.
#[test]
fn a_task_that_is_always_ready_lets_others_run() {
    let runtime = rustlet::Builder::new().workers(1).build().unwrap();
    runtime.run(|| {
        let (one, mut other) = tcp_pair();
        let ran = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let runs = Arc::clone(&ran);
        rustlet::spawn_local(move || runs.store(true, std::sync::atomic::Ordering::Relaxed));
        block_on(async {
            while !ran.load(std::sync::atomic::Ordering::Relaxed) {
                poll_fn(|context| one.poll_write(context, b"x"))
                    .await
                    .unwrap();
                other.read_exact(&mut [0]).unwrap();
            }
        });
    });
}
