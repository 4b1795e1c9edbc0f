//! The settings of a runtime that are fixed before it starts.

use std::io;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use super::config::{AtEnd, Config, OnDeadlock};
use super::inspect::report::Reporter;
use super::instance::Runtime;
use super::stepped::Stepped;
use crate::stack::StackSize;
use signal_hook::low_level::signal_name;

/// Configures and starts a [`Runtime`]; every setting has a default.
///
/// # Examples
///
/// ```
/// use rustlet::runtime::Builder;
///
/// let runtime = Builder::new()
///     .workers(2)
///     .stack_size(512 * 1024)
///     .max_threads(10_000)
///     .build()?;
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
    /// Creates a builder with default settings.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = rustlet::runtime::Builder::new().build()?;
    /// assert_eq!(runtime.run(|| 6 * 7), 42);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Sets the number of workers: the OS threads that run green threads.
    ///
    /// The default is the environment variable `RUSTLET_WORKERS`, else
    /// [`available_parallelism`](std::thread::available_parallelism). 0 counts as 1.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = rustlet::runtime::Builder::new().workers(3).build()?;
    /// assert_eq!(runtime.metrics().workers, 3);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn workers(mut self, count: usize) -> Builder {
        self.workers = Some(count);
        self
    }

    /// Sets the minimum number of stack bytes that a green thread can use.
    ///
    /// The size is rounded up to one that the stack allocator supports. The default is the
    /// environment variable `RUSTLET_STACK_SIZE`, else 192 KiB (256 KiB of address space less a
    /// guard of 64 KiB), and 960 KiB in debug builds, whose frames are several times as large. The
    /// function that is passed to [`run`](crate::run) or [`Runtime::run`]
    /// gets 2 MiB by default, as a thread of std does, because there is only one of it.
    ///
    /// Stacks are reserved address space: only the pages that are touched use memory.
    /// [`thread::Builder::stack_size`](crate::thread::Builder::stack_size) sets the size for one
    /// thread.
    ///
    /// [`ThreadInfo::stack_used`](super::ThreadInfo::stack_used) and
    /// [`StackMetrics::deepest`](super::StackMetrics::deepest) show how much threads use. A thread
    /// that has used more than four fifths of its stack is reported when it ends, once for each
    /// place that spawns ([`ReportKind::DeepStack`](super::ReportKind::DeepStack)).
    ///
    /// # Examples
    ///
    /// ```
    /// /// Uses half a kilobyte of stack, or more, for each level.
    /// fn recurse(levels: usize) -> usize {
    ///     let frame = std::hint::black_box([levels; 64]);
    ///     if levels == 0 { 0 } else { 1 + recurse(frame[63] - 1) }
    /// }
    ///
    /// let runtime = rustlet::runtime::Builder::new().stack_size(8 << 20).build()?;
    /// let thread = runtime.spawn(|| recurse(1000));
    /// assert_eq!(thread.join().unwrap(), 1000);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// Sets the prefix of the names of the runtime's OS threads.
    ///
    /// Workers are named `prefix-0`, `prefix-1` and so on, and the threads for blocking calls
    /// `prefix-pool-0` and so on. The default is `rustlet`.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = rustlet::runtime::Builder::new().workers(1).name("net").build()?;
    /// // std sees the worker, which is an OS thread.
    /// runtime.run(|| assert_eq!(std::thread::current().name(), Some("net-0")));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn name(mut self, prefix: impl Into<String>) -> Builder {
        self.name = Some(prefix.into());
        self
    }

    /// Limits the number of green threads that are alive at the same time.
    ///
    /// At the limit, [`thread::Builder::spawn`](crate::thread::Builder::spawn) returns an error and
    /// [`spawn`](crate::spawn) panics. The default is no limit.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::thread;
    ///
    /// let runtime = rustlet::runtime::Builder::new().max_threads(2).build()?;
    /// runtime.run(|| {
    ///     // The closure of `run` is the first thread.
    ///     let second = thread::spawn(thread::park);
    ///     assert!(thread::Builder::new().spawn(|| ()).is_err());
    ///     second.thread().unpark();
    ///     second.join().unwrap();
    /// });
    /// # std::io::Result::Ok(())
    /// ```
    pub fn max_threads(mut self, count: usize) -> Builder {
        self.max_threads = Some(count);
        self
    }

    /// Limits the number of OS threads that run blocking calls ([`unblock`](crate::unblock), files,
    /// name look-ups) at the same time. The default is 512.
    ///
    /// Threads are started on demand and exit when they have been idle for ten seconds. Calls
    /// beyond the limit are queued first in, first out: their green threads wait, and cancelling
    /// one removes its call from the queue.
    /// [`Metrics::blocking_queued`](super::Metrics::blocking_queued) counts the queued calls, and a
    /// [`watchdog`](Builder::watchdog) reports calls that have been queued for a period. If calls
    /// queue while the machine has CPU time to spare, raise the limit.
    ///
    /// At most a quarter of the threads (at least one) look names up at the same time, so name
    /// servers that do not answer leave the other threads to files and `unblock`. With fewer than
    /// two threads there are no others.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = rustlet::runtime::Builder::new().blocking_threads(2).build()?;
    /// let calls: Vec<_> = (0..10)
    ///     .map(|n| runtime.spawn(move || rustlet::unblock(move || n * n)))
    ///     .collect();
    /// let squares: u32 = calls.into_iter().map(|call| call.join().unwrap()).sum();
    /// assert_eq!(squares, 285);
    /// assert!(runtime.metrics().blocking_threads <= 2);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn blocking_threads(mut self, max: usize) -> Builder {
        self.blocking_threads = Some(max);
        self
    }

    /// Sets how long the end of a runtime waits for cancelled green threads to unwind.
    ///
    /// The time is counted from the last thread that ended. Threads that have not ended by then are
    /// named on stderr and left behind with their OS threads. The default is five seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let limit = Duration::from_secs(60);
    /// let runtime = rustlet::runtime::Builder::new().shutdown_timeout(limit).build()?;
    /// runtime.spawn(rustlet::park);
    /// // Cancels the thread, which ends at once.
    /// drop(runtime);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Builder {
        self.shutdown_timeout = Some(timeout);
        self
    }

    /// Sets how the runtime treats green threads that are still alive when it ends.
    ///
    /// A runtime ends when the runtime is dropped or [`Runtime::shutdown`] is called; the runtime
    /// of [`run`](crate::run) ends when its function returns.
    ///
    /// With [`AtEnd::Unwind`], the default, they are cancelled, and the end waits until they have
    /// unwound. A destructor that panics during this unwinding aborts the process, as in every
    /// unwinding, and so does code that treats any unwinding as a bug.
    ///
    /// With [`AtEnd::Abandon`] the end does not wait. A thread that is running at that moment
    /// continues until its next wait; after that, none of them runs again. Their stacks with
    /// everything on them, and the OS threads of their workers, stay for the rest of the process,
    /// because other threads may have borrowed from them. This fits a program that exits soon
    /// afterwards. A thread outside of the runtime that joins an abandoned thread waits forever.
    ///
    /// A [`Worker`](crate::Worker) always unwinds, because it has no OS thread of its own to leave
    /// behind.
    ///
    /// # Examples
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

    /// Sets the reaction to a deadlock. The default is [`OnDeadlock::Report`].
    ///
    /// Two kinds of deadlock are detected, and neither is reported in case of doubt:
    ///
    /// - Green threads wait for each other in a cycle: for a [`Mutex`](crate::sync::Mutex) or an
    ///   [`RwLock`](crate::sync::RwLock) that the next thread holds (for writing), or for the end
    ///   of the next thread, or of a scope that it belongs to. A thread that locks a mutex which it
    ///   already holds is the smallest cycle. The other threads of the program may still be
    ///   running.
    /// - All green threads wait, none of them for a time, a descriptor, a call on the blocking pool
    ///   or a future, and no OS thread is running that could wake one. This kind is never reported
    ///   for a program that has OS threads of its own or has asked for [signals](crate::signal).
    ///
    /// Detection takes about 20 ms, or 40 ms while other threads run.
    ///
    /// # Examples
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

    /// Passes the runtime's reports to `hook` instead of writing them to stderr.
    ///
    /// The runtime reports threads that keep their worker, deadlocks, calls that queue for the
    /// blocking pool, threads that are left behind, threads that have used nearly all of their
    /// stack, and a server that is out of descriptors.
    ///
    /// The hook is called on one of the library's OS threads, which may be a worker. It should not
    /// wait, and it should not take locks that green threads hold. If the hook panics, the message
    /// of the panic is printed, and the program continues.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// let (log, reports) = mpsc::channel();
    /// let runtime = rustlet::runtime::Builder::new()
    ///     .watchdog(Duration::from_millis(10))
    ///     .on_report(move |report| drop(log.send(report.to_string())))
    ///     .build()?;
    /// // This receive of std keeps the worker until the watchdog reports it.
    /// let text = runtime.run(move || reports.recv().unwrap());
    /// assert!(text.contains("'main'"), "{text}");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn on_report(mut self, hook: impl Fn(&super::Report) + Send + Sync + 'static) -> Builder {
        self.reporter = Reporter::new(hook);
        self
    }

    /// Writes a [dump](crate::dump) to stderr whenever the process receives `signal`.
    ///
    /// This also works when every worker is stuck. The default is the environment variable
    /// `RUSTLET_DUMP` (`SIGQUIT`, `QUIT` or a number), else none.
    ///
    /// The dump replaces the signal's previous effect: `SIGQUIT` (Ctrl-\\) no longer ends the
    /// process. This lasts for the rest of the process. In a container, `kill -QUIT 1` requests a
    /// dump.
    ///
    /// # Examples
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

    /// Reports each green thread that has kept its worker for `period` without a wait.
    ///
    /// The report names the thread, where it was spawned, and where it last waited. The runtime
    /// cannot preempt such a thread. The watchdog also reports blocking calls that have waited for
    /// a thread of the pool for `period` ([`blocking_threads`](Builder::blocking_threads)). Reports
    /// go to stderr unless [`on_report`](Builder::on_report) is set.
    ///
    /// As far as the system tells, a report also says why the worker makes no progress: the thread
    /// computes, or its OS thread waits in a system call, and for which descriptor. The default is
    /// the environment variable `RUSTLET_WATCHDOG` (`100ms`, `2s`, `off`), else one second in debug
    /// builds and no watchdog in others. A [`Worker`](crate::Worker) has none by default.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let runtime = rustlet::runtime::Builder::new().watchdog(Duration::from_millis(100)).build()?;
    /// // A closure that computes for longer than that is reported on stderr.
    /// assert_eq!(runtime.run(|| (1..=1000).sum::<u64>()), 500_500);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn watchdog(mut self, period: Duration) -> Builder {
        self.watchdog = Some(period);
        self
    }

    /// Sets how long after a deadline an idle worker may wake up for it.
    ///
    /// Timers that expire within `slack` of each other share one wake-up of their worker. A larger
    /// slack saves CPU time where many timers are close together, and every timer may be up to
    /// `slack` later. No timed wait ends before its deadline, whatever the slack.
    /// [`Duration::ZERO`] wakes the worker for each deadline.
    ///
    /// The slack applies to every wait of a green thread that has a deadline:
    /// [`sleep`](crate::sleep), [`timeout`](crate::timeout), [`park_timeout`](crate::park_timeout),
    /// the `…_timeout` methods of locks and channels, [`after`](crate::channel::after),
    /// [`tick`](crate::channel::tick), [`interval`](crate::time::interval) and the timeouts of
    /// sockets. A worker that runs threads checks its timers between them and needs no wake-up. A
    /// [`Worker`](crate::Worker) uses the slack while it waits itself, but not in its descriptor
    /// and its `next_deadline`. Waits of OS threads are not affected.
    ///
    /// The default is the timer slack of the workers' OS threads, which is 50 µs on Linux unless
    /// the process has set another (`PR_SET_TIMERSLACK`), and none elsewhere. The time that the
    /// system takes to wake the OS thread is added to it. A smaller slack causes more wake-ups, and
    /// a slack below that of the OS threads also costs two short system calls per wake-up.
    ///
    /// # Examples
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

    /// Starts the workers and returns the runtime.
    ///
    /// # Errors
    ///
    /// Returns an error if
    ///
    /// - an OS thread, an epoll instance or an eventfd cannot be created (see `ulimit -u` and
    ///   `ulimit -n`);
    /// - `RUSTLET_WORKERS` or `RUSTLET_STACK_SIZE` is set to something that is not a positive
    ///   number, or `RUSTLET_WATCHDOG` or `RUSTLET_DUMP` is malformed (`InvalidInput`);
    /// - the file that `RUSTLET_TRACE` names cannot be created;
    /// - the name contains a NUL byte (`InvalidInput`).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::runtime::Builder;
    /// use std::io::ErrorKind;
    ///
    /// let runtime = Builder::new().workers(2).name("api").build()?;
    /// assert_eq!(runtime.run(|| "ready"), "ready");
    ///
    /// let error = Builder::new().name("a\0b").build().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidInput);
    /// # std::io::Result::Ok(())
    /// ```
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
        super::trace::start_from_environment(workers)?;
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
                    "the runtime's name {name:?} contains a NUL byte, which names of OS threads cannot contain"
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

    /// Creates a worker that the calling OS thread steps by hand.
    pub(crate) fn open_stepped(&self) -> io::Result<Rc<Stepped>> {
        let config = self.config()?;
        super::trace::start_from_environment(1)?;
        Stepped::open(config, self.watchdog)
    }
}

