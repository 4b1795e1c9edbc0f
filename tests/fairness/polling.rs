//! Each public operation that can be called in a loop lets the other threads of the worker run, and
//! a cancelled thread's loop of it ends. Operations that do not yield are missing here;
//! `arch-notes/scheduler.md` lists them.

use std::cell::Cell;
use std::io::{Read as _, Seek as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::OnceLock as StdOnceLock;
use std::sync::mpsc::RecvTimeoutError;

use std::time::{Duration, Instant};

use rustlet::channel::{self, Select, select};
use rustlet::io;
use rustlet::mailbox::Mailbox;
use rustlet::net::{Server, TcpListener, TcpStream, UdpSocket};
use rustlet::os::unix::net::{UnixListener, UnixStream};
use rustlet::process::Command;
use rustlet::sync::{
    Arc, Barrier, Callback, Condvar, Event, LazyLock, Mutex, Once, OnceLock, Parker, RwLock,
    Semaphore, WaitGroup, broadcast, mpsc, oneshot,
};
use rustlet::{Cancelled, Runtime, coroutine, fs, park, spawn, thread, time};

/// Whether the operation unwinds a cancelled thread.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// It waits when it has to, so it may unwind at any time.
    Waits,
    /// It only queries or notifies, so it unwinds only when the thread has done little else for
    /// long.
    Quiet,
}
use Kind::{Quiet, Waits};

/// A case: its name, its kind, and a constructor of the operation.
struct Case(&'static str, Kind, fn() -> Box<dyn FnMut()>);

const HOUR: Duration = Duration::from_secs(3600);
const ZERO: Duration = Duration::ZERO;

/// A runtime that threads of other runtimes query.
fn other() -> &'static Runtime {
    static OTHER: StdOnceLock<Runtime> = StdOnceLock::new();
    OTHER.get_or_init(|| rustlet::Builder::new().workers(1).build().unwrap())
}

macro_rules! cases {
    ($($kind:ident $name:literal: { $($before:tt)* } $op:expr;)*) => {
        &[$(Case($name, $kind, || {
            $($before)*
            #[allow(unused_mut, reason = "some operations need `mut`, others do not")]
            let mut op = move || { let _result = $op; };
            Box::new(move || op())
        })),*]
    };
}

const THREADS: &[Case] = cases! {
    // First, because it takes longer the more threads there were.
    Quiet "runtime::threads": {} rustlet::runtime::threads();
    Quiet "spawn": {} spawn(|| ());
    Quiet "spawn_local": {} thread::spawn_local(|| ());
    Quiet "Builder::spawn": {} thread::Builder::new().spawn(|| ());
    Quiet "Builder::spawn_local": {} thread::Builder::new().spawn_local(|| ());
    Quiet "Runtime::spawn": {} other().spawn(|| ());
    Quiet "Handle::spawn": { let handle = other().handle(); } handle.spawn(|| ());
    Quiet "coroutine": {} coroutine(|_: rustlet::Duplex<(), ()>| ());
    Quiet "repeat": {} rustlet::repeat(HOUR, || ()).cancel();
    Quiet "scope": {} rustlet::scope(|_| ());
    Quiet "scope_cancelling": {} thread::scope_cancelling(|_| ());
    Quiet "JoinHandle::is_finished": { let it = spawn(park); } it.is_finished();
    Quiet "JoinHandle::is_finished, true": { let it = spawn(|| ()); it.done().recv().unwrap(); } it.is_finished();
    Quiet "JoinHandle::cancel": { let it = spawn(|| ()); it.done().recv().unwrap(); } it.cancel();
    Quiet "JoinHandle::done": { let it = spawn(park); } it.done();
    Waits "JoinHandle::join_timeout": { let mut it = Some(spawn(park)); }
        it = it.take().unwrap().join_timeout(ZERO).err();
    Quiet "Thread::unpark": { let it = spawn(park); it.thread().unpark(); } it.thread().unpark();
    Waits "park": {} { rustlet::current().unpark(); park() };
    Waits "park_timeout": {} thread::park_timeout(ZERO);
    Waits "sleep": {} thread::sleep(ZERO);
    Waits "sleep_until": { let now = Instant::now(); } thread::sleep_until(now);
    Waits "yield_now": {} thread::yield_now();
    Waits "unblock": {} rustlet::unblock(|| ());
    Waits "block_on": {} rustlet::block_on(std::future::ready(()));
    Quiet "is_cancelled": {} rustlet::is_cancelled();
    Quiet "timeout": {} rustlet::timeout(HOUR, || ());
    Quiet "deadline": { let end = Instant::now() + HOUR; } rustlet::deadline(end, || ());
    Quiet "shield": {} rustlet::shield(|| ());
    Quiet "available_parallelism": {} thread::available_parallelism();
    Quiet "Runtime::metrics": {} other().metrics();
    Waits "Interval::tick": { let mut ticks = time::interval(ZERO); } ticks.tick();
};

