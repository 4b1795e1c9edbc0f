//! tokio's sockets and timers on green threads: `rustlet::tokio::block_on`.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustlet::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Handle, Runtime};

const THREADS: usize = 100;
const ROUNDS: u8 = 5;

fn tokio() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a tokio runtime")
}

/// Starts a server on the tokio runtime that sends all bytes back, and returns its address.
fn echo(handle: &Handle) -> std::net::SocketAddr {
    rustlet::tokio::block_on(handle, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    tokio::io::copy(&mut reader, &mut writer).await
                });
            }
        });
        address
    })
}

/// Sends some bytes and reads them back, with a pause before each.
async fn client(address: std::net::SocketAddr, pause: impl Fn()) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    for round in 0..ROUNDS {
        tokio::time::sleep(Duration::from_millis(1)).await;
        pause();
        stream.write_all(&[round]).await?;
        // A new task needs the runtime as well.
        let answer = tokio::spawn(async move {
            let mut answer = [0];
            stream
                .read_exact(&mut answer)
                .await
                .map(|_| (stream, answer))
        });
        let answer = answer.await.expect("the task does not panic");
        let [byte];
        (stream, [byte]) = answer?;
        assert_eq!(byte, round);
    }
    Ok(())
}

pub fn exchange() {
    for workers in [1, 2] {
        let (one, other) = (tokio(), tokio());
        let rustlet = rustlet::Builder::new().workers(workers).build();
        rustlet.expect("a runtime").run(|| {
            many(one.handle());
            waits_in_a_poll(one.handle(), other.handle());
            cancelled(one.handle());
        });
    }
    // An OS thread blocks.
    let runtime = tokio();
    let address = echo(runtime.handle());
    let done = rustlet::tokio::block_on(runtime.handle(), client(address, || {}));
    done.expect("the exchange");
}

/// Many green threads, each with a connection and a timer.
fn many(handle: &Handle) {
    let address = echo(handle);
    rustlet::scope(|s| {
        for _ in 0..THREADS {
            s.spawn(|| {
                let done = rustlet::tokio::block_on(handle, client(address, || {}));
                done.expect("the exchange");
            });
        }
    });
}

/// The `async` code makes blocking calls of rustlet, so the green thread waits in the middle of a
/// poll, and others enter and leave their runtimes meanwhile.
fn waits_in_a_poll(handle: &Handle, other: &Handle) {
    let addresses = [echo(handle), echo(other)];
    rustlet::scope(|s| {
        for n in 0..THREADS {
            let (inner, outer) = if n % 2 == 0 {
                (handle, other)
            } else {
                (other, handle)
            };
            s.spawn(move || {
                let pause = || {
                    rustlet::yield_now();
                    rustlet::sleep(Duration::from_millis(1));
                    // Nested, with another runtime.
                    rustlet::tokio::block_on(outer, async {
                        rustlet::yield_now();
                        assert_eq!(Handle::current().id(), outer.id());
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        rustlet::sleep(Duration::from_millis(1));
                        assert_eq!(Handle::current().id(), outer.id());
                    });
                    assert_eq!(Handle::current().id(), inner.id());
                };
                let done = rustlet::tokio::block_on(inner, client(addresses[n % 2], pause));
                done.expect("the exchange");
            });
        }
    });
    assert!(Handle::try_current().is_err(), "nothing is left entered");
}

/// Cancelled while they wait, in a poll or between two: the futures are dropped, within the
/// runtime.
fn cancelled(handle: &Handle) {
    struct Guard(Arc<AtomicUsize>);
    impl Drop for Guard {
        fn drop(&mut self) {
            // Panics outside of a runtime.
            tokio::spawn(pending::<()>()).abort();
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let address = echo(handle);
    let dropped = Arc::new(AtomicUsize::new(0));
    let (ready, all) = rustlet::channel::unbounded();
    let threads: Vec<_> = (0..THREADS)
        .map(|n| {
            let (handle, dropped, ready) = (handle.clone(), Arc::clone(&dropped), ready.clone());
            rustlet::spawn(move || {
                rustlet::tokio::block_on(&handle, async move {
                    let _guard = Guard(dropped);
                    let mut stream = TcpStream::connect(address).await.expect("a connection");
                    ready.send(()).expect("the receiver waits");
                    match n % 3 {
                        0 => _ = stream.read(&mut [0]).await,
                        1 => tokio::time::sleep(Duration::MAX).await,
                        _ => rustlet::park(),
                    }
                });
            })
        })
        .collect();
    all.iter().take(THREADS).for_each(drop);
    threads.iter().for_each(rustlet::JoinHandle::cancel);
    for thread in threads {
        let end = thread.join().expect_err("it was cancelled");
        assert!(end.is::<rustlet::Cancelled>());
    }
    assert_eq!(dropped.load(Ordering::Relaxed), THREADS);
    assert!(Handle::try_current().is_err(), "nothing is left entered");
    many(handle);
}
