//! Waiting for descriptors of other libraries, and for ends of threads: the functions, `Watch`,
//! `done`, alone and in `select!`.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

mod support;

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::fcntl_getfl;
use rustlet::channel::{Select, after, bounded, never, select, unbounded};
use rustlet::io::{
    Watch, wait_readable, wait_readable_timeout, wait_writable, wait_writable_timeout,
};

/// Inside a runtime of one worker, of two, and on an OS thread.
fn everywhere(case: fn()) {
    for workers in [1, 2] {
        let runtime = rustlet::Builder::new().workers(workers).build().unwrap();
        runtime.run(case);
    }
    case();
}

fn pipe() -> (PipeReader, PipeWriter) {
    io::pipe().unwrap()
}

/// Writes a byte, from another thread of the caller's kind, after some yields.
fn write_later(mut writer: PipeWriter) -> rustlet::JoinHandle<PipeWriter> {
    rustlet::spawn(move || {
        (0..3).for_each(|_| rustlet::yield_now());
        writer.write_all(b"x").unwrap();
        writer
    })
}

#[test]
fn readable_means_that_a_read_does_not_wait() {
    everywhere(|| {
        let (mut reader, writer) = pipe();
        let flags = fcntl_getfl(&reader).unwrap();
        let writer = write_later(writer);
        wait_readable(&reader).unwrap();
        // The wait took nothing, and changed nothing.
        wait_readable(reader.as_fd()).unwrap();
        assert!(wait_readable_timeout(&reader, Duration::ZERO).unwrap());
        assert_eq!(fcntl_getfl(&reader).unwrap(), flags);
        reader.read_exact(&mut [0]).unwrap();
        let writer = writer.join().unwrap();
        assert!(!wait_readable_timeout(&reader, Duration::ZERO).unwrap());
        assert!(!wait_readable_timeout(&reader, Duration::from_millis(1)).unwrap());
        drop(writer);
        // The end can be read as well.
        wait_readable(&reader).unwrap();
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn writable_means_that_there_is_room() {
    everywhere(|| {
        let (mut reader, writer) = pipe();
        wait_writable(&writer).unwrap();
        fill(&writer);
        assert!(!wait_writable_timeout(&writer, Duration::from_millis(1)).unwrap());
        let drain = rustlet::spawn(move || {
            rustlet::yield_now();
            reader.read_exact(&mut [0; 32 * 1024]).unwrap();
            reader
        });
        wait_writable(&writer).unwrap();
        let reader = drain.join().unwrap();
        fill(&writer);
        drop(reader);
        // An error counts as ready, too.
        assert!(wait_writable_timeout(&writer, Duration::MAX).unwrap());
        assert_eq!(
            (&writer).write(b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
    });
}

/// Writes until there is no room.
fn fill(writer: &PipeWriter) {
    rustix::io::ioctl_fionbio(writer, true).unwrap();
    while rustix::io::write(writer, &[0; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(writer, false).unwrap();
}

#[test]
fn files_are_always_ready_and_closed_descriptors_are_not() {
    everywhere(|| {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        wait_readable(&file).unwrap();
        wait_writable(&file).unwrap();
        let watch = Watch::new(file).unwrap();
        watch.wait_readable().unwrap();
        watch.readable().recv().unwrap();
        watch.writable().recv().unwrap();
        wait_readable(std::fs::File::open("/").unwrap()).unwrap();

        // SAFETY: no descriptor of this test is open under this number, and it is only polled.
        #[allow(unsafe_code, reason = "a descriptor that is closed")]
        let closed = unsafe { BorrowedFd::borrow_raw(900_000) };
        let bad = |error: io::Error| assert_eq!(error.raw_os_error(), Some(9), "{error}");
        bad(wait_readable(closed).unwrap_err());
        bad(wait_writable(closed).unwrap_err());
        bad(wait_readable_timeout(closed, Duration::from_secs(1)).unwrap_err());
        bad(Watch::new(closed).unwrap_err());
    });
}

#[test]
fn a_fifo() {
    let folder = std::env::temp_dir().join(format!("rustlet-watch-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let open = path.clone();
    rustlet::run(move || {
        // For both directions, so that neither the opening waits nor the end arrives.
        let fifo = std::fs::File::options()
            .read(true)
            .write(true)
            .open(open)
            .unwrap();
        assert!(!wait_readable_timeout(&fifo, Duration::from_millis(1)).unwrap());
        let reader = fifo.try_clone().unwrap();
        let waiter = rustlet::spawn(move || {
            wait_readable(&reader).unwrap();
            (&reader).read(&mut [0; 8]).unwrap()
        });
        rustlet::yield_now();
        (&fifo).write_all(b"abc").unwrap();
        assert_eq!(waiter.join().unwrap(), 3);
    });
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn no_wait_blocks_the_worker() {
    let runtime = rustlet::Builder::new().workers(1).build().unwrap();
    for wait in [
        |reader: PipeReader| wait_readable(reader).unwrap(),
        |reader| assert!(wait_readable_timeout(reader, Duration::from_secs(60)).unwrap()),
        |reader| Watch::new(reader).unwrap().wait_readable().unwrap(),
        |reader| Watch::new(reader).unwrap().readable().recv().unwrap(),
        |reader| {
            let watch = Watch::new(reader).unwrap();
            select! {
                recv(watch.readable()) -> ready => ready.unwrap(),
                recv(never::<()>()) -> _ => unreachable!(),
            }
        },
    ] {
        runtime.run(move || {
            let (reader, mut writer) = pipe();
            let waiter = rustlet::spawn_local(move || wait(reader));
            for _ in 0..100 {
                rustlet::yield_now();
            }
            assert!(!waiter.is_finished());
            writer.write_all(b"x").unwrap();
            waiter.join().unwrap();
        });
    }
}

#[test]
fn several_wait_for_one_descriptor() {
    everywhere(|| {
        let (mut reader, writer) = pipe();
        let both = Arc::new(Watch::new(reader.try_clone().unwrap()).unwrap());
        let waiters: Vec<_> = (0..12)
            .map(|n| {
                let (both, reader) = (Arc::clone(&both), reader.try_clone().unwrap());
                let wait = move || match n % 4 {
                    0 => both.wait_readable().unwrap(),
                    1 => both.readable().recv().unwrap(),
                    2 => wait_readable(reader).unwrap(),
                    _ => Watch::new(reader).unwrap().readable().recv().unwrap(),
                };
                if n < 8 {
                    (Some(rustlet::spawn(wait)), None)
                } else {
                    (None, Some(std::thread::spawn(wait)))
                }
            })
            .collect();
        let writer = write_later(writer).join().unwrap();
        for (green, os) in waiters {
            // All of them, because none takes the byte.
            green.into_iter().for_each(|thread| thread.join().unwrap());
            os.into_iter().for_each(|thread| thread.join().unwrap());
        }
        reader.read_exact(&mut [0]).unwrap();
        assert!(!both.wait_readable_timeout(Duration::ZERO).unwrap());
        drop(writer);
    });
}

/// Readers that race for each byte: the late ones wake up for nothing, and must be notified of the
/// next one.
#[test]
fn a_waiter_that_found_nothing_is_woken_again() {
    let rounds = support::stress(300);
    let racers = |os: usize| {
        let (reader, mut writer) = pipe();
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        let reader = Arc::new(Watch::new(reader).unwrap());
        let (count, counted) = unbounded();
        let race = |how: usize| {
            let (reader, count) = (Arc::clone(&reader), count.clone());
            move || loop {
                match how {
                    0 => reader.wait_readable().unwrap(),
                    _ => reader.readable().recv().unwrap(),
                }
                match reader.get_ref().read(&mut [0]) {
                    Ok(0) => return,
                    Ok(_) => count.send(()).unwrap(),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
        };
        let green: Vec<_> = (0..4).map(|n| rustlet::spawn(race(n % 2))).collect();
        let os: Vec<_> = (0..os).map(|n| std::thread::spawn(race(n % 2))).collect();
        for _ in 0..rounds {
            writer.write_all(b"x").unwrap();
            counted.recv().unwrap();
        }
        drop(writer);
        green.into_iter().for_each(|thread| thread.join().unwrap());
        os.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(counted.try_recv().is_err());
    };
    for workers in [1, 2] {
        let runtime = rustlet::Builder::new().workers(workers).build().unwrap();
        runtime.run(|| racers(0));
        runtime.run(|| racers(2));
    }
}

#[test]
fn a_watch_in_a_select_has_no_effect_when_it_loses() {
    everywhere(|| {
        let (reader, mut writer) = pipe();
        let reader = Watch::new(reader).unwrap();
        let (sender, receiver) = bounded(1);
        for round in 0..100 {
            sender.send(round).unwrap();
            select! {
                recv(receiver) -> message => assert_eq!(message, Ok(round)),
                recv(reader.readable()) -> _ => panic!("nothing is there"),
            }
            writer.write_all(b"x").unwrap();
            select! {
                recv(receiver) -> _ => panic!("nothing was sent"),
                recv(reader.readable()) -> ready => ready.unwrap(),
            }
            reader.get_ref().read_exact(&mut [0]).unwrap();
            select! {
                recv(reader.readable()) -> _ => panic!("it was read"),
                recv(after(Duration::from_micros(10))) -> _ => {}
            }
        }
        // The same with the builder.
        let readable = reader.readable();
        let mut choice = Select::new();
        let (first, second) = (choice.recv(&receiver), choice.recv(&readable));
        assert!(choice.try_ready().is_err());
        let writer = write_later(writer);
        assert_eq!(choice.ready(), second);
        sender.send(1).unwrap();
        let operation = choice.select();
        match operation.index() {
            index if index == first => drop(operation.recv(&receiver).unwrap()),
            _ => operation.recv(&readable).unwrap(),
        }
        writer.join().unwrap();
    });
}

#[test]
fn both_ways_at_once() {
    everywhere(|| {
        let (one, two) = std::os::unix::net::UnixStream::pair().unwrap();
        one.set_nonblocking(true).unwrap();
        while (&one).write(&[0; 4096]).is_ok() {}
        let one = Watch::new(one).unwrap();
        let echo = rustlet::spawn(move || {
            rustlet::yield_now();
            (&two).write_all(b"x").unwrap();
            two
        });
        select! {
            recv(one.readable()) -> _ => {}
            recv(one.writable()) -> _ => panic!("it is full"),
        }
        let two = echo.join().unwrap();
        one.get_ref().read_exact(&mut [0]).unwrap();
        let drain = rustlet::spawn(move || {
            rustlet::yield_now();
            two.set_nonblocking(true).unwrap();
            while (&two).read(&mut [0; 4096]).is_ok() {}
            two
        });
        select! {
            recv(one.readable()) -> _ => panic!("nothing is there"),
            recv(one.writable()) -> _ => {}
        }
        drop(drain.join().unwrap());
        one.wait_readable().unwrap();
    });
}

#[test]
fn a_cancelled_wait_unwinds_and_the_next_one_works() {
    let runtime = rustlet::Builder::new().workers(1).build().unwrap();
    runtime.run(|| {
        let (reader, mut writer) = pipe();
        let reader = Arc::new(Watch::new(reader).unwrap());
        for how in 0..3 {
            let its = Arc::clone(&reader);
            let waiter = rustlet::spawn_local(move || match how {
                0 => its.wait_readable().unwrap(),
                1 => its.readable().recv().unwrap(),
                _ => wait_readable(its.get_ref()).unwrap(),
            });
            rustlet::yield_now();
            waiter.cancel();
            assert!(waiter.join().unwrap_err().is::<rustlet::Cancelled>());
        }
        writer.write_all(b"x").unwrap();
        reader.wait_readable().unwrap();
        reader.readable().recv().unwrap();
    });
}

#[test]
fn a_watch_moves_between_runtimes_and_threads() {
    let (reader, mut writer) = pipe();
    let mut watch = Watch::new(reader).unwrap();
    for _ in 0..3 {
        let runtime = rustlet::Builder::new().workers(1).build().unwrap();
        watch = runtime.run(|| {
            assert!(
                !watch
                    .wait_readable_timeout(Duration::from_millis(1))
                    .unwrap()
            );
            let short = Duration::from_millis(1);
            assert!(watch.readable().recv_timeout(short).is_err());
            watch
        });
        let short = Duration::from_millis(1);
        assert!(watch.readable().recv_timeout(short).is_err());
    }
    let receiver = watch.readable();
    let reader = watch.into_inner();
    writer.write_all(b"x").unwrap();
    // A receiver outlives the watch.
    assert_eq!(receiver.recv(), Ok(()));
    let runtime = rustlet::Builder::new().workers(1).build().unwrap();
    assert_eq!(runtime.run(move || receiver.recv()), Ok(()));
    drop(reader);
    // That was the last handle of the pipe, except for the poll thread, which may be a moment late.
    let error = loop {
        if let Err(error) = writer.write(b"x") {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_socket_of_ours_can_be_watched_as_well() {
    use rustlet::net::{TcpListener, TcpStream};
    rustlet::run(|| {
        let listener = Watch::new(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        let address = listener.get_ref().local_addr().unwrap();
        let client = rustlet::spawn(move || TcpStream::connect(address).unwrap());
        select! {
            recv(listener.readable()) -> _ => {}
            recv(after(Duration::from_secs(60))) -> _ => panic!("no event arrived"),
        }
        let (stream, _) = listener.get_ref().accept().unwrap();
        let client = client.join().unwrap();
        // Registered twice, by the stream itself and by the watch.
        let watch = Watch::new(&stream).unwrap();
        assert!(
            !watch
                .wait_readable_timeout(Duration::from_millis(1))
                .unwrap()
        );
        let reader = rustlet::spawn_local({
            let stream = stream.try_clone().unwrap();
            move || (&stream).read(&mut [0; 2]).unwrap()
        });
        rustlet::yield_now();
        (&client).write_all(b"xy").unwrap();
        assert_eq!(reader.join().unwrap(), 2);
        assert!(!watch.wait_readable_timeout(Duration::ZERO).unwrap());
        drop(client);
        watch.wait_readable().unwrap();
    });
}

#[test]
fn traits_and_debug() {
    fn traits<T: Send + Sync + Unpin + std::panic::UnwindSafe + AsFd>(_: &T) {}
    let (reader, _writer) = pipe();
    let number = reader.as_raw_fd();
    let watch = Watch::new(OwnedFd::from(reader)).unwrap();
    traits(&watch);
    assert_eq!(watch.as_fd().as_raw_fd(), number);
    assert_eq!(
        format!("{watch:?}"),
        format!("Watch({:?})", watch.get_ref())
    );
}

#[test]
fn done_is_ready_for_ever_and_carries_nothing_away() {
    everywhere(|| {
        let go = Arc::new(AtomicBool::new(false));
        let thread = rustlet::spawn({
            let go = Arc::clone(&go);
            move || {
                while !go.load(Ordering::Relaxed) {
                    rustlet::sleep(Duration::from_micros(50));
                }
                String::from("result")
            }
        });
        let (first, second) = (thread.done(), thread.done().clone());
        assert!(first.try_recv().is_err());
        select! {
            recv(first) -> _ => panic!("it has not ended"),
            default => {}
        }
        go.store(true, Ordering::Relaxed);
        select! {
            recv(second) -> ended => assert_eq!(ended, Ok(())),
            recv(never::<()>()) -> _ => unreachable!(),
        }
        for _ in 0..3 {
            assert_eq!((first.recv(), second.try_recv()), (Ok(()), Ok(())));
            assert_eq!(thread.done().recv(), Ok(()));
        }
        assert!(thread.is_finished());
        assert_eq!(thread.join().unwrap(), "result");
        assert_eq!(first.recv(), Ok(()));
    });
}

#[test]
fn done_of_threads_that_are_cancelled_panic_or_are_detached() {
    everywhere(|| {
        let parked = rustlet::spawn(rustlet::park);
        let done = parked.done();
        parked.cancel();
        done.recv().unwrap();
        assert!(parked.join().unwrap_err().is::<rustlet::Cancelled>());

        let failing = rustlet::spawn(|| -> () { std::panic::resume_unwind(Box::new(7)) });
        failing.done().recv().unwrap();
        assert_eq!(failing.join().unwrap_err().downcast_ref(), Some(&7));

        // The receivers outlive the handle, the result does not.
        struct Tell(rustlet::channel::Sender<()>);
        impl Drop for Tell {
            fn drop(&mut self) {
                self.0.send(()).unwrap();
            }
        }
        let (sender, dropped) = unbounded();
        let thread = rustlet::spawn(move || {
            rustlet::yield_now();
            Tell(sender)
        });
        let done = thread.done();
        drop(thread);
        done.recv().unwrap();
        assert_eq!(dropped.recv(), Ok(()));
    });
}

#[test]
fn joining_a_watched_thread_waits_for_it() {
    everywhere(|| {
        let thread = rustlet::spawn(|| {
            rustlet::sleep(Duration::from_millis(2));
            5
        });
        let done = thread.done();
        assert_eq!(thread.join().unwrap(), 5);
        assert_eq!(done.try_recv(), Ok(()));
    });
    // A cancelled joiner leaves, and the watched thread is not affected.
    let runtime = rustlet::Builder::new().workers(1).build().unwrap();
    runtime.run(|| {
        let thread = rustlet::spawn(rustlet::park);
        let (done, unparker) = (thread.done(), thread.thread().clone());
        let joiner = rustlet::spawn_local(move || thread.join());
        rustlet::yield_now();
        joiner.cancel();
        assert!(joiner.join().unwrap_err().is::<rustlet::Cancelled>());
        assert!(done.try_recv().is_err());
        unparker.unpark();
        done.recv().unwrap();
    });
}

#[test]
fn many_ends_notify_many_receivers() {
    let count = support::stress(200);
    for workers in [1, 2] {
        let runtime = rustlet::Builder::new().workers(workers).build().unwrap();
        runtime.run(|| {
            let watchers: Vec<_> = (0..count)
                .map(|n| {
                    let thread = rustlet::spawn(move || {
                        (0..n % 5).for_each(|_| rustlet::yield_now());
                    });
                    let (one, two) = (thread.done(), thread.done());
                    if n % 3 == 0 {
                        drop(thread);
                    } else {
                        rustlet::spawn(move || thread.join().unwrap());
                    }
                    let green = rustlet::spawn(move || one.recv().unwrap());
                    (green, two)
                })
                .collect();
            for (green, two) in watchers {
                green.join().unwrap();
                assert_eq!(two.try_recv(), Ok(()));
            }
        });
    }
}

#[test]
fn a_select_that_is_cancelled_forgets_what_it_waited_for() {
    let runtime = rustlet::Builder::new().workers(1).build().unwrap();
    runtime.run(|| {
        let (reader, _writer) = pipe();
        let watch = Watch::new(reader).unwrap();
        let thread = rustlet::spawn(rustlet::park);
        let (readable, done) = (watch.readable(), thread.done());
        let waiter = rustlet::spawn_local(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                select! {
                    recv(readable) -> _ => {}
                    recv(done) -> _ => {}
                }
            }));
            assert!(outcome.is_err());
        });
        rustlet::yield_now();
        waiter.cancel();
        waiter.join().unwrap();
    });
}

/// An OS thread has the poll thread wait for a descriptor; where that thread cannot start, it polls
/// by itself, and leaves nothing behind: the watched descriptor is closed with the last watcher.
#[test]
fn a_select_without_a_free_descriptor_leaves_nothing_behind() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let name = "a_select_without_a_free_descriptor_leaves_nothing_behind";
    let output = support::child(name, || {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let current = Some(100);
        setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
        let (reader, mut writer) = pipe();
        let watch = Watch::new(reader).unwrap();
        let open: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
        assert!(!open.is_empty());
        select! {
            recv(watch.readable()) -> _ => unreachable!("no data is written"),
            recv(after(Duration::from_millis(1))) -> _ => {}
        }
        drop(watch);
        let error = writer.write(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        drop(open);
    });
    support::succeeded(&output);
}