const SYNC: &[Case] = cases! {
    Quiet "Mutex::lock": { let it = Mutex::new(()); } it.lock().unwrap();
    Quiet "Mutex::try_lock": { let it = Mutex::new(()); } it.try_lock().unwrap();
    Quiet "Mutex::try_lock, held": { let it: &Mutex<()> = Box::leak(Box::default()); let held = it.lock().unwrap(); }
        (it.try_lock().is_err(), &held);
    Quiet "Mutex::is_poisoned": { let it = Mutex::new(()); } it.is_poisoned();
    Quiet "Mutex::clear_poison": { let it = Mutex::new(()); } it.clear_poison();
    Quiet "RwLock::read": { let it = RwLock::new(()); } it.read().unwrap();
    Quiet "RwLock::write": { let it = RwLock::new(()); } it.write().unwrap();
    Quiet "RwLock::try_read": { let it = RwLock::new(()); } it.try_read().unwrap();
    Quiet "RwLock::try_write": { let it = RwLock::new(()); } it.try_write().unwrap();
    Quiet "RwLock::is_poisoned": { let it = RwLock::new(()); } it.is_poisoned();
    Quiet "RwLock::clear_poison": { let it = RwLock::new(()); } it.clear_poison();
    Quiet "Condvar::notify_one": { let it = Condvar::new(); } it.notify_one();
    Quiet "Condvar::notify_all": { let it = Condvar::new(); } it.notify_all();
    Quiet "Condvar::wait_while": { let it = Box::new((Mutex::new(()), Condvar::new())); }
        it.1.wait_while(it.0.lock().unwrap(), |_| false).unwrap();
    Quiet "Condvar::wait_while, lock kept": {
        let it: &(Mutex<()>, Condvar) = Box::leak(Box::default());
        let mut held = Some(it.0.lock().unwrap());
    } held = Some(it.1.wait_while(held.take().unwrap(), |_| false).unwrap());
    Quiet "Condvar::wait_timeout_while, lock kept": {
        let it: &(Mutex<()>, Condvar) = Box::leak(Box::default());
        let mut held = Some(it.0.lock().unwrap());
    } held = Some(it.1.wait_timeout_while(held.take().unwrap(), HOUR, |_| false).unwrap().0);
    Waits "Condvar::wait_timeout": { let it = Box::new((Mutex::new(()), Condvar::new())); }
        it.1.wait_timeout(it.0.lock().unwrap(), ZERO).unwrap();
    Quiet "Barrier::wait": { let it = Barrier::new(1); } it.wait();
    Quiet "WaitGroup::wait": {} WaitGroup::new().wait();
    Quiet "Event::is_set": { let it = Event::new(); } it.is_set();
    Quiet "Event::is_set, true": { let it = Event::new(); it.set(); } it.is_set();
    Quiet "Event::set": { let it = Event::new(); } it.set();
    Quiet "Event::clear": { let it = Event::new(); } it.clear();
    Quiet "Event::wait": { let it = Event::new(); it.set(); } it.wait();
    Quiet "Event::wait_timeout": { let it = Event::new(); it.set(); } it.wait_timeout(HOUR);
    Quiet "Callback::call": { let it = Callback::new(); } it.call(());
    Quiet "Callback::wait": { let it = Callback::new(); for _ in 0..200_000 { it.call(()); } } it.wait();
    Quiet "Callback::try_wait": { let it = Callback::<()>::new(); } it.try_wait();
    Quiet "Callback::receiver": { let it = Callback::<()>::new(); } it.receiver();
    Quiet "Parker::park": { let it = Parker::new(); } { it.unparker().unpark(); it.park() };
    Waits "Parker::park_timeout": { let it = Parker::new(); } it.park_timeout(ZERO);
    Quiet "Unparker::unpark": { let it = Parker::new(); } it.unparker().unpark();
    Quiet "Semaphore::available_permits": { let it = Semaphore::new(1); } it.available_permits();
    Quiet "Semaphore::is_closed": { let it = Semaphore::new(1); } it.is_closed();
    Quiet "Semaphore::close": { let it = Semaphore::new(1); } it.close();
    Quiet "Semaphore::add_permits": { let it = Semaphore::new(1); } it.add_permits(0);
    Quiet "Semaphore::forget_permits": { let it = Semaphore::new(1); } it.forget_permits(0);
    Quiet "Semaphore::acquire": { let it = Semaphore::new(1); } it.acquire().unwrap();
    Quiet "Semaphore::acquire_timeout": { let it = Semaphore::new(1); } it.acquire_timeout(HOUR).unwrap();
    Quiet "Semaphore::acquire_owned": { let it = Arc::new(Semaphore::new(1)); } Arc::clone(&it).acquire_owned().unwrap();
    Quiet "Semaphore::try_acquire": { let it = Semaphore::new(1); } it.try_acquire().unwrap();
    Quiet "Semaphore::try_acquire, none": { let it = Semaphore::new(0); } it.try_acquire().unwrap_err();
    Quiet "Semaphore::acquire, closed": { let it = Semaphore::new(0); it.close(); } it.acquire().unwrap_err();
    Quiet "oneshot::Sender::is_closed": { let it = Box::new(oneshot::channel::<()>()); } it.0.is_closed();
    Quiet "oneshot::Receiver::try_recv": { let it = Box::new(oneshot::channel::<()>()); } it.1.try_recv().unwrap_err();
    Quiet "oneshot::Receiver::recv": { let it = oneshot::channel::<()>().1; } it.recv().unwrap_err();
    Quiet "oneshot::Receiver::recv_timeout": { let it = oneshot::channel::<()>().1; } it.recv_timeout(HOUR).unwrap_err();
    Quiet "oneshot::Receiver::close": { let it = Box::new(oneshot::channel::<()>()); } it.1.close();
    Quiet "oneshot::Receiver::receiver": { let it = Box::new(oneshot::channel::<()>()); } it.1.receiver();
    Quiet "broadcast::Sender::len": { let it = Box::new(broadcast::channel::<()>(1)); } it.0.len();
    Quiet "broadcast::Sender::is_empty": { let it = Box::new(broadcast::channel::<()>(1)); } it.0.is_empty();
    Quiet "broadcast::Sender::receiver_count": { let it = Box::new(broadcast::channel::<()>(1)); } it.0.receiver_count();
    Waits "broadcast::Sender::send": { let it = Box::new(broadcast::channel::<()>(1)); } it.0.send(()).unwrap();
    Quiet "broadcast::Receiver::len": { let it = Box::new(broadcast::channel::<()>(1)); } it.1.len();
    Quiet "broadcast::Receiver::is_empty": { let it = Box::new(broadcast::channel::<()>(1)); } it.1.is_empty();
    Waits "broadcast::Receiver::try_recv": { let mut it = Box::new(broadcast::channel::<()>(1)); } it.1.try_recv().unwrap_err();
    Waits "broadcast::Receiver::recv": { let mut it = broadcast::channel::<()>(1).1; } it.recv().unwrap_err();
    Quiet "Once::is_completed": { let it = Once::new(); } it.is_completed();
    Quiet "OnceLock::get": { let it = OnceLock::<()>::new(); } it.get().is_some();
    Quiet "OnceLock::set": { let it = OnceLock::from(()); } it.set(()).unwrap_err();
    Quiet "LazyLock::get": { let it = LazyLock::<()>::new(|| ()); } LazyLock::get(&it).is_some();
    Waits "mpsc::Sender::send": { let it = Box::new(mpsc::channel()); } it.0.send(()).unwrap();
    Waits "mpsc::SyncSender::try_send": { let it = Box::new(mpsc::sync_channel(0)); } it.0.try_send(()).unwrap_err();
    Waits "mpsc::Receiver::try_recv": { let it = Box::new(mpsc::channel::<()>()); } it.1.try_recv().unwrap_err();
    Waits "mpsc::Receiver::recv": { let it = mpsc::channel::<()>().1; } it.recv().unwrap_err();
    Waits "mpsc::Receiver::try_iter": { let it = Box::new(mpsc::channel::<()>()); } it.1.try_iter().next();
};

