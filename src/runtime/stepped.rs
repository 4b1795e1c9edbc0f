//! A worker that is stepped by hand: it has no OS thread of its own, and runs on its user's OS
//! thread whenever the user calls it.
//!
//! It is the only worker of a runtime of its own, so no other worker steals from it. Threads that
//! are spawned on it skip the unstarted queue and are ready at once, so they run in the order of
//! the run queue, first in, first out.
//!
//! H1. Everything here is called on the OS thread that made it, because a [`Stepped`] is not
//!     `Send`. So its green threads, once started, stay on that OS thread, as those of every worker
//!     do.
//! H2. A [`Stepped`] is behind an `Rc` for its whole life, so its context never moves: suspended
//!     threads hold references to it, which they use again when they are resumed.
//! H3. It ends when no green thread lives on it, or when the process ends.
//! H4. It is owned by a frame (`lend` in `src/worker.rs`) that ends it, so it cannot be forgotten,
//!     and it ends before its OS thread destroys the thread-locals that its green threads have
//!     used: they may hold references to those, and have lent them to other OS threads.
//!
//! Between two steps the notifier is in the state of a sleeping worker, if the descriptor is
//! polled: steps 7 to 9 of `green/context/remote.rs`, where the user sleeps. What the notifier does
//! not report (ready threads, a timer) is covered by the timer descriptor, which is registered
//! level-triggered: it stays readable until it is set again.

#[cfg(feature = "testing")]
pub(crate) mod simulate;

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::config::Config;
use super::inspect::{panic_hook, registry, watchdog};
use super::instance::Handle;
use super::io::reactor::Reactor;
use super::join::JoinHandle;
use super::scheduler::shared::{Phase, Shared, WorkerShared};
use super::scheduler::worker::WorkerLoop;
use super::spawn::{SpawnRequest, spawn_at};
use crate::green::context::remote::Remote;
use crate::green::context::worker_context::{forget_stepped, note_stepped_here};
use crate::green::park::{check_cancel_os, unwind_if_cancelled};
use crate::green::{OnCancel, Reason, Wait, WorkerContext};
use crate::sys::clock::{self, NEVER, Tick};
use crate::sys::exit;
use crate::sys::os_threads;
use crate::sys::poll::timer_fd::TimerFd;

