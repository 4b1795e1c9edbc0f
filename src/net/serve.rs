//! `serve` and `Server`: one green thread for each connection, and a robust accept loop.
//!
//! - **V1** `Shared::live` counts the connections whose handler has not ended: incremented by the
//!   accepting thread before the spawn, decremented by `Connection::drop`, which also runs when the
//!   handler panics, is cancelled, or never starts.
//! - **V2** The accepting thread sets `waiting`, then checks the state, then parks; a thread that
//!   changes the state changes it first and then checks `waiting`. All four are `SeqCst`, so one of
//!   the two sees the other's store and no wake-up is lost.
//! - **V3** The listening socket is the server's own: there is no other handle to it, so shutting
//!   it down, which ends a wait in `accept`, affects no other code.
//! - **V4** A connection has one entry in `Shared::open`, made by whichever is first: the acceptor,
//!   with the handle of its thread, or its end. The second removes it. So an entry with a handle is
//!   of a running thread, which can be cancelled.
//! - **V5** A thread that cancels sets `cancelled` under the lock of `open`, under which the
//!   acceptor checks it when it enters a handle: a connection that was accepted at the last moment
//!   is cancelled by one or the other.
//!
//! `Shortage` reports a lack of descriptors or memory on stderr.
//!
//! `serve` runs on one thread, green or not; a handle may be used from any.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rustix::io::Errno;

use super::accept_error::{AcceptError, Shortage};
use super::{TcpListener, TcpStream, ToSocketAddrs};
use crate::green::completion::PackedWaiter;
use crate::green::{Reason, Unparker, Wait, Wake, park};
use crate::shim::lock;
use crate::sys::{clock, sock};
use crate::thread::{self, JoinHandle};

/// The pause after a transient failure: the first, and the longest that doubling leads to.
const MIN_PAUSE: Duration = Duration::from_millis(5);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Listens on `addr` and runs `handler` for each connection, in a green thread of its own, forever.
///
/// It keeps running after a peer that leaves before it is accepted; after a lack of descriptors,
/// memory or threads (with pauses from 5 ms, doubling to 1 s, cut short when a connection ends; a
/// lack of descriptors or memory is reported on stderr once for each episode); and after a panic of
/// a handler, which ends only its connection. If no thread can be created for a connection, it is
/// closed.
///
/// To limit the number of connections, or to stop, use [`Server`].
///
/// # Errors
///
/// Returns an error if it cannot bind the address, as [`TcpListener::bind`], or if the listener
/// fails permanently. It never returns `Ok`.
///
/// # Suspends
///
/// Suspends the calling green thread; blocks an OS thread.
///
/// # Examples
///
/// ```no_run
/// use rustlet::net;
/// use std::io;
///
/// fn main() -> io::Result<()> {
///     rustlet::run(|| {
///         net::serve("127.0.0.1:7777", |stream| {
///             let _ = io::copy(&mut &stream, &mut &stream);
///         })
///     })
/// }
/// ```
#[doc(alias = "ListenAndServe")]
#[doc(alias = "StreamServer")]
#[track_caller]
pub fn serve<A, H>(addr: A, handler: H) -> io::Result<()>
where
    A: ToSocketAddrs,
    H: Fn(TcpStream) + Send + Sync + 'static,
{
    Server::bind(addr)?.serve(handler)
}

/// A TCP server: [`serve`] with a known address, a limit on connections, and a
/// [handle](ServerHandle) that stops it.
///
/// # Examples
///
/// ```
/// use rustlet::net::{Server, TcpStream};
/// use rustlet::thread;
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// rustlet::run(|| {
///     let server = Server::bind("127.0.0.1:0")?.max_connections(100);
///     let addr = server.local_addr()?;
///     let handle = server.handle();
///     let serving = thread::spawn(move || {
///         server.serve(|mut stream| stream.write_all(b"hello").unwrap())
///     });
///
///     let mut text = String::new();
///     TcpStream::connect(addr)?.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///
///     handle.shutdown();
///     serving.join().unwrap()
/// })
/// # }
/// ```
#[doc(alias = "StreamServer")]
#[derive(Debug)]
#[must_use = "a server does nothing until `serve` is called"]
pub struct Server {
    shared: Arc<Shared>,
    max_connections: usize,
}

