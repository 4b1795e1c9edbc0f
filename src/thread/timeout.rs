//! `timeout`, `deadline`, `shield`: how long a call may wait, and what ends its waits. The mechanism is in `green/cancel.rs`.
//!
//! All of it may be called from any thread, green or not; each call concerns the calling thread only.

use std::panic::Location;
use std::time::{Duration, Instant};

use crate::green::Elapsed;
use crate::green::budget::spend_quietly;
use crate::green::cancel::{self, Caught, Limit, assert_unwinding, within};
use crate::sys::clock;

/// Runs `f`, and ends it if it still waits when `duration` has passed.
///
/// `f` runs in place, on the calling thread, and may borrow. When the time is up, the wait that `f` is in, or the next one that
/// it enters, does not return: it unwinds, running destructors, as far as this call, which gives [`Elapsed`]. No panic
/// message is printed, and locks of this crate are not poisoned. One `timeout` so covers everything that happens inside: no
/// call in it needs a time limit of its own.
///
/// Only waits are ended: every call of this crate that suspends a green thread. Work that ends late without having
/// waited gives `Ok`, and so does work whose last wait had what it waited for: it is told when it *enters* a wait, so nothing
/// is lost that a wait has already taken. [`Duration::ZERO`] ends the first wait; [`Duration::MAX`] none.
///
/// # Nesting
///
/// Each scope bounds those in it. When an outer one has elapsed, a wait unwinds through the inner ones, which do
/// not see it. When several have elapsed, the outermost counts. Inside [`shield`] only the scopes count that were opened in there.
/// [`JoinHandle::cancel`](crate::JoinHandle::cancel) and the end of [`run`](crate::run) unwind through all of them.
///
/// A wait's own time limit (`set_read_timeout`, `recv_timeout`) is an error that the call returns, as always. If it passes at
/// the same time as the scope's, the call returns that error, and the next wait unwinds.
///
/// # Every wait may unwind
///
/// - **`catch_unwind`** in `f` sees a payload of the type [`Cancelled`](crate::Cancelled) and should resume it. If it does not, the next
///   wait raises it again, and again, until this call is reached (after a hundred times with a turn for the
///   other threads each time). If `f` returns in spite of it, its value counts: `Ok`.
/// - **A panic** of `f` passes through, unchanged.
/// - **In destructors that run while unwinding** nothing is raised, which would abort the process. There, an operation that returns
///   `io::Result` and would have to wait gives an error that carries `Cancelled`, once the time is up; other waits go on.
/// - **[`scope`](crate::scope)** and [`scope_cancelling`](crate::thread::scope_cancelling) cancel their threads when
///   the time limit around them elapses, wait until they have ended, and unwind.
/// - **Threads** that `f` spawns are not bound by it.
/// - **Initialisers** of a `Once` or a `LazyLock` that are unwound have not run: the next caller tries again.
/// - **Buffered writers, TLS** and other streams with a state of their own may have done half of what they were at: drop them.
/// - **C code** that calls back: an unwinding that reaches it aborts the process. Put a [`shield`] into the callback.
/// - [`unblock`](crate::unblock) returns at once, and its closure runs to its end on the pool.
///
/// # On OS threads
///
/// It works there too, for the waits of this crate. Calls of std, and what `unblock` runs in place, are not ended.
/// A [`run`](crate::run) in `f` has its first green thread cancelled, and ends when that has ended.
///
/// # Errors
///
/// [`Elapsed`], when the time is up and `f` still waits.
///
/// # Panics
///
/// With the panic of `f`; and always in a program that is built with `panic = "abort"`, which cannot unwind.
///
/// # Examples
///
/// ```
/// use rustlet::{Elapsed, sleep, timeout};
/// use std::time::Duration;
///
/// rustlet::run(|| {
///     let mut steps = 0;
///     let result = timeout(Duration::from_millis(5), || {
///         loop {
///             sleep(Duration::from_millis(1));
///             steps += 1;
///         }
///     });
///     assert_eq!(result, Err::<(), _>(Elapsed));
///     assert!(steps < 6);
///     assert_eq!(timeout(Duration::from_secs(60), || 5), Ok(5));
/// });
/// ```
///
/// A whole exchange with a peer that never answers:
///
/// ```
/// use rustlet::net::{TcpListener, TcpStream};
/// use rustlet::timeout;
/// use std::io::{self, Read, Write};
/// use std::time::Duration;
///
/// rustlet::run(|| {
///     let silent = TcpListener::bind("127.0.0.1:0")?;
///     let result = timeout(Duration::from_millis(5), || {
///         let mut stream = TcpStream::connect(silent.local_addr()?)?;
///         stream.write_all(b"hello?")?;
///         stream.read(&mut [0])
///     });
///     assert!(result.is_err());
///     io::Result::Ok(())
/// })?;
/// # io::Result::Ok(())
/// ```
///
/// The result of `f` and the time limit in one error, if `f` returns an [`io::Result`](std::io::Result):
///
/// ```no_run
/// # use std::{io, time::Duration};
/// # fn exchange() -> io::Result<usize> { Ok(1) }
/// # fn whole() -> io::Result<usize> {
/// let count = rustlet::timeout(Duration::from_secs(5), exchange)??;
/// # Ok(count)
/// # }
/// ```
#[track_caller]
pub fn timeout<F, T>(duration: Duration, f: F) -> Result<T, Elapsed>
where
    F: FnOnce() -> T,
{
    assert_unwinding("timeout");
    spend_quietly(Location::caller());
    let deadline = match duration {
        Duration::MAX => clock::NEVER,
        duration => clock::after(duration),
    };
    within(Limit::Until(deadline), f).map_err(|Caught| Elapsed)
}

