//! What can be decided about a runtime before it starts.

use std::io;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use super::config::{AtEnd, Config, OnDeadlock};
use super::inspect::report::Reporter;
use super::instance::Runtime;
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
    on_deadlock: OnDeadlock,
    reporter: Reporter,
    dump_on: Option<i32>,
    watchdog: Option<Duration>,
    timer_slack: Option<Duration>,
}

impl Builder {
    /// All defaults.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// How many OS threads run green threads. The default is the environment variable
    /// `RUSTLET_WORKERS`, else [`available_parallelism`](std::thread::available_parallelism). 0
    /// counts as 1.
    pub fn workers(mut self, count: usize) -> Builder {
        self.workers = Some(count);
        self
    }

    /// How many bytes of stack a green thread can use, at least: rounded up to a workable size. The
    /// default is the environment variable `RUSTLET_STACK_SIZE`, else 192 KiB (256 KiB of address
    /// space less a guard of 64 KiB), and 2 MiB, as a thread of std has, for the function that
    /// [`run`](crate::run) or [`Runtime::run`] is given: there is one of those.
    ///
    /// Stacks are address space: memory is used for what is touched only.
    /// `thread::Builder::stack_size` sets it for one thread.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// The workers are called this, a hyphen and a number, the threads for blocking calls this,
    /// `-pool-` and a number. The default is `rustlet`.
    pub fn name(mut self, prefix: impl Into<String>) -> Builder {
        self.name = Some(prefix.into());
        self
    }

    /// How many green threads may be alive at once; past that,
    /// [`thread::Builder::spawn`](crate::thread::Builder::spawn) gives an error and
    /// [`spawn`](crate::spawn) panics. The default is no limit.
    pub fn max_threads(mut self, count: usize) -> Builder {
        self.max_threads = Some(count);
        self
    }

    /// How many OS threads may run blocking calls ([`unblock`](crate::unblock), files, name
    /// look-ups) at once. The default is 512.
    ///
    /// They are started as calls come and go again when they have been idle for ten seconds. Calls
    /// past the limit queue: their green threads wait, in order, and a cancelled one takes its call
    /// back. [`Metrics::blocking_queued`](super::Metrics::blocking_queued) counts them, and a
    /// [`watchdog`](Builder::watchdog) reports calls that have queued for a period. If they queue
    /// while the machine has time to spare, raise the limit. At most a quarter of the threads (at
    /// least one) look names up at once, so that name servers that do not answer leave the others
    /// to files and `unblock`: with fewer than two threads there are no others.
    pub fn blocking_threads(mut self, max: usize) -> Builder {
        self.blocking_threads = Some(max);
        self
    }

    /// How long the end of a runtime waits for cancelled green threads to unwind, counted from the
    /// last one that did. What has not ended by then is named on stderr and left behind with its OS
    /// thread. The default is five seconds.
    pub fn shutdown_timeout(mut self, patience: Duration) -> Builder {
        self.shutdown_timeout = Some(patience);
        self
    }

    /// Sets what becomes of the green threads that are still alive when the runtime ends: when the
    /// function of [`Runtime::run`] returns, the runtime is dropped, or [`Runtime::shutdown`] is
    /// called.
    ///
    /// With [`AtEnd::Unwind`], the default, they are cancelled, and the end waits until they have
    /// unwound. A destructor that panics meanwhile aborts the process, as in every unwinding, and
    /// so does code that takes any unwinding for a bug.
    ///
    /// With [`AtEnd::Abandon`] the end does not wait. A thread that runs at that moment goes on
    /// until its next wait; after that none of them runs again. Their stacks, whatever is on them,
    /// and the OS threads of their workers stay for the rest of the process, since other threads
    /// may have borrowed from them. So it fits a program that ends soon after. Who joins such a
    /// thread from outside of the runtime waits for ever.
    ///
    /// A [`WorkerLoop`](crate::Worker), which has no OS thread of its own to leave behind, always
    /// unwinds.
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

