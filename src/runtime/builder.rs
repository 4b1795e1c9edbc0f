//! What can be decided about a runtime before it starts.

use std::io;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use super::config::{AtEnd, Config};
use super::life::Runtime;
use super::stepped::Stepped;
use crate::stack::StackSize;

/// Settings of a [`Runtime`]; each has a default.
///
/// ```
/// use rustlet::runtime::Builder;
///
/// let runtime = Builder::new().workers(2).stack_size(512 * 1024).max_threads(10_000).build()?;
/// assert_eq!(runtime.run(|| 6 * 7), 42);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder {
    workers: Option<usize>,
    stack_size: Option<usize>,
    name: Option<String>,
    max_threads: Option<usize>,
    blocking_threads: Option<usize>,
    shutdown_timeout: Option<Duration>,
    at_end: AtEnd,
    watchdog: Option<Duration>,
}

impl Builder {
    /// All defaults.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// How many OS threads run green threads. The default is the environment variable `RUSTLET_WORKERS`, else
    /// [`available_parallelism`](std::thread::available_parallelism). 0 counts as 1.
    pub fn workers(mut self, count: usize) -> Builder {
        self.workers = Some(count);
        self
    }

    /// How many bytes of stack a green thread can use, at least: rounded up to a workable size. The default is the
    /// environment variable `RUSTLET_STACK_SIZE`, else 192 KiB (256 KiB of address space less a guard of 64 KiB),
    /// and 2 MiB, as a thread of std has, for the function that [`run`](crate::run) or [`Runtime::run`] is given: there is one of those.
    ///
    /// Stacks are address space: memory is used for what is touched only. `thread::Builder::stack_size` sets it for one thread.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// The workers are called this, a hyphen and a number, the threads for blocking calls this, `-pool-` and a number. The
    /// default is `rustlet`.
    pub fn name(mut self, prefix: impl Into<String>) -> Builder {
        self.name = Some(prefix.into());
        self
    }

    /// How many green threads may be alive at once; past that, [`thread::Builder::spawn`](crate::thread::Builder::spawn)
    /// gives an error and [`spawn`](crate::spawn) panics. The default is no limit.
    pub fn max_threads(mut self, count: usize) -> Builder {
        self.max_threads = Some(count);
        self
    }

    /// How many OS threads may run blocking calls ([`unblock`](crate::unblock), files, name look-ups) at once. The default is 512.
    ///
    /// They are started as calls come and go again when they have been idle for ten seconds. Calls past the limit queue: their green threads
    /// wait, in order, and a cancelled one takes its call back. [`Metrics::blocking_queued`](super::Metrics::blocking_queued) counts them, and a
    /// [`watchdog`](Builder::watchdog) reports calls that have queued for a period. If they queue while the machine has time to spare, raise the limit.
    /// At most a quarter of the threads (at least one) look names up at once, so that name servers that do not answer leave
    /// the others to files and `unblock`: with fewer than two threads there are no others.
    pub fn blocking_threads(mut self, max: usize) -> Builder {
        self.blocking_threads = Some(max);
        self
    }

    /// How long the end of a runtime waits for cancelled green threads to unwind, counted from the last one that
    /// did. What has not ended by then is named on stderr and left behind with its OS thread. The default is five seconds.
    pub fn shutdown_timeout(mut self, patience: Duration) -> Builder {
        self.shutdown_timeout = Some(patience);
        self
    }

