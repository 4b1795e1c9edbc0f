//! Green threads inside a foreign event loop: an epoll loop that has descriptors of its own, and a `Worker` among them.
//!
//! ```console
//! $ cargo run --example worker_epoll
//! ```
//!
//! The loop watches a timerfd of its own, as a GUI's toolkit would watch its display, and the worker's descriptor. On the worker
//! runs an echo server with a client. The loop sleeps in `epoll_wait` and nowhere else. The run checks itself.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::time::Duration;

use rustix::event::epoll;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use rustlet::Worker;
use rustlet::net::{TcpListener, TcpStream};

const WORKER: u64 = 1;
const BLINK: u64 = 2;

fn main() -> io::Result<()> {
    Worker::scope(poll_loop)
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

    // The foreign loop: level-triggered, as is epoll's default.
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
                    worker.tick(); // what is left keeps the descriptor readable
                }
                _ => {
                    let mut count = [0; 8];
                    rustix::io::read(&blink, &mut count)?;
                    blinks += u64::from_ne_bytes(count);
                }
            }
        }
    }

    // All have ended, so nobody waits here.
    let sent = client.join().expect("the client has not panicked")?;
    let echoed = server.join().expect("the server has not panicked")?;
    println!("{echoed} bytes echoed, {blinks} blinks, {turns} turns of the loop");
    assert_eq!((sent, echoed), (100, 100));
    assert!(blinks >= 5, "the loop's own timer went on");
    Ok(())
}

/// A timer of the loop's own.
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