/// Handle to stop a [`Server`], from any thread. Clones belong to the same server.
///
/// # Examples
///
/// ```
/// use rustlet::net::Server;
///
/// # fn main() -> std::io::Result<()> {
/// rustlet::run(|| {
///     let server = Server::bind("127.0.0.1:0")?;
///     let handle = server.handle();
///     handle.shutdown();
///     assert_eq!(handle.connections(), 0);
///     server.serve(|_| unreachable!("it was stopped before it started"))
/// })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ServerHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    listener: TcpListener,
    live: AtomicUsize,
    stopping: AtomicBool,
    waiting: AtomicBool,
    /// Woken by this, not by its thread's token, which belongs to the user.
    acceptor: OnceLock<Unparker>,
    next: AtomicU64,
    open: Mutex<Connections>,
}

/// The connections as threads (V4, V5), and the threads that wait until there are none.
#[derive(Debug, Default)]
struct Connections {
    /// `Some` handle, or `None`: it ended before the handle was entered.
    threads: HashMap<u64, Option<JoinHandle<()>>>,
    cancelled: bool,
    drain_waiters: Vec<Unparker>,
}

impl Server {
    /// Binds to `addr`, as [`TcpListener::bind`]; connections are queued until
    /// [`serve`](Server::serve) is called.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`TcpListener::bind`].
    ///
    /// # Examples
    ///
    /// ```
    /// let server = rustlet::net::Server::bind("127.0.0.1:0")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Server> {
        let shared = Shared {
            listener: TcpListener::bind(addr)?,
            live: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
            acceptor: OnceLock::new(),
            next: AtomicU64::new(0),
            open: Mutex::default(),
        };
        Ok(Server {
            shared: Arc::new(shared),
            max_connections: usize::MAX,
        })
    }

    /// Limits the number of simultaneous connections; 0 counts as 1. Default: no limit. Further
    /// connections wait in the system's queue.
    ///
    /// # Examples
    ///
    /// ```
    /// let server = rustlet::net::Server::bind("127.0.0.1:0")?.max_connections(10_000);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn max_connections(mut self, max: usize) -> Server {
        self.max_connections = max.max(1);
        self
    }

    /// Returns the address that the server listens on, with the port that the system chose if 0 was
    /// given.
    ///
    /// # Errors
    ///
    /// Returns the error of the system call; none is known.
    ///
    /// # Examples
    ///
    /// ```
    /// let server = rustlet::net::Server::bind("127.0.0.1:0")?;
    /// assert_ne!(server.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.listener.local_addr()
    }

    /// Returns a handle to stop the server.
    ///
    /// # Examples
    ///
    /// ```
    /// let handle = rustlet::net::Server::bind("127.0.0.1:0")?.handle();
    /// assert_eq!(handle.connections(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Runs `handler` for each connection, as the function [`serve`](crate::net::serve()), until
    /// the server is stopped. Then it accepts no more connections, waits until all handlers have
    /// ended, and returns `Ok`.
    ///
    /// # Errors
    ///
    /// Returns an error if the listener fails permanently. Open connections keep running then.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds. Open connections keep running, and later clients are refused.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::net::Server;
    ///
    /// fn main() -> std::io::Result<()> {
    ///     rustlet::run(|| Server::bind("127.0.0.1:7777")?.serve(|stream| println!("{stream:?}")))
    /// }
    /// ```
    #[track_caller]
    pub fn serve<H>(self, handler: H) -> io::Result<()>
    where
        H: Fn(TcpStream) + Send + Sync + 'static,
    {
        let shared = self.shared;
        let handler = Arc::new(handler);
        let mut pause = MIN_PAUSE;
        let mut shortage = Shortage::default();
        // The only call: it consumes the server.
        shared.acceptor.get_or_init(Unparker::current);
        let _refusing = Refusing(&shared);

        loop {
            shared.wait_until(Reason::Accept, || {
                shared.is_stopping() || shared.live() < self.max_connections
            });
            if shared.is_stopping() {
                shared.wait_until(Reason::Drain, || shared.live() == 0);
                return Ok(());
            }
            let served = match shared.listener.accept() {
                Ok((stream, _)) => {
                    shortage.accepted();
                    start(&shared, &handler, stream)
                }
                Err(error) => {
                    shortage.failed(&shared.listener, &error);
                    Err(error)
                }
            };
            match served {
                Ok(()) => pause = MIN_PAUSE,
                Err(_) if shared.is_stopping() => {}
                Err(error) => match AcceptError::of(&error) {
                    AcceptError::Transient => {}
                    AcceptError::Backoff => {
                        shared.pause(pause);
                        pause = (pause * 2).min(MAX_PAUSE);
                    }
                    AcceptError::Fatal => return Err(error),
                },
            }
        }
    }
}