const CHANNELS: &[Case] = cases! {
    Quiet "channel::Sender::len": { let it = Box::new(channel::bounded::<()>(1)); } it.0.len();
    Quiet "channel::Sender::is_empty": { let it = Box::new(channel::bounded::<()>(1)); } it.0.is_empty();
    Quiet "channel::Sender::is_full": { let it = Box::new(channel::bounded::<()>(1)); } it.0.is_full();
    Quiet "channel::Receiver::len": { let it = Box::new(channel::bounded::<()>(1)); } it.1.len();
    Quiet "channel::Receiver::is_empty": { let it = Box::new(channel::bounded::<()>(1)); } it.1.is_empty();
    Quiet "channel::Receiver::is_full": { let it = Box::new(channel::bounded::<()>(1)); } it.1.is_full();
    Quiet "channel::after, is_empty": { let it = Box::new(channel::after(HOUR)); } it.is_empty();
    Waits "channel::after, try_recv": { let it = Box::new(channel::after(HOUR)); } it.try_recv().unwrap_err();
    Waits "channel::tick, recv": { let it = Box::new(channel::tick(ZERO)); } it.recv().unwrap();
    Quiet "channel::never, len": { let it = Box::new(channel::never::<()>()); } it.len();
    Waits "channel::Receiver::try_recv": { let it = Box::new(channel::unbounded::<()>()); } it.1.try_recv().unwrap_err();
    Waits "channel::Receiver::try_iter": { let it = Box::new(channel::unbounded::<()>()); } it.1.try_iter().next();
    Waits "channel::Receiver::recv, disconnected": { let it = channel::unbounded::<()>().1; } it.recv().unwrap_err();
    Waits "channel::Sender::send": { let it = Box::new(channel::unbounded()); } it.0.send(()).unwrap();
    Waits "channel::Sender::send, disconnected": { let it = channel::unbounded().0; } it.send(()).unwrap_err();
    Waits "channel::Sender::try_send": { let it = Box::new(channel::bounded(0)); } it.0.try_send(()).unwrap_err();
    Waits "channel::Sender::send_timeout": { let it = Box::new(channel::bounded(0)); } it.0.send_timeout((), ZERO).unwrap_err();
    Waits "Select::try_select": { let it = Box::new(channel::unbounded::<()>()); }
        { let mut list = Select::new(); list.recv(&it.1); list.try_select().unwrap_err() };
    Waits "Select::try_ready": { let it = Box::new(channel::unbounded::<()>()); }
        { let mut list = Select::new(); list.recv(&it.1); list.try_ready().unwrap_err() };
    Waits "Select::ready": { let it = channel::unbounded::<()>().1; }
        { let mut list = Select::new(); list.recv(&it); list.ready() };
    Waits "select!, default": { let it = Box::new(channel::unbounded::<()>()); } select! { recv(it.1) -> _ => (), default => () };
    Waits "select!, disconnected": { let it = channel::unbounded::<()>().1; } select! { recv(it) -> _ => () };
    Quiet "Mailbox::len": { let it = Mailbox::<()>::new(); } it.len();
    Quiet "Mailbox::is_empty": { let it = Mailbox::<()>::new(); } it.is_empty();
    Waits "Mailbox::try_receive": { let it = Mailbox::<()>::new(); } it.try_receive().unwrap_err();
    Waits "Mailbox::receive": { let it = Mailbox::<()>::new(); } it.receive().unwrap_err();
    Waits "Address::send": { let it = Mailbox::new(); let to = it.address(); } { let _kept = &it; to.send(()).unwrap() };
    Quiet "Coroutine::is_alive": { let it = coroutine(|it: rustlet::Duplex<(), ()>| assert!(it.get().is_err())); } it.is_alive();
    Quiet "Coroutine::put, closed": { let it = coroutine(|_: rustlet::Duplex<(), ()>| ()); it.close(); }
        it.put(()).unwrap_err();
    Waits "Coroutine::get, closed": { let it = coroutine(|_: rustlet::Duplex<(), ()>| ()); it.close(); }
        it.get().unwrap_err();
    Quiet "Coroutine::close": { let it = coroutine(|_: rustlet::Duplex<(), ()>| ()); } it.close();
    Quiet "Coroutine::cancel": { let it = coroutine(|_: rustlet::Duplex<(), ()>| ()); } it.cancel();
};

