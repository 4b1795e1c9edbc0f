//! Green threads inside another event loop: an epoll loop with descriptors of its own and a
//! `Worker`.
//!
//! What it shows: the descriptor of a worker is readable when the worker has something to do. The
//! loop also watches a timerfd of its own, as a GUI toolkit watches its display. The worker runs an
//! echo server and a client. The loop sleeps in `epoll_wait` only. The program checks itself.
//!
//! ```sh
//! cargo run --release --example worker_epoll
//! ```
//!
//! To try: `strace -f -e epoll_wait target/release/examples/worker_epoll`.

mod support;

use rustix::event::epoll;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use rustlet::Worker;
use rustlet::net::{TcpListener, TcpStream};

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
[--help]

Runs an echo server on green threads inside an epoll loop.";

const WORKER: u64 = 1;
const BLINK: u64 = 2;

fn main() -> ExitCode {
    support::main(HELP, |args| {
        args.end()?;
        Ok(Worker::scope(poll_loop)?)
    })
}

fn poll_loop(worker: &Worker) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;

    let server = worker.assign(move || -> io::Result<u64> {
        let (stream, _) = listener.accept()?;
        io::copy(&mut &stream, &mut &stream)
    });
    let client = worker.assign(move || -> io::Result<usize> {
        let mut stream = TcpStream::connect(address)?;
        let mut answer = [0; 5];
        for _ in 0..20 {
            stream.write_all(b"hello")?;
            stream.read_exact(&mut answer)?;
            assert_eq!(&answer, b"hello");
            rustlet::sleep(Duration::from_millis(5));
        }
        Ok(20 * answer.len())
    });

    // The other loop. Events are level-triggered, epoll's default.
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let blink = every(Duration::from_millis(10))?;
    let watch = |key| (epoll::EventData::new_u64(key), epoll::EventFlags::IN);
    let (key, readable) = watch(WORKER);
    epoll::add(&poller, worker, key, readable)?;
    let (key, readable) = watch(BLINK);
    epoll::add(&poller, &blink, key, readable)?;

    let (mut turns, mut blinks) = (0, 0);
    while worker.live() > 0 {
        let mut space = [const { MaybeUninit::uninit() }; 8];
        let (events, _) = epoll::wait(&poller, &mut space, None)?;
        turns += 1;
        for event in events {
            match event.data.u64() {
                WORKER => {
                    worker.tick(); // the descriptor stays readable while work is left
                }
                _ => {
                    let mut count = [0; 8];
                    rustix::io::read(&blink, &mut count)?;
                    blinks += u64::from_ne_bytes(count);
                }
            }
        }
    }

    // Both threads have ended, so these joins do not wait.
    let sent = client.join().expect("the client has not panicked")?;
    let echoed = server.join().expect("the server has not panicked")?;
    println!("{echoed} bytes echoed, {blinks} blinks, {turns} turns of the loop");
    assert_eq!((sent, echoed), (100, 100));
    assert!(blinks >= 5, "the loop's own timer went on");
    Ok(())
}

/// A timerfd of the loop.
fn every(period: Duration) -> io::Result<rustix::fd::OwnedFd> {
    let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
    let period = Timespec {
        tv_sec: period.as_secs() as i64,
        tv_nsec: i64::from(period.subsec_nanos()),
    };
    let setting = Itimerspec {
        it_interval: period,
        it_value: period,
    };
    rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting)?;
    Ok(timer)
}
