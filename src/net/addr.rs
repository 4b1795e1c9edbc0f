//! `ToSocketAddrs`: std's trait, with name look-up on the pool of blocking OS threads.
//!
//! It cannot be std's own trait: the look-up inside std's implementations for strings would block
//! the worker. Numeric addresses are parsed in place; only host names go to the pool.

use std::io;
use std::iter;
use std::net::{self, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::option;
use std::slice;
use std::vec;

use crate::runtime::blocking;

/// Conversion into one or more [`SocketAddr`]s: [`std::net::ToSocketAddrs`], with the same
/// implementations, for green threads.
///
/// Implemented for [`SocketAddr`], [`SocketAddrV4`], [`SocketAddrV6`], pairs of an IP address and a
/// port, pairs of a host (`&str` or [`String`]) and a port, `"host:port"` as `str` or [`String`],
/// `&[SocketAddr]`, and references to all these.
///
/// The system looks up host names, which blocks: that happens on the runtime's pool of blocking OS
/// threads while the calling green thread is suspended. At most a quarter of the pool's threads, at
/// least one, look up names at the same time; further look-ups wait in first-in-first-out order. A
/// cancelled green thread unwinds at once from either.
///
/// # Examples
///
/// ```
/// use rustlet::net::ToSocketAddrs;
///
/// rustlet::run(|| {
///     let addrs: Vec<_> = "127.0.0.1:80".to_socket_addrs().unwrap().collect();
///     assert_eq!(addrs, [([127, 0, 0, 1], 80).into()]);
///
///     let no_port = "127.0.0.1".to_socket_addrs().unwrap_err();
///     assert_eq!(no_port.kind(), std::io::ErrorKind::InvalidInput);
/// });
/// ```
pub trait ToSocketAddrs {
    /// Iterator over the addresses.
    type Iter: Iterator<Item = SocketAddr>;

    /// Returns the addresses for `self`; there may be none.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for text that is not an address; the system's
    /// error when a name is not found.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread while a name is looked up; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::net::ToSocketAddrs;
    ///
    /// let mut addrs = ("::1", 443).to_socket_addrs()?;
    /// assert_eq!(addrs.next(), Some("[::1]:443".parse().unwrap()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

/// Types for which std's implementation never blocks.
macro_rules! immediate {
    ($($type:ty),*) => {$(
        impl ToSocketAddrs for $type {
            type Iter = option::IntoIter<SocketAddr>;

            fn to_socket_addrs(&self) -> io::Result<option::IntoIter<SocketAddr>> {
                net::ToSocketAddrs::to_socket_addrs(self)
            }
        }
    )*};
}

immediate!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, port)].into_iter()),
            Err(_) => look_up((host.to_owned(), port)),
        }
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        (self.0.as_str(), self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        if let Ok(addr) = self.parse() {
            return Ok(vec![addr].into_iter());
        }
        match self.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => look_up(self.to_owned()),
            // Nothing to look up: std returns the error.
            _ => net::ToSocketAddrs::to_socket_addrs(self),
        }
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        (**self).to_socket_addrs()
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = iter::Cloned<slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().cloned())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<T::Iter> {
        (**self).to_socket_addrs()
    }
}

/// Looks a name up with std, off the worker.
#[track_caller]
fn look_up<N>(name: N) -> io::Result<vec::IntoIter<SocketAddr>>
where
    N: net::ToSocketAddrs<Iter = vec::IntoIter<SocketAddr>> + Send + 'static,
{
    look_up_by(|name: N| name.to_socket_addrs(), name)
}

/// Looks a name up with `resolver`.
#[track_caller]
fn look_up_by<N: Send + 'static>(
    resolver: impl FnOnce(N) -> io::Result<vec::IntoIter<SocketAddr>> + Send + 'static,
    name: N,
) -> io::Result<vec::IntoIter<SocketAddr>> {
    blocking::look_up(move || resolver(name))
}