/// The default period of the watchdog, which only debug builds have.
const DEBUG_WATCHDOG: Option<Duration> = if cfg!(debug_assertions) {
    Some(Duration::from_secs(1))
} else {
    None
};

/// Parses `RUSTLET_WATCHDOG`: a number of milliseconds or seconds with its unit, such as `100ms` or
/// `2s`; `off` for none.
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
                "the environment variable {NAME} is {value:?}, which is not a duration: write 100ms or 2s, or off for none"
            ),
        )),
    }
}

/// Reads a signal: its name, with or without `SIG`, or its number.
fn signal_from_environment(name: &str) -> io::Result<Option<i32>> {
    let Some(value) = std::env::var_os(name) else {
        return Ok(None);
    };
    let number = value.to_str().and_then(signal_number);
    number.map(Some).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the environment variable {name} is {value:?}, which is not a signal: write a name or a number, such as SIGQUIT or 3"),
        )
    })
}

fn signal_number(text: &str) -> Option<i32> {
    let text = text.trim().to_ascii_uppercase();
    let short = |number| signal_name(number).and_then(|name| name.strip_prefix("SIG"));
    let wanted = text.strip_prefix("SIG").unwrap_or(&text);
    let named = (1..=64).find(|&number| short(number) == Some(wanted));
    named.or_else(|| text.parse().ok())
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

#[cfg(test)]
mod tests {
    use super::signal_number;
    use signal_hook::consts::{SIGQUIT, SIGUSR1, SIGWINCH};

    #[test]
    fn signals_have_names_and_numbers() {
        for text in ["SIGQUIT", "quit", " Quit ", "3"] {
            assert_eq!(signal_number(text), Some(SIGQUIT), "{text}");
        }
        assert_eq!(signal_number("USR1"), Some(SIGUSR1));
        assert_eq!(signal_number("SIGWINCH"), Some(SIGWINCH));
        for text in ["", "SIG", "QUITE", "SIG3"] {
            assert_eq!(signal_number(text), None, "{text}");
        }
    }
}
