//! `serve` and `Server`: one green thread a connection, and an accept loop that outlives what can go wrong.
//!
//! - **V1** `Shared::live` counts the connections whose handler has not ended: raised by the accepting thread before
//!   the spawn, lowered by `Connection::drop`, which also runs when the handler panics, is cancelled, or never starts.
//! - **V2** The accepting thread sets `waiting`, then looks at the state, then parks; whoever changes the state
//!   changes it first and then looks at `waiting`. All four are `SeqCst`, so one of the two sees the other's store and no
//!   wake-up is lost.
//! - **V3** The listening socket is the server's own: nobody else has a handle to it, so shutting it down, which
//!   is what ends a wait in `accept`, disturbs nobody else.
//! - **V4** A connection has one entry in `Shared::open`, made by whichever is first: the acceptor, with the handle of its thread,
//!   or its end. The second takes it out. So what is in there with a handle runs, and can be cancelled.
//! - **V5** Who cancels sets `is_cut` under the lock of `open`, under which the acceptor looks at it when it enters a handle: a connection that was
//!   accepted at the last moment is cancelled by one or the other.
//!
//! A lack of descriptors or memory is reported on stderr, by `Shortage`.
//!
//! `serve` runs on one thread, green or not; a handle may be used from any.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rustix::io::Errno;

use super::accept_error::{Outlook, Shortage};
use super::{TcpListener, TcpStream, ToSocketAddrs};
use crate::green::completion::Waiter;
use crate::green::{Reason, Unparker, Wait, Wake, park};
use crate::shim::lock;
use crate::sys::{clock, sock};
use crate::thread::{self, JoinHandle};

/// The pause after a failure that time may heal: the first, and the longest that doubling leads to.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Listens on `addr` and runs `handler` for each connection, in a green thread of its own, for ever.
///
/// It goes on after what a server has to survive: a peer that leaves before it is accepted; a lack of descriptors,
/// memory or threads (with pauses from 5 ms, doubling to 1 s, cut short when a connection ends; a lack
/// of descriptors or memory is reported on stderr, once until it is over);
/// a handler that panics, which ends that connection only. A connection for which no thread can be
/// had is closed.
///
/// The calling thread suspends (an OS thread blocks) in here. For a limit on connections, or to stop, see [`Server`].
///
/// # Errors
///
/// When the address cannot be had, as [`TcpListener::bind`], or when the listener fails for good. It never returns `Ok`.
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
#[track_caller]
pub fn serve<A, H>(addr: A, handler: H) -> io::Result<()>
where
    A: ToSocketAddrs,
    H: Fn(TcpStream) + Send + Sync + 'static,
{
    Server::bind(addr)?.serve(handler)
}

/// [`serve`] with an address to ask for, a limit on connections, and a [handle](ServerHandle) that stops it.
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
#[derive(Debug)]
#[must_use = "a server does nothing until `serve` is called"]
pub struct Server {
    shared: Arc<Shared>,
    max_connections: usize,
}

/// Stops a [`Server`], from any thread. Clones stop the same one.
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
///     server.serve(|_| unreachable!("it was stopped before it began"))
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
    /// Woken beside its own token, which is its user's.
    acceptor: OnceLock<Unparker>,
    next: AtomicU64,
    open: Mutex<Open>,
}

/// The connections as threads (V4, V5), and who waits until there are none.
#[derive(Debug, Default)]
struct Open {
    /// With its handle, or without: it ended before the handle was entered.
    threads: HashMap<u64, Option<JoinHandle<()>>>,
    is_cut: bool,
    drainers: Vec<Unparker>,
}

impl Server {
    /// Listens on `addr`, as [`TcpListener::bind`] does; connections queue up until [`serve`](Server::serve) is called.
    ///
    /// # Errors
    ///
    /// Those of [`TcpListener::bind`].
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

    /// Serves at most `max` connections at a time; 0 counts as 1. Others wait in the system's queue until one ends.
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

    /// The address that the server listens on: with the port that the system chose, when 0 was asked for.
    ///
    /// # Errors
    ///
    /// Those of the system; none is known.
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

    /// A handle to stop the server with.
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

    /// Runs `handler` for each connection, as the function [`serve`](crate::net::serve()) does, until it is stopped: then it
    /// accepts no more, waits until the handlers of all connections have ended, and returns `Ok`.
    ///
    /// # Errors
    ///
    /// When the listener fails for good. Connections that are open then go on.
    ///
    /// # Cancellation
    ///
    /// The wait may unwind. Connections that are open go on then, and clients that come later are refused.
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
        let mut pause = FIRST_PAUSE;
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
                Ok(()) => pause = FIRST_PAUSE,
                Err(_) if shared.is_stopping() => {}
                Err(error) => match Outlook::of(&error) {
                    Outlook::ThatConnectionOnly => {}
                    Outlook::MayHeal => {
                        shared.pause(pause);
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                    Outlook::Hopeless => return Err(error),
                },
            }
        }
    }
}

/// Nobody accepts any more, however that came: nobody is to wait for it, though a handle keeps the listener.
struct Refusing<'a>(&'a Shared);