fn listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let other = listener.accept().unwrap().0;
    one.set_nonblocking(true).unwrap();
    (one, other)
}

fn ended_child() -> rustlet::process::Child {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child
}

const IO: &[Case] = cases! {
    Quiet "TcpListener::local_addr": { let it = listener(); } it.local_addr().unwrap();
    Quiet "TcpListener::ttl": { let it = listener(); } it.ttl().unwrap();
    Quiet "TcpListener::set_nonblocking": { let it = listener(); } it.set_nonblocking(true).unwrap();
    Quiet "TcpListener::take_error": { let it = listener(); } it.take_error().unwrap();
    Quiet "TcpListener::try_clone": { let it = listener(); } it.try_clone().unwrap();
    Waits "TcpListener::accept": { let it = listener(); } it.accept().unwrap_err();
    Quiet "TcpStream::peer_addr": { let it = Box::new(pair()); } it.0.peer_addr().unwrap();
    Quiet "TcpStream::nodelay": { let it = Box::new(pair()); } it.0.nodelay().unwrap();
    Quiet "TcpStream::read_timeout": { let it = Box::new(pair()); } it.0.read_timeout().unwrap();
    Quiet "TcpStream::set_read_timeout": { let it = Box::new(pair()); } it.0.set_read_timeout(None).unwrap();
    Quiet "TcpStream::shutdown": { let it = Box::new(pair()); } it.0.shutdown(std::net::Shutdown::Write);
    Waits "TcpStream::read": { let mut it = Box::new(pair()); } it.0.read(&mut [0]).unwrap_err();
    Waits "TcpStream::peek": { let it = Box::new(pair()); } it.0.peek(&mut [0]).unwrap_err();
    Waits "TcpStream::write": { let mut it = Box::new(pair()); while it.0.write(&[0; 1 << 16]).is_ok() {} } it.0.write(&[0]).unwrap_err();
    Quiet "UdpSocket::broadcast": { let it = UdpSocket::bind("127.0.0.1:0").unwrap(); } it.broadcast().unwrap();
    Waits "UdpSocket::recv": { let it = UdpSocket::bind("127.0.0.1:0").unwrap(); it.set_nonblocking(true).unwrap(); }
        it.recv(&mut [0]).unwrap_err();
    Quiet "UnixStream::local_addr": { let it = Box::new(UnixStream::pair().unwrap()); } it.0.local_addr().unwrap();
    Waits "UnixStream::read": { let mut it = Box::new(UnixStream::pair().unwrap()); it.0.set_nonblocking(true).unwrap(); }
        it.0.read(&mut [0]).unwrap_err();
    Quiet "ServerHandle::connections": { let it = Server::bind("127.0.0.1:0").unwrap().handle(); } it.connections();
    Quiet "ServerHandle::is_shutting_down": { let it = Server::bind("127.0.0.1:0").unwrap().handle(); } it.is_shutting_down();
    Waits "ServerHandle::shutdown": { let it = Server::bind("127.0.0.1:0").unwrap().handle(); } it.shutdown();
    Waits "PipeReader::read": { let mut it = io::pipe().unwrap().0; } it.read(&mut [0]).unwrap();
    Quiet "PipeReader::try_clone": { let it = Box::new(io::pipe().unwrap()); } it.0.try_clone().unwrap();
    Quiet "Stderr::lock": {} io::stderr().lock();
    Quiet "Stdout::lock": {} io::stdout().lock();
    Waits "Watch::wait_readable_timeout": { let it = io::Watch::new(std::io::pipe().unwrap().0).unwrap(); }
        it.wait_readable_timeout(ZERO).unwrap();
    Quiet "Watch::readable, is_empty": { let it = io::Watch::new(std::io::pipe().unwrap().0).unwrap(); }
        it.readable().is_empty();
    Waits "fs::exists": {} fs::exists("/").unwrap();
    Quiet "File::try_clone": { let it = fs::File::open("/").unwrap(); } it.try_clone().unwrap();
    Quiet "Child::try_wait": { let mut it = ended_child(); } it.try_wait().unwrap();
    Quiet "Child::kill": { let mut it = ended_child(); } it.kill();
    Quiet "Child::exited": { let it = ended_child(); } it.exited();
    Quiet "Child::exited, is_empty": { let it = ended_child().exited(); } it.is_empty();
    Quiet "Child::wait": { let mut it = ended_child(); } it.wait().unwrap();
    Quiet "Child::wait_timeout": { let mut it = ended_child(); } it.wait_timeout(ZERO).unwrap();
    Quiet "TcpListener::bind": {} TcpListener::bind("127.0.0.1:0").unwrap();
    Waits "TcpListener::bind, in use": { let it = listener(); } TcpListener::bind(it.local_addr().unwrap()).unwrap_err();
    Waits "TcpStream::connect, refused": { let to = listener().local_addr().unwrap(); } TcpStream::connect(to).unwrap_err();
    Waits "TcpStream::connect_timeout, refused": { let to = listener().local_addr().unwrap(); }
        TcpStream::connect_timeout(&to, HOUR).unwrap_err();
    Waits "UnixStream::connect, none": {} UnixStream::connect("/nowhere").unwrap_err();
    Quiet "UnixListener::bind, none": {} UnixListener::bind("/nowhere/at/all").unwrap_err();
    Quiet "UnixStream::pair": {} UnixStream::pair().unwrap();
    Quiet "UdpSocket::bind": {} UdpSocket::bind("127.0.0.1:0").unwrap();
    Waits "UdpSocket::connect": { let it = UdpSocket::bind("127.0.0.1:0").unwrap(); } it.connect(it.local_addr().unwrap()).unwrap();
    Waits "UdpSocket::send_to": { let it = UdpSocket::bind("127.0.0.1:0").unwrap(); let to = it.local_addr().unwrap(); }
        it.send_to(b"x", to).unwrap();
    Quiet "io::pipe": {} io::pipe().unwrap();
    Waits "Stdout::write": {} io::stdout().write(b"").unwrap();
    Waits "Stdout::flush": {} io::stdout().flush().unwrap();
    Waits "Stderr::write": {} io::stderr().write(b"").unwrap();
    Waits "File::read": { let mut it = fs::File::open("/dev/null").unwrap(); } it.read(&mut [0]).unwrap();
    Waits "File::read, empty": { let mut it = fs::File::open("/dev/null").unwrap(); } it.read(&mut []).unwrap();
    Quiet "File::seek": { let mut it = fs::File::open("/").unwrap(); } it.stream_position().unwrap();
    Waits "PipeWriter::write, empty": { let mut it = Box::new(io::pipe().unwrap()); } it.1.write(b"").unwrap();
    Waits "File::write": { let mut it = fs::File::create("/dev/null").unwrap(); } it.write(b"x").unwrap();
    Waits "TcpStream::write, empty": { let mut it = Box::new(pair()); } it.0.write(b"").unwrap();
    Waits "TcpStream::read, empty": { let mut it = Box::new(pair()); } it.0.read(&mut []).unwrap_err();
    Quiet "Server::bind": {} Server::bind("127.0.0.1:0").unwrap();
};