/// Marks that no thread accepts any more, for whatever reason: no client may wait for it, although
/// a handle keeps the listener.
struct Refusing<'a>(&'a Shared);

impl Drop for Refusing<'_> {
    fn drop(&mut self) {
        // It has failed, was shut down before, or cannot be shut down: then it listens until the
        // last handle is dropped.
        let _refused = sock::shutdown(self.0.listener.fd(), Shutdown::Both);
    }
}

/// Spawns the thread of a connection; drops both if no thread can be created. The place of the
/// spawn is that of the user's call of `serve`.
#[track_caller]
fn start<H>(shared: &Arc<Shared>, handler: &Arc<H>, stream: TcpStream) -> io::Result<()>
where
    H: Fn(TcpStream) + Send + Sync + 'static,
{
    let connection = Connection::new(shared);
    let number = connection.number;
    let handler = Arc::clone(handler);
    let serve_one = move || {
        let _connection = connection;
        handler(stream);
    };
    match thread::Builder::new().spawn(serve_one) {
        Ok(thread) => {
            shared.enter(number, thread);
            Ok(())
        }
        Err(_) => {
            // The end of a connection that never started has left an entry.
            lock(&shared.open).threads.remove(&number);
            // Whatever the runtime's error is, threads become available when others end.
            Err(Errno::NOMEM.into())
        }
    }
}

impl ServerHandle {
    /// Stops the server: it accepts no more connections, and [`Server::serve`] returns when the
    /// open ones have ended. Does not wait. A server that does not serve yet returns at once when
    /// `serve` is called.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::Server;
    ///
    /// rustlet::run(|| {
    ///     let server = Server::bind("127.0.0.1:0")?;
    ///     server.handle().shutdown();
    ///     server.serve(|_| unreachable!())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn shutdown(&self) {
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        let shared = &self.shared;
        shared.stopping.store(true, SeqCst);
        // V3. Where a listening socket cannot be shut down (not Linux), a connection of our own
        //     ends the wait.
        if sock::shutdown(shared.listener.fd(), Shutdown::Both).is_err()
            && let Ok(addr) = shared.listener.local_addr()
        {
            drop(TcpStream::connect(addr));
        }
        shared.wake();
    }

    /// Stops the server like [`shutdown`](ServerHandle::shutdown), waits for at most `grace` until
    /// all connections have ended, and then cancels the rest. Returns the number of cancelled
    /// connections.
    ///
    /// A cancelled handler unwinds from its current wait. In a [`shield`](crate::shield), or a
    /// computation without a wait, it goes on until the next wait; [`Server::serve`] returns when
    /// the last one has ended. A connection that is idle between two requests looks like a busy
    /// one. A handler that calls [`is_shutting_down`](ServerHandle::is_shutting_down) after each
    /// request, and waits for the next one with a time limit, ends by itself.
    ///
    /// # Panics
    ///
    /// Panics if there are connections to cancel, in a program that is built with
    /// `panic = "abort"`.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread for at most `grace`; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; the server continues its shutdown, and no connection is cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::{Server, TcpStream};
    /// use std::io::Read;
    /// use std::time::Duration;
    ///
    /// rustlet::run(|| {
    ///     let server = Server::bind("127.0.0.1:0")?;
    ///     let (address, handle) = (server.local_addr()?, server.handle());
    ///     let serving = rustlet::spawn(move || server.serve(|mut stream| {
    ///         // Forever: the client sends nothing.
    ///         let _ = stream.read(&mut [0]);
    ///     }));
    ///     let _client = TcpStream::connect(address)?;
    ///     while handle.connections() == 0 {
    ///         rustlet::yield_now();
    ///     }
    ///     assert_eq!(handle.shutdown_timeout(Duration::from_millis(1)), 1);
    ///     serving.join().unwrap()
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[doc(alias = "graceful")]
    #[track_caller]
    pub fn shutdown_timeout(&self, grace: Duration) -> usize {
        let wait = Wait::new(Reason::Drain).until(clock::after(grace));
        self.shutdown();
        self.shared.drain(&wait);
        self.shared.cancel_all()
    }

    /// Returns `true` if the server was stopped: a good moment for a handler to end, between two
    /// requests.
    ///
    /// # Examples
    ///
    /// ```
    /// let handle = rustlet::net::Server::bind("127.0.0.1:0")?.handle();
    /// assert!(!handle.is_shutting_down());
    /// handle.shutdown();
    /// assert!(handle.is_shutting_down());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        self.shared.is_stopping()
    }

    /// Returns the number of open connections: accepted, with a handler that has not ended.
    ///
    /// # Examples
    ///
    /// ```
    /// let handle = rustlet::net::Server::bind("127.0.0.1:0")?.handle();
    /// println!("{} connections", handle.connections());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn connections(&self) -> usize {
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        self.shared.live()
    }
}