    /// Sets what becomes of the green threads that are still alive when the runtime ends: when the function of
    /// [`Runtime::run`] returns, the runtime is dropped, or [`Runtime::shutdown`] is called.
    ///
    /// With [`AtEnd::Unwind`], the default, they are cancelled, and the end waits until they have unwound. A destructor that
    /// panics meanwhile aborts the process, as in every unwinding, and so does code that takes any unwinding for a bug.
    ///
    /// With [`AtEnd::Abandon`] the end does not wait. A thread that runs at that moment goes on until its next wait; after
    /// that none of them runs again. Their stacks, whatever is on them, and the OS threads of their workers stay for the rest of the
    /// process, since other threads may have borrowed from them. So it fits a program that ends soon after. Who joins such a
    /// thread from outside of the runtime waits for ever.
    ///
    /// A [`Worker`](crate::Worker), which has no OS thread of its own to leave behind, always unwinds.
    ///
    /// ```
    /// use rustlet::runtime::{AtEnd, Builder};
    ///
    /// struct Loud;
    /// impl Drop for Loud {
    ///     fn drop(&mut self) {
    ///         panic!("an abandoned thread does not come here");
    ///     }
    /// }
    /// Builder::new().at_end(AtEnd::Abandon).build()?.run(|| {
    ///     rustlet::spawn(|| {
    ///         let _loud = Loud;
    ///         rustlet::park();
    ///     });
    ///     rustlet::yield_now();
    /// });
    /// # std::io::Result::Ok(())
    /// ```
    pub fn at_end(mut self, at_end: AtEnd) -> Builder {
        self.at_end = at_end;
        self
    }

    /// Reports on stderr each green thread that has kept its worker for `period` without a wait: its name, where it was
    /// spawned, where it last waited. Nothing can preempt it. Reports, too, when blocking calls have waited for a thread of the pool for
    /// that long ([`blocking_threads`](Builder::blocking_threads)). The default is no watchdog.
    pub fn watchdog(mut self, period: Duration) -> Builder {
        self.watchdog = Some(period);
        self
    }

    /// Starts the workers.
    ///
    /// # Errors
    ///
    /// No OS thread, epoll instance or eventfd can be had (see `ulimit -u` and `ulimit -n`), `RUSTLET_WORKERS` or
    /// `RUSTLET_STACK_SIZE` is set to something that is not a positive number (`InvalidInput`), or the name has a NUL byte in it (the same).
    pub fn build(self) -> io::Result<Runtime> {
        let config = self.config()?;
        let workers = match self.workers {
            Some(count) => count.max(1),
            None => from_environment("RUSTLET_WORKERS")?.map_or_else(
                || std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
                NonZeroUsize::get,
            ),
        };
        let runtime = Runtime::start(workers, config)?;
        if let Some(period) = self.watchdog {
            runtime.start_watchdog(period)?;
        }
        Ok(runtime)
    }

    fn config(&self) -> io::Result<Config> {
        let wanted = match self.stack_size {
            Some(bytes) => Some(bytes),
            None => from_environment("RUSTLET_STACK_SIZE")?.map(NonZeroUsize::get),
        };
        let wanted = wanted.map(StackSize::from_usable);
        let name = self.name.as_deref().unwrap_or("rustlet");
        if name.contains('\0') {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "the name of a runtime, {name:?}, has a NUL byte in it, which the name of an OS thread cannot have"
                ),
            ));
        }
        Ok(Config {
            name: name.into(),
            stack: wanted.unwrap_or(StackSize::DEFAULT),
            first_stack: wanted.unwrap_or(StackSize::FIRST),
            max_threads: self.max_threads.unwrap_or(usize::MAX),
            blocking_threads: self.blocking_threads.unwrap_or(512),
            shutdown_timeout: self.shutdown_timeout.unwrap_or(Duration::from_secs(5)),
            at_end: self.at_end,
        })
    }

    /// A worker that the calling OS thread steps by hand.
    pub(crate) fn open_stepped(&self) -> io::Result<Rc<Stepped>> {
        Stepped::open(self.config()?, self.watchdog)
    }
}

fn from_environment(name: &str) -> io::Result<Option<NonZeroUsize>> {
    let Some(value) = std::env::var_os(name) else {
        return Ok(None);
    };
    match value.to_str().and_then(|text| text.trim().parse().ok()) {
        Some(number) => Ok(Some(number)),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the environment variable {name} is {value:?}, which is not a positive number"),
        )),
    }
}