/// As [`timeout`], until a moment. One that has passed ends the first wait.
///
/// # Errors
///
/// [`Elapsed`], when the moment has come and `f` still waits.
///
/// # Panics
///
/// As [`timeout`].
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let end = Instant::now() + Duration::from_millis(2);
/// // Several steps, one deadline.
/// let first = rustlet::deadline(end, || rustlet::sleep(Duration::from_micros(1)));
/// let second = rustlet::deadline(end, rustlet::park);
/// assert!(second.is_err());
/// # let _ = first;
/// ```
#[track_caller]
pub fn deadline<F, T>(at: Instant, f: F) -> Result<T, Elapsed>
where
    F: FnOnce() -> T,
{
    assert_unwinding("deadline");
    spend_quietly(Location::caller());
    within(Limit::Until(clock::ticks(at)), f).map_err(|Caught| Elapsed)
}

/// Runs `f`, whose waits are not ended by anything outside of it: not by an elapsed [`timeout`], nor
/// by [`JoinHandle::cancel`](crate::JoinHandle::cancel), nor by the end of the run.
///
/// What has come meanwhile is raised by the first wait after it. A `timeout` within `f` ends the waits within itself, as always; so what must be
/// done, but not at any price, goes into both:
///
/// ```
/// use rustlet::{shield, sleep, timeout};
/// use std::time::Duration;
///
/// rustlet::run(|| {
///     let result = timeout(Duration::from_millis(1), || {
///         shield(|| {
///             // Says goodbye to the peer, but not for long.
///             timeout(Duration::from_secs(20), || sleep(Duration::from_millis(5))).unwrap();
///         });
///         "and goes on, until it waits"
///     });
///     assert!(result.is_ok());
/// });
/// ```
///
/// Use it too around C code that calls back into waits: an unwinding through C aborts the process.
///
/// A thread that stays in here when its runtime ends is waited for as long as the grace period lasts
/// ([`Builder::shutdown_timeout`](crate::Builder::shutdown_timeout)), and then named on stderr and left behind.
#[track_caller]
pub fn shield<F, T>(f: F) -> T
where
    F: FnOnce() -> T,
{
    spend_quietly(Location::caller());
    match within(Limit::Shield, f) {
        Ok(value) => value,
        // A shield ends nothing, so nothing carries its number.
        Err(Caught) => unreachable!("a shield has ended a wait"),
    }
}

/// Whether the next wait of the calling thread would unwind: an enclosing [`timeout`] has elapsed, or the thread is cancelled, and no
/// [`shield`] holds it off. For work that computes for long without a wait. Does not wait.
///
/// ```
/// use rustlet::{is_cancelled, shield, timeout};
/// use std::time::Duration;
///
/// let result = timeout(Duration::ZERO, || (is_cancelled(), shield(is_cancelled)));
/// assert_eq!(result, Ok((true, false)));
/// assert!(!is_cancelled());
/// ```
#[must_use]
#[track_caller]
pub fn is_cancelled() -> bool {
    spend_quietly(Location::caller());
    cancel::is_cancelled()
}