/// Closes the remote queue when it is dropped.
struct Opened(&'static Remote);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A worker that is stepped by hand; see the documentation of the module.
pub(crate) struct Stepped {
    worker: WorkerLoop,
    timer_fd: TimerFd,
    /// Whether the descriptor was handed out.
    polled: Cell<bool>,
    // After the worker, whose messages it takes.
    remote: Opened,
}

impl Stepped {
    /// Creates a worker for the calling OS thread.
    ///
    /// # Errors
    ///
    /// No descriptor, or no OS thread for the watchdog, is available.
    pub(crate) fn open(config: Config, watch: Option<Duration>) -> io::Result<Rc<Stepped>> {
        crate::stack::overflow::install(registry::describe_overflow)?;
        panic_hook::install();
        crate::stack::overflow::prepare_thread()?;
        let remote = Opened(Remote::open()?);
        let mut reactor = Reactor::new(remote.0)?;
        let timer_fd = TimerFd::new()?;
        reactor.mirror(timer_fd.as_fd())?;
        // The wake-up descriptor of the notifier is writable, which is an event.
        reactor.poll(0)?;
        let workers = Box::new([WorkerShared::new(remote.0)]);
        workers[0]
            .os_thread
            .store(os_threads::id(), Ordering::Relaxed);
        let shared = Arc::new(Shared::new(workers, config));
        super::scheduler::shared::register_runtime(&shared);
        if let Some(period) = watch {
            watchdog::start(&shared, period)?;
        }
        note_stepped_here(shared.group);
        Ok(Rc::new(Stepped {
            worker: WorkerLoop::new_stepped(shared, reactor),
            timer_fd,
            polled: Cell::new(false),
            remote,
        }))
    }

    /// Spawns a green thread on this worker.
    ///
    /// # Errors
    ///
    /// The same as those of [`spawn`](crate::runtime::spawn::spawn).
    pub(crate) fn assign<F, T>(&self, request: SpawnRequest, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let handle = spawn_at(&self.worker, request, f)?;
        self.prepare_sleep();
        Ok(handle)
    }

    /// Polls I/O and timers, then resumes one thread. Returns false if none was ready.
    pub(crate) fn step(&self) -> bool {
        self.remote.0.notifier.awake();
        let stepped = self.worker.enter(|| {
            self.worker.poll_all();
            self.worker.notify_idle();
            self.worker.step_one()
        });
        self.prepare_sleep();
        stepped
    }

    /// Runs until no thread lives on this worker, or a limit around the call expires between two
    /// threads.
    pub(crate) fn work(&self) {
        // A timer descriptor that is set would end each sleep at once.
        self.timer_fd.set(NEVER, 0);
        self.remote.0.notifier.awake();
        let wait = Wait::new(Reason::Join).on_cancel(OnCancel::Defer);
        let ended = self.worker.enter(|| {
            while self.live() > 0 {
                let Ok(limit) = check_cancel_os(&wait) else {
                    return false;
                };
                let max_sleep = match limit.recheck() {
                    NEVER => NEVER,
                    until => until.saturating_sub(clock::now()),
                };
                self.worker.work_on(max_sleep);
            }
            true
        });
        self.prepare_sleep();
        if !ended {
            unwind_if_cancelled();
        }
    }

    /// Prepares the notifier and the timer descriptor for a sleep in the user's event loop.
    fn prepare_sleep(&self) {
        if self.polled.get() && !self.is_running() {
            // Step 7; `due` is step 8. Messages from now on wake the sleeper.
            self.remote.0.notifier.prepare();
            self.timer_fd.set(self.worker.due(), clock::now());
        }
    }

    /// Returns when it has to be stepped at the latest, unless an event happens before.
    pub(crate) fn due(&self) -> Tick {
        self.worker.due()
    }

    /// Returns the descriptor, which is readable when there is work to do.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        if !self.polled.replace(true) {
            self.prepare_sleep();
        }
        self.worker.reactor_handle.fd()
    }

    /// Returns the number of green threads that have not ended.
    pub(crate) fn live(&self) -> usize {
        self.worker.alive()
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.worker.shared))
    }

    /// Returns whether the caller is one of its green threads.
    fn is_running(&self) -> bool {
        WorkerContext::of_thread().is_some_and(|cx| self.worker.owns_context(cx))
    }

    /// Cancels the threads that live here and steps until they have ended (H3).
    fn end(&self) {
        let shared = &self.worker.shared;
        let timeout = shared.config.shutdown_timeout;
        self.timer_fd.set(NEVER, 0);
        self.remote.0.notifier.awake();
        shared.advance(Phase::Closing);
        let mut finished = shared.finished();
        let mut last = clock::now();
        self.worker.enter(|| {
            loop {
                if self.live() == 0 {
                    shared.advance(Phase::Ended);
                }
                // Threads that others have spawned meanwhile are here, or the spawners see the
                // phase (`Shared::push_to`).
                if self.worker.close() {
                    return;
                }
                let left = clock::span(timeout).saturating_sub(clock::now().saturating_sub(last));
                if left == 0 {
                    registry::report_refusing(shared.group, timeout);
                    std::process::abort();
                }
                self.worker.work_on(left);
                let now = shared.finished();
                if now != finished {
                    finished = now;
                    last = clock::now();
                }
            }
        });
        shared.pool.close();
        self.worker.close_reactor();
    }
}

impl Drop for Stepped {
    fn drop(&mut self) {
        if self.is_running() {
            // Only unsafe code can get here: a step borrows the worker.
            exit::abort(format_args!(
                "a Worker was dropped by one of its own green threads"
            ));
        }
        self.end();
        forget_stepped(self.worker.shared.group);
    }
}