/// Runs `f` for each case on a worker of its own, and ends the process, with the name of the case,
/// if one takes forever.
fn for_each(cases: &[Case], f: impl Fn(&Case) + Sync) {
    let (now, is_now) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut name = "";
        loop {
            match is_now.recv_timeout(Duration::from_secs(60)) {
                Ok(next) => name = next,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("a loop of this keeps its worker forever: {name}");
                    std::process::abort();
                }
            }
        }
    });
    other();
    for case in cases {
        now.send(case.0).unwrap();
        crate::on_workers(1, || f(case));
    }
}

/// Another ready thread of the worker runs.
fn lets_another_run(&Case(_, _, make): &Case) {
    let mut op = make();
    let has_run = Rc::new(Cell::new(false));
    let runs = Rc::clone(&has_run);
    thread::spawn_local(move || runs.set(true));
    while !has_run.get() {
        op();
    }
}

/// A quiet operation does not unwind a cancelled thread within this many calls.
const SURELY_QUIET: usize = 2_000;

/// A cancelled thread that does nothing else ends.
fn ends_cancelled(&Case(name, kind, make): &Case) {
    let (is_made, is_cancelled) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let (made, cancelled) = (Rc::clone(&is_made), Rc::clone(&is_cancelled));
    let looping = thread::spawn_local(move || {
        let mut op = make();
        made.set(true);
        rustlet::shield(|| {
            while !cancelled.get() {
                thread::yield_now();
            }
        });
        if kind == Quiet {
            let quiet = catch_unwind(AssertUnwindSafe(|| (0..SURELY_QUIET).for_each(|_| op())));
            if quiet.is_err() {
                return false;
            }
        }
        loop {
            op();
        }
    });
    while !is_made.get() {
        thread::yield_now();
    }
    looping.cancel();
    is_cancelled.set(true);
    match looping.join() {
        Ok(_) => panic!("a question or a signal has unwound: {name}"),
        Err(payload) => assert!(Cancelled::is(&payload), "{name}"),
    }
}