impl Shared {
    fn live(&self) -> usize {
        self.live.load(SeqCst)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }

    /// Waits for a state (V2), on the accepting thread.
    #[track_caller]
    fn wait_until(&self, reason: Reason, condition: impl Fn() -> bool) {
        if condition() {
            return;
        }
        let wait = Wait::new(reason);
        self.waiting.store(true, SeqCst);
        while !condition() {
            park(&wait);
        }
        self.waiting.store(false, SeqCst);
    }

    /// Pauses (V2), on the accepting thread, until a connection ends or the server is stopped.
    #[track_caller]
    fn pause(&self, pause: Duration) {
        self.waiting.store(true, SeqCst);
        if !self.is_stopping() {
            park(&Wait::new(Reason::Accept.of_pause()).until(clock::after(pause)));
        }
        self.waiting.store(false, SeqCst);
    }

    /// Called when the acceptor has started the connection `number`.
    fn enter(&self, number: u64, thread: JoinHandle<()>) {
        let mut open = lock(&self.open);
        if open.threads.remove(&number).is_some() {
            // V4: it has ended. The handle is dropped after the lock.
            drop(open);
            return;
        }
        if open.cancelled {
            thread.cancel();
        }
        open.threads.insert(number, Some(thread));
    }

    /// Waits until no connection is open, or until the wait's deadline.
    fn drain(&self, wait: &Wait) {
        /// Deregisters on every path.
        struct Leave<'a>(&'a Shared, Unparker);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                let mut open = lock(&self.0.open);
                let mine = open
                    .drain_waiters
                    .iter()
                    .position(|other| other.word() == self.1.word());
                let gone = mine.map(|index| open.drain_waiters.swap_remove(index));
                drop(open);
                drop(gone);
            }
        }
        let leave = Leave(self, Unparker::current());
        lock(&self.open).drain_waiters.push(leave.1.clone());
        // Checked after the registration, as `Connection::drop` checks the registrations after the
        // count.
        while self.live() > 0 && park(wait) != Wake::Elapsed {}
    }

    /// Cancels all open and later connections. Returns the number of open ones.
    fn cancel_all(&self) -> usize {
        let mut open = lock(&self.open);
        open.cancelled = true;
        open.threads.values().flatten().for_each(JoinHandle::cancel);
        // Including one that is not entered yet: `enter` will see `cancelled`.
        self.live()
    }

    /// Wakes the acceptor (V2), on any thread, after the state was changed.
    fn wake(&self) {
        if self.waiting.load(SeqCst)
            && let Some(acceptor) = self.acceptor.get()
        {
            acceptor.unpark();
        }
    }
}

/// Counts one in `Shared::live` (V1).
struct Connection {
    shared: Arc<Shared>,
    number: u64,
}

impl Connection {
    fn new(shared: &Arc<Shared>) -> Connection {
        shared.live.fetch_add(1, SeqCst);
        Connection {
            shared: Arc::clone(shared),
            number: shared.next.fetch_add(1, SeqCst),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut open = lock(&self.shared.open);
        let handle = open.threads.remove(&self.number);
        if handle.is_none() {
            open.threads.insert(self.number, None);
        }
        // Under the lock, so that `cut` counts exactly the living ones.
        if self.shared.live.fetch_sub(1, SeqCst) == 1 {
            open.drain_waiters.iter().for_each(Unparker::unpark);
        }
        drop(open);
        drop(handle);
        self.shared.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_counted_until_it_ends() {
        let server = Server::bind("127.0.0.1:0").unwrap();
        let connection = Connection::new(&server.shared);
        assert_eq!(server.handle().connections(), 1);
        drop(connection);
        assert_eq!(server.handle().connections(), 0);
    }
}