    /// Sets what is done about a deadlock. The default is [`OnDeadlock::Report`].
    ///
    /// Two kinds are noticed, and neither is reported if there is a doubt:
    ///
    /// - Green threads wait for each other in a cycle: for a [`Mutex`](crate::sync::Mutex) or an
    ///   [`RwLock`](crate::sync::RwLock) that the next one holds (for writing), or for its end. A
    ///   thread that locks a mutex which it holds already is the smallest cycle. The other threads
    ///   of the program may go on.
    /// - All green threads wait, none of them for a time, a descriptor, a call on the blocking pool
    ///   or a future, and no OS thread runs that could wake one. A program with OS threads of its
    ///   own, or one that has asked for [signals](crate::signal), is never said to be in this
    ///   state.
    ///
    /// It takes some 20 ms until a deadlock is noticed.
    ///
    /// ```
    /// use rustlet::runtime::{Builder, OnDeadlock};
    /// use rustlet::sync::Mutex;
    ///
    /// let runtime = Builder::new().on_deadlock(OnDeadlock::Panic).build()?;
    /// let ended = std::panic::catch_unwind(|| {
    ///     runtime.run(|| {
    ///         let mutex = Mutex::new(());
    ///         let _first = mutex.lock();
    ///         let _second = mutex.lock(); // waits for itself
    ///     })
    /// });
    /// assert!(ended.is_err());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn on_deadlock(mut self, on_deadlock: OnDeadlock) -> Builder {
        self.on_deadlock = on_deadlock;
        self
    }

    /// Hands what the runtime notices of a program that goes wrong to `hook`, instead of writing it
    /// to stderr: threads that keep their worker, deadlocks, calls that queue for the blocking
    /// pool, threads left behind, a server without descriptors.
    ///
    /// The hook is called on an OS thread of the library's, also on a worker. It should not wait,
    /// and it should not take locks that green threads hold. If it panics, the message is printed,
    /// and the program goes on. See [`Report`](super::Report) for an example.
    pub fn on_report(mut self, hook: impl Fn(&super::Report) + Send + Sync + 'static) -> Builder {
        self.reporter = Reporter::new(hook);
        self
    }

    /// Writes a [dump](crate::dump) to stderr whenever the process gets this signal, also when
    /// every worker is stuck. The default is the environment variable `RUSTLET_DUMP` (`SIGQUIT`,
    /// `QUIT` or a number), else none.
    ///
    /// The signal does no longer what it did before: `SIGQUIT` (Ctrl-\\) does not end the process.
    /// In a container, `kill -QUIT 1` asks for a dump. It stays so for the rest of the process.
    ///
    /// ```
    /// use rustlet::runtime::Builder;
    /// use rustlet::signal::SIGQUIT;
    ///
    /// let runtime = Builder::new().workers(1).dump_on(SIGQUIT).build()?;
    /// # drop(runtime);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn dump_on(mut self, signal: impl Into<i32>) -> Builder {
        self.dump_on = Some(signal.into());
        self
    }

    /// Reports on stderr each green thread that has kept its worker for `period` without a wait:
    /// its name, where it was spawned, where it last waited. Nothing can preempt it. Reports, too,
    /// when blocking calls have waited for a thread of the pool for that long
    /// ([`blocking_threads`](Builder::blocking_threads)).
    ///
    /// A report says why the worker stands still, as far as the system tells: the thread computes,
    /// or its OS thread waits in a system call, and for which descriptor. The default is the
    /// environment variable `RUSTLET_WATCHDOG` (`100ms`, `2s`, `off`), else one second in debug
    /// builds and none in others.
    pub fn watchdog(mut self, period: Duration) -> Builder {
        self.watchdog = Some(period);
        self
    }

    /// Sets how long after a deadline an idle worker may wake up for it.
    ///
    /// Timers that come due within `slack` of each other share one wake-up of their worker. So a
    /// larger slack saves CPU time where many timers are close together, and every timer may be up
    /// to `slack` later. No timed wait ends before its deadline, whatever the slack.
    /// [`Duration::ZERO`] wakes the worker for each deadline.
    ///
    /// It applies to whatever a green thread waits for with a deadline: [`sleep`](crate::sleep),
    /// [`timeout`](crate::timeout), [`park_timeout`](crate::park_timeout), the `…_timeout` methods
    /// of locks and channels, [`after`](crate::channel::after), [`tick`](crate::channel::tick),
    /// [`interval`](crate::time::interval) and the timeouts of sockets. A worker that runs threads
    /// looks at its timers between them and needs no wake-up. A [`WorkerLoop`](crate::Worker) obeys
    /// it while it waits itself, not in its descriptor and its `next_deadline`. OS threads that
    /// wait are not affected.
    ///
    /// The default is the timer slack of the workers' OS threads, which is 50 µs on Linux unless
    /// the process has set another (`PR_SET_TIMERSLACK`), and none elsewhere. The time that the
    /// system takes to wake the OS thread comes on top. The smaller the slack, the more wake-ups: a
    /// slack that is below that of the OS threads also costs two short system calls each.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// // Ten pollers that need no precision.
    /// let runtime = rustlet::Builder::new().timer_slack(Duration::from_millis(5)).build()?;
    /// runtime.run(|| {
    ///     let poll = |n: u64| {
    ///         let start = Instant::now();
    ///         let pause = Duration::from_micros(1_000 + 100 * n);
    ///         rustlet::sleep(pause);
    ///         assert!(start.elapsed() >= pause);
    ///     };
    ///     let pollers: Vec<_> = (0..10).map(|n| rustlet::spawn(move || poll(n))).collect();
    ///     for poller in pollers {
    ///         poller.join().unwrap();
    ///     }
    /// });
    /// # std::io::Result::Ok(())
    /// ```
    pub fn timer_slack(mut self, slack: Duration) -> Builder {
        self.timer_slack = Some(slack);
        self
    }

    /// Starts the workers.
    ///
    /// # Errors
    ///
    /// No OS thread, epoll instance or eventfd can be had (see `ulimit -u` and `ulimit -n`),
    /// `RUSTLET_WORKERS` or `RUSTLET_STACK_SIZE` is set to something that is not a positive number
    /// (`InvalidInput`), or the name has a NUL byte in it (the same).
    pub fn build(self) -> io::Result<Runtime> {
        let config = self.config()?;
        let workers = match self.workers {
            Some(count) => count.max(1),
            None => from_environment("RUSTLET_WORKERS")?.map_or_else(
                || std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
                NonZeroUsize::get,
            ),
        };
        let dump_on = match self.dump_on {
            Some(signal) => Some(signal),
            None => signal_from_environment("RUSTLET_DUMP")?,
        };
        let runtime = Runtime::start(workers, config)?;
        if let Some(signal) = dump_on {
            super::inspect::dump::on_signal::start(signal)?;
        }
        let watchdog = match self.watchdog {
            Some(period) => Some(period),
            None => watchdog_period()?,
        };
        if let Some(period) = watchdog {
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
            on_deadlock: self.on_deadlock,
            reporter: self.reporter.clone(),
            timer_slack: self.timer_slack,
        })
    }

    /// A worker that the calling OS thread steps by hand.
    pub(crate) fn open_stepped(&self) -> io::Result<Rc<Stepped>> {
        Stepped::open(self.config()?, self.watchdog)
    }
}