#[test]
fn a_loop_of_thread_operations_yields() {
    for_each(THREADS, lets_another_run);
}

#[test]
fn a_loop_of_lock_and_signal_operations_yields() {
    for_each(SYNC, lets_another_run);
}

#[test]
fn a_loop_of_channel_operations_yields() {
    for_each(CHANNELS, lets_another_run);
}

#[test]
fn a_loop_of_io_operations_yields() {
    for_each(IO, lets_another_run);
}

#[test]
fn a_cancelled_loop_of_thread_operations_ends() {
    for_each(THREADS, ends_cancelled);
}

#[test]
fn a_cancelled_loop_of_lock_and_signal_operations_ends() {
    for_each(SYNC, ends_cancelled);
}

#[test]
fn a_cancelled_loop_of_channel_operations_ends() {
    for_each(CHANNELS, ends_cancelled);
}

#[test]
fn a_cancelled_loop_of_io_operations_ends() {
    for_each(IO, ends_cancelled);
}

#[test]
fn a_loop_that_polls_a_scoped_thread_yields() {
    crate::on_workers(1, || {
        rustlet::scope(|s| {
            let thread = s.spawn(|| ());
            while !thread.is_finished() {}
        });
    });
}

/// A query is made in destructors, too, where an unwinding would abort.
#[test]
fn a_poll_in_a_destructor_yields_and_does_not_unwind() {
    struct Asks(Mutex<u32>);
    impl Drop for Asks {
        fn drop(&mut self) {
            for _ in 0..100_000 {
                *self.0.lock().unwrap() += 1;
            }
        }
    }
    crate::on_workers(1, || {
        let asks = Asks(Mutex::new(0));
        let thread = spawn(move || {
            let _asks = asks;
            park();
        });
        thread::yield_now();
        thread.cancel();
        assert!(Cancelled::is(&thread.join().unwrap_err()));
    });
}

/// A time limit ends a loop of it.
#[test]
fn a_loop_of_polls_is_ended_by_a_time_limit() {
    crate::on_workers(1, || {
        let parked = spawn(park);
        let ended = rustlet::timeout(Duration::from_millis(1), || while !parked.is_finished() {});
        assert!(ended.is_err());
    });
}

/// A loop within one of the library's operations: neither end waits.
#[test]
fn an_endless_copy_yields() {
    struct Until(Rc<Cell<bool>>);
    impl std::io::Write for Until {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            match self.0.get() {
                true => Err(std::io::ErrorKind::BrokenPipe.into()),
                false => Ok(buf.len()),
            }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    crate::on_workers(1, || {
        let has_run = Rc::new(Cell::new(false));
        let runs = Rc::clone(&has_run);
        thread::spawn_local(move || runs.set(true));
        io::copy(&mut std::io::repeat(1), &mut Until(has_run)).unwrap_err();
    });
}