/// Returns the result of `attempt` for the first address with which it succeeds, else the error of
/// the last.
#[track_caller]
pub(super) fn first_that_works<A: ToSocketAddrs, T>(
    addr: A,
    mut attempt: impl FnMut(&SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
    let mut last = None;
    for addr in addr.to_socket_addrs()? {
        match attempt(&addr) {
            Ok(made) => return Ok(made),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(no_addresses))
}

/// The error of std for an empty list of addresses.
pub(super) fn no_addresses() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "could not resolve to any addresses",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Builder, Runtime};
    use crate::thread::{spawn, unblock, yield_now};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Condvar, Mutex};

    /// A name server for tests, which answers on request.
    #[derive(Clone, Default)]
    struct Server(Arc<State>);

    #[derive(Default)]
    struct State {
        up: Mutex<bool>,
        comes_up: Condvar,
        asked: AtomicUsize,
        /// The number of names being looked up, and the maximum so far.
        asking: AtomicUsize,
        max_concurrent: AtomicUsize,
    }

    impl Server {
        fn come_up(&self) {
            *self.0.up.lock().unwrap() = true;
            self.0.comes_up.notify_all();
        }

        fn asked(&self) -> usize {
            self.0.asked.load(Ordering::SeqCst)
        }

        fn look_up(&self, port: u16) -> io::Result<vec::IntoIter<SocketAddr>> {
            let server = Arc::clone(&self.0);
            let resolver = move |port| {
                server.asked.fetch_add(1, Ordering::SeqCst);
                let asking = server.asking.fetch_add(1, Ordering::SeqCst) + 1;
                server.max_concurrent.fetch_max(asking, Ordering::SeqCst);
                let up = server.up.lock().unwrap();
                drop(server.comes_up.wait_while(up, |up| !*up).unwrap());
                server.asking.fetch_sub(1, Ordering::SeqCst);
                Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))].into_iter())
            };
            look_up_by(resolver, port)
        }
    }

    fn runtime(pool: usize) -> Runtime {
        let builder = Builder::new().workers(1).blocking_threads(pool);
        builder.build().unwrap()
    }

    #[test]
    fn unanswered_look_ups_leave_the_pool_to_other_calls() {
        for (pool, max_concurrent) in [(12, 3), (4, 1), (2, 1)] {
            let server = Server::default();
            let asker = server.clone();
            let runtime = runtime(pool);
            runtime.run(|| {
                let askers: Vec<_> = (0..20)
                    .map(|port| {
                        let server = asker.clone();
                        spawn(move || server.look_up(port).unwrap().next().unwrap().port())
                    })
                    .collect();
                while asker.asked() < max_concurrent {
                    yield_now();
                }
                // All of them are being looked up by now, and the pool makes other calls, as many
                // at once as always.
                let calls: Vec<_> = (0..100)
                    .map(|n| spawn(move || unblock(move || n)))
                    .collect();
                for (n, call) in calls.into_iter().enumerate() {
                    assert_eq!(call.join().unwrap(), n);
                }
                assert_eq!(asker.asked(), max_concurrent);
                let metrics = runtime.metrics();
                assert_eq!(
                    (metrics.looking_up, metrics.blocking_queued),
                    (max_concurrent, 20 - max_concurrent)
                );
                asker.come_up();
                for (port, asker) in askers.into_iter().enumerate() {
                    assert_eq!(usize::from(asker.join().unwrap()), port);
                }
            });
            assert_eq!(
                server.0.max_concurrent.load(Ordering::SeqCst),
                max_concurrent
            );
            // The pool counts a call as done after it has woken the caller.
            while runtime.metrics().looking_up > 0 {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn the_smallest_pool_still_looks_names_up() {
        let server = Server::default();
        server.come_up();
        runtime(1).run(|| assert_eq!(server.look_up(7).unwrap().count(), 1));
    }

    #[test]
    fn a_cancelled_look_up_that_has_not_started_is_never_made() {
        let server = Server::default();
        let runtime = runtime(4);
        runtime.run(|| {
            let ask = |port| {
                let server = server.clone();
                spawn(move || drop(server.look_up(port)))
            };
            let first = ask(1);
            while server.asked() < 1 {
                yield_now();
            }
            let (second, third) = (ask(2), ask(3));
            while runtime.metrics().blocking_queued < 2 {
                yield_now();
            }
            for asker in [first, second] {
                asker.cancel();
                assert!(asker.join().unwrap_err().is::<crate::green::Cancelled>());
            }
            // The first is still running: its thread cannot be taken from it.
            let metrics = runtime.metrics();
            assert_eq!((metrics.looking_up, metrics.blocking_queued), (1, 1));
            server.come_up();
            third.join().unwrap();
            assert_eq!(server.asked(), 2);
        });
    }

    #[test]
    fn a_look_up_ends_with_its_time() {
        use crate::time::{Duration, timeout};
        let server = Server::default();
        let runtime = runtime(4);
        runtime.run(|| {
            // The first is running when its time has passed, the second is queued.
            for port in [1, 2] {
                let late = timeout(Duration::from_millis(1), || server.look_up(port).map(drop));
                assert!(late.is_err());
            }
            server.come_up();
            assert_eq!(server.look_up(3).unwrap().count(), 1);
        });
    }

    #[test]
    fn an_os_thread_looks_up_in_place() {
        let here = std::thread::current().id();
        let resolver = move |()| {
            assert_eq!(std::thread::current().id(), here);
            Ok(Vec::new().into_iter())
        };
        assert_eq!(look_up_by(resolver, ()).unwrap().count(), 0);
    }
}
