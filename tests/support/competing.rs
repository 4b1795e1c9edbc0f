//! A listening socket that both std and rustlet have a handle of.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Returns whether the open file is in non-blocking mode.
pub(crate) fn is_nonblocking(fd: impl AsFd) -> bool {
    let flags = rustix::fs::fcntl_getfl(fd).expect("an open file");
    flags.contains(rustix::fs::OFlags::NONBLOCK)
}

/// Connects clients one after the other, each when a green thread of the single worker allows it,
/// so that a worker blocked in `accept` stops them all. `ours` and `theirs` accept from one socket
/// and compete for each client: the worker is idle when a client connects, and is woken together
/// with the OS thread that blocks in std's call. No call of that thread may fail. `connect` is
/// std's, `connect_green` is rustlet's.
pub(crate) fn accept_in_competition<A: Write, B: Write, C: Read, D: Read>(
    ours: impl Fn() -> io::Result<A> + Send + 'static,
    theirs: impl Fn() -> io::Result<B> + Send + 'static,
    connect: impl Fn() -> C + Send + 'static,
    connect_green: impl Fn() -> D + Send,
) {
    const CLIENTS: usize = 3_000;
    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    let competitor = std::thread::spawn(move || {
        loop {
            let mut stream = theirs().expect("std's listener blocks, as it always has");
            if stop.load(SeqCst) {
                return;
            }
            stream.write_all(b"s").unwrap();
        }
    });
    let (let_in, may_come) = rustlet::channel::bounded(0);
    let clients = std::thread::spawn(move || {
        for () in may_come {
            connect().read_exact(&mut [0]).unwrap();
        }
    });
    super::on_one_worker(move || {
        let accepting = rustlet::spawn(move || {
            loop {
                ours().unwrap().write_all(b"o").unwrap();
            }
        });
        for _ in 0..CLIENTS {
            let_in.send(()).unwrap();
        }
        drop(let_in);
        rustlet::unblock(|| clients.join().unwrap());
        accepting.cancel();
        assert!(accepting.join().is_err());
        // No green thread waits for it any more: std's handle gets it.
        let mut last = [0];
        connect_green().read_exact(&mut last).unwrap();
        assert_eq!(&last, b"s");
        done.store(true, SeqCst);
        let _last = connect_green();
    });
    competitor.join().unwrap();
}
