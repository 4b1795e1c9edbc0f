//! A pool of values that are expensive to create, such as connections to a database.
//!
//! A green thread that waits for a value suspends, and requests are served in first-in-first-out
//! order. The pool of the crate r2d2 blocks the OS thread instead. On a worker that stops all its
//! green threads, including those that would return a connection. With the feature `r2d2`, this
//! pool accepts the connection managers of that crate: see `R2d2`.
//!
//! # Examples
//!
//! ```
//! use rustlet::net::{TcpListener, TcpStream};
//! use rustlet::pool::Pool;
//! use std::io::{self, Read, Write};
//!
//! rustlet::run(|| {
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     rustlet::spawn(move || {
//!         for stream in listener.incoming().flatten() {
//!             rustlet::spawn(move || io::copy(&mut &stream, &mut &stream));
//!         }
//!     });
//!
//!     // Twenty threads share two connections.
//!     let pool = Pool::new(2, move || TcpStream::connect(address));
//!     rustlet::scope(|s| {
//!         for n in 0..20_u8 {
//!             let pool = &pool;
//!             s.spawn(move || {
//!                 let mut connection = pool.get().unwrap();
//!                 connection.write_all(&[n]).unwrap();
//!                 let mut answer = [0];
//!                 connection.read_exact(&mut answer).unwrap();
//!                 assert_eq!(answer, [n]);
//!             });
//!         }
//!     });
//!     io::Result::Ok(())
//! })?;
//! # io::Result::Ok(())
//! ```

mod builder;
mod error;
mod guard;
mod manager;
#[cfg(feature = "r2d2")]
mod r2d2;
mod shared;

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

pub use self::builder::Builder;
pub use self::error::GetError;
pub use self::guard::Pooled;
pub use self::manager::Manager;
#[cfg(feature = "r2d2")]
pub use self::r2d2::R2d2;
use self::shared::Shared;
pub use self::shared::State;
use crate::channel::wait_limit::WaitLimit;
use crate::green::budget::poll_budget_quietly;

/// Pool that lends values to threads and takes them back. Clones are the same pool. See the [module
/// documentation](self).
///
/// A returned value is kept for the next request; the one returned last is lent out first. The pool
/// drops a returned value instead if the manager reports that it [has broken](Manager::has_broken),
/// if the thread that used it panicked or was unwound by a cancellation meanwhile (see [`Pooled`]),
/// if it is older than [`max_lifetime`](Builder::max_lifetime), or if
/// [`max_idle`](Builder::max_idle) values are idle already.
///
/// # Cancellation
///
/// A green thread that is [cancelled](crate::Cancelled) while it waits for a value, or while the
/// manager creates or tests one, unwinds. The next waiting thread takes its place.
///
/// # Examples
///
/// ```
/// use rustlet::pool::Pool;
///
/// let pool = Pool::new(1, || Ok::<_, ()>(String::new()));
/// pool.get().unwrap().push_str("used before");
/// assert_eq!(*pool.get().unwrap(), "used before");
/// ```
#[doc(alias = "ConnectionPool")]
pub struct Pool<M: Manager>(Arc<Shared<M>>);

impl<M: Manager> Pool<M> {
    /// Creates an empty pool of at most `max_size` values, with the defaults of the
    /// [`builder`](Pool::builder). Values are created when they are needed.
    ///
    /// # Panics
    ///
    /// Panics if `max_size` is 0, or exceeds
    /// [`Semaphore::MAX_PERMITS`](crate::sync::Semaphore::MAX_PERMITS).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = rustlet::pool::Pool::new(5, || std::io::Result::Ok(0));
    /// assert_eq!(pool.state().idle, 0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new(max_size: usize, manager: M) -> Pool<M> {
        Pool::builder(manager).max_size(max_size).build()
    }

    /// Returns a builder for a pool whose values are created by `manager`.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::pool::Pool;
    /// use std::time::Duration;
    ///
    /// let pool = Pool::builder(|| std::io::Result::Ok(0))
    ///     .max_size(20)
    ///     .max_idle(5)
    ///     .idle_timeout(Duration::from_secs(600))
    ///     .build();
    /// assert_eq!(pool.state().max_size, 20);
    /// ```
    pub fn builder(manager: M) -> Builder<M> {
        Builder::new(manager)
    }

    /// Takes an idle value from the pool, or creates one if none is idle. Waits while
    /// [`max_size`](Builder::max_size) values are in use.
    ///
    /// # Errors
    ///
    /// Returns [`Manager`](GetError::Manager) if the manager cannot create a value, and
    /// [`Closed`](GetError::Closed) if the pool was closed, before or during the wait. A value that
    /// fails its test is no error: it is dropped, and the next one is tried.
    ///
    /// # Panics
    ///
    /// Propagates a panic of the manager.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until a value is free, and while the manager waits. On an
    /// OS thread it blocks.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds and has taken no value. A value that was being tested is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let pool = rustlet::pool::Pool::new(1, || Ok::<_, ()>(0));
    ///     let lent = pool.get().unwrap();
    ///     let next = rustlet::spawn({
    ///         let pool = pool.clone();
    ///         move || *pool.get().unwrap()
    ///     });
    ///     drop(lent);
    ///     assert_eq!(next.join().unwrap(), 0);
    /// });
    /// ```
    #[track_caller]
    pub fn get(&self) -> Result<Pooled<M>, GetError<M::Error>> {
        self.take(WaitLimit::Never, Location::caller())
    }

    /// Takes a value like [`get`](Pool::get), but waits for at most `timeout` until one is free.
    ///
    /// The time in which the manager creates or tests a value is not limited. To limit both, call
    /// [`get`](Pool::get) within [`timeout`](crate::timeout).
    ///
    /// # Errors
    ///
    /// Returns [`Timeout`](GetError::Timeout) if the time has passed, and otherwise the errors of
    /// [`get`](Pool::get).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::pool::{GetError, Pool};
    /// use std::time::Duration;
    ///
    /// let pool = Pool::new(1, || Ok::<_, ()>(0));
    /// let lent = pool.get().unwrap();
    /// let late = pool.get_timeout(Duration::from_millis(1));
    /// assert_eq!(late.unwrap_err(), GetError::Timeout);
    /// # drop(lent);
    /// ```
    #[track_caller]
    pub fn get_timeout(&self, timeout: Duration) -> Result<Pooled<M>, GetError<M::Error>> {
        self.take(WaitLimit::For(timeout), Location::caller())
    }

    fn take(
        &self,
        limit: WaitLimit,
        at: &'static Location<'static>,
    ) -> Result<Pooled<M>, GetError<M::Error>> {
        let lent = self.0.take(limit, at)?;
        Ok(Pooled::new(Arc::clone(&self.0), lent))
    }

    /// Returns how many values the pool has, in use and idle. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = rustlet::pool::Pool::new(5, || Ok::<_, ()>(0));
    /// let lent = pool.get().unwrap();
    /// assert_eq!((pool.state().in_use, pool.state().idle), (1, 0));
    /// drop(lent);
    /// assert_eq!((pool.state().in_use, pool.state().idle), (0, 1));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn state(&self) -> State {
        poll_budget_quietly(Location::caller());
        self.0.state()
    }

    /// Drops the idle values that have expired.
    ///
    /// Each request and each return does it too. If the pool may be unused for long, call it from
    /// time to time, for example with [`repeat`](crate::repeat). The destructors of the values run
    /// on the calling thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::pool::Pool;
    /// use std::time::Duration;
    ///
    /// let pool = Pool::builder(|| Ok::<_, ()>(0)).idle_timeout(Duration::ZERO).build();
    /// drop(pool.get());
    /// pool.sweep();
    /// assert_eq!(pool.state().idle, 0);
    /// ```
    #[track_caller]
    pub fn sweep(&self) {
        poll_budget_quietly(Location::caller());
        drop(self.0.take_expired());
    }

    /// Closes the pool: waiting and later requests get an error, idle values are dropped by the
    /// caller, and values in use are dropped when they are returned. Does not wait for these.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::pool::{GetError, Pool};
    ///
    /// let pool = Pool::new(1, || Ok::<_, ()>(0));
    /// pool.close();
    /// assert_eq!(pool.get().unwrap_err(), GetError::Closed);
    /// ```
    #[track_caller]
    pub fn close(&self) {
        self.0.close();
    }

    /// Returns the manager.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = rustlet::pool::Pool::new(1, || Ok::<u8, ()>(7));
    /// assert_eq!(pool.manager()(), Ok(7));
    /// ```
    #[must_use]
    pub fn manager(&self) -> &M {
        self.0.manager()
    }
}

// Defined here and not in `builder.rs`, so that the two modules do not depend on each other.
impl<M: Manager> Builder<M> {
    /// Creates the pool, without a value. Values are created when they are needed.
    ///
    /// # Panics
    ///
    /// Panics if [`max_size`](Builder::max_size) is 0, or exceeds
    /// [`Semaphore::MAX_PERMITS`](crate::sync::Semaphore::MAX_PERMITS).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = rustlet::pool::Pool::builder(|| Ok::<_, ()>(0)).build();
    /// assert_eq!(*pool.get().unwrap(), 0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn build(self) -> Pool<M> {
        assert!(
            self.config.max_size > 0,
            "the size of a pool must be at least 1"
        );
        Pool(Arc::new(Shared::new(self.manager, self.config)))
    }
}

impl<M: Manager> Clone for Pool<M> {
    fn clone(&self) -> Pool<M> {
        Pool(Arc::clone(&self.0))
    }
}

impl<M: Manager> fmt::Debug for Pool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("state", &self.0.state())
            .finish_non_exhaustive()
    }
}