impl Drop for Refusing<'_> {
    fn drop(&mut self) {
        // It has failed, or was shut down before, or cannot be: then it listens until the last handle is gone.
        let _refused = sock::shutdown(self.0.listener.fd(), Shutdown::Both);
    }
}

/// Gives a connection its thread; both are gone when there is none to be had.
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
            // The end of what never was has left an entry.
            lock(&shared.open).threads.remove(&number);
            // Whatever the runtime calls it, threads come back when others end.
            Err(Errno::NOMEM.into())
        }
    }
}

impl ServerHandle {
    /// Stops the server: it accepts no more connections, and [`Server::serve`] returns when those that are open have
    /// ended. Does not wait. A server that does not serve yet will return at once when it is told to.
    ///
    /// # Examples
    ///
    /// See [`Server`].
    pub fn shutdown(&self) {
        crate::green::budget::spend_quietly(std::panic::Location::caller());
        let shared = &self.shared;
        shared.stopping.store(true, SeqCst);
        // V3. Where a listening socket cannot be shut down (not Linux), a connection of our own ends the wait.
        if sock::shutdown(shared.listener.fd(), Shutdown::Both).is_err()
            && let Ok(addr) = shared.listener.local_addr()
        {
            drop(TcpStream::connect(addr));
        }
        shared.wake();
    }

    /// As [`shutdown`](ServerHandle::shutdown), and waits: for at most `grace`, until all connections have ended. Those that have not by then are
    /// cancelled, that is, unwound from the wait that they are in. Gives how many had to be.
    ///
    /// A handler that is cancelled in a [`shield`](crate::shield), or computes without a wait, goes on until it comes to a wait;
    /// [`Server::serve`] returns when the last one has ended. A connection that is idle between two requests looks like
    /// one that is at work: a handler that asks [`is_shutting_down`](ServerHandle::is_shutting_down) after each request, and waits
    /// for the next one with a time limit, ends by itself.
    ///
    /// Unwound out of the wait, by a cancellation of the caller, the server goes on shutting down, and nobody is cancelled.
    ///
    /// # Panics
    ///
    /// When there is somebody to cancel, in a program that is built with `panic = "abort"`.
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
    ///         // For ever: the client says nothing.
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
    #[track_caller]
    pub fn shutdown_timeout(&self, grace: Duration) -> usize {
        let wait = Wait::new(Reason::Drain).until(clock::after(grace));
        self.shutdown();
        self.shared.drain(&wait);
        self.shared.cut()
    }

    /// Whether the server was told to stop: a good moment for a handler to end, between two requests.
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
        crate::green::budget::spend_quietly(std::panic::Location::caller());
        self.shared.is_stopping()
    }

    /// How many connections are being served: accepted, and their handler has not ended.
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
        crate::green::budget::spend_quietly(std::panic::Location::caller());
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

    /// V2, on the accepting thread.
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

    /// V2, on the accepting thread: a pause that ends early when a connection ends or the server is stopped.
    #[track_caller]
    fn pause(&self, pause: Duration) {
        self.waiting.store(true, SeqCst);
        if !self.is_stopping() {
            park(&Wait::new(Reason::Accept).until(clock::after(pause)));
        }
        self.waiting.store(false, SeqCst);
    }

    /// The acceptor has started the connection `number`.
    fn enter(&self, number: u64, thread: JoinHandle<()>) {
        let mut open = lock(&self.open);
        if open.threads.remove(&number).is_some() {
            // V4: it has ended. The handle is dropped when the lock is.
            drop(open);
            return;
        }
        if open.is_cut {
            thread.cancel();
        }
        open.threads.insert(number, Some(thread));
    }

    /// Waits until no connection is open, or the wait's deadline.
    fn drain(&self, wait: &Wait) {
        /// Leaves, however the wait ends.
        struct Leave<'a>(&'a Shared, Unparker);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                let mut open = lock(&self.0.open);
                let mine = open
                    .drainers
                    .iter()
                    .position(|other| other.word() == self.1.word());
                let gone = mine.map(|index| open.drainers.swap_remove(index));
                drop(open);
                drop(gone);
            }
        }
        let leave = Leave(self, Unparker::current());
        lock(&self.open).drainers.push(leave.1.clone());
        // Looked at after the entry, as `Connection::drop` looks at the entries after the count.
        while self.live() > 0 && park(wait) != Wake::Elapsed {}
    }

    /// Cancels all that is open, and will be. Gives how many there were.
    fn cut(&self) -> usize {
        let mut open = lock(&self.open);
        open.is_cut = true;
        open.threads.values().flatten().for_each(JoinHandle::cancel);
        // One that is not entered yet among them: `enter` will see the cut.
        self.live()
    }

    /// V2, on any thread, after the state was changed.
    fn wake(&self) {
        if self.waiting.load(SeqCst)
            && let Some(acceptor) = self.acceptor.get()
        {
            acceptor.unpark();
        }
    }
}

/// One in `Shared::live` (V1).
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
        // Under the lock, so that what `cut` counts is what lives.
        if self.shared.live.fetch_sub(1, SeqCst) == 1 {
            open.drainers.iter().for_each(Unparker::unpark);
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