/// What a debug build looks after by default.
const DEBUG_WATCHDOG: Option<Duration> = if cfg!(debug_assertions) {
    Some(Duration::from_secs(1))
} else {
    None
};

/// `RUSTLET_WATCHDOG`: a number of milliseconds or seconds with its unit, such as `100ms` or `2s`;
/// `off` for none.
fn watchdog_period() -> io::Result<Option<Duration>> {
    const NAME: &str = "RUSTLET_WATCHDOG";
    let Some(value) = std::env::var_os(NAME) else {
        return Ok(DEBUG_WATCHDOG);
    };
    let text = value.to_str().map(str::trim);
    if matches!(text, Some("off" | "0")) {
        return Ok(None);
    }
    let millis = text.and_then(|text| match text.strip_suffix("ms") {
        Some(number) => number.trim().parse().ok(),
        None => {
            let seconds: u64 = text.strip_suffix('s')?.trim().parse().ok()?;
            seconds.checked_mul(1000)
        }
    });
    match millis {
        Some(millis) if millis > 0 => Ok(Some(Duration::from_millis(millis))),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "the environment variable {NAME} is {value:?}, which is neither a time such as 100ms or 2s, nor off"
            ),
        )),
    }
}

/// A signal by its name, with or without `SIG`, or by its number.
fn signal_from_environment(name: &str) -> io::Result<Option<i32>> {
    let Some(value) = std::env::var_os(name) else {
        return Ok(None);
    };
    let text = value.to_str().map(|text| text.trim().to_ascii_uppercase());
    let named = text
        .as_deref()
        .and_then(|text| match text.strip_prefix("SIG").unwrap_or(text) {
            "QUIT" => Some(signal_hook::consts::SIGQUIT),
            "USR1" => Some(signal_hook::consts::SIGUSR1),
            "USR2" => Some(signal_hook::consts::SIGUSR2),
            "HUP" => Some(signal_hook::consts::SIGHUP),
            "TERM" => Some(signal_hook::consts::SIGTERM),
            "INT" => Some(signal_hook::consts::SIGINT),
            number => number.parse().ok(),
        });
    named.map(Some).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the environment variable {name} is {value:?}, which is no signal such as SIGQUIT or 3"),
        )
    })
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
