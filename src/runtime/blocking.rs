//! OS threads for calls that truly block (name look-ups, files): the green thread waits, its worker goes on.
//!
//! The pool grows by a thread when a job finds none idle, up to the builder's limit; past that, jobs queue.
//! A thread that was idle for ten seconds goes. On an OS thread the call is made in place.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::worker::Worker;
use crate::green::{Home, Outcome, Reason, Unparker, Wait, contain, park};
use crate::shim::lock;

const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

/// The pool of one runtime.
pub(crate) struct Pool {
    queue: Mutex<Queue>,
    more: Condvar,
    most: usize,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let queue = lock(&self.queue);
        f.debug_struct("Pool")
            .field("threads", &queue.threads)
            .field("idle", &queue.idle)
            .field("queued", &queue.jobs.len())
            .finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(most: usize) -> Pool {
        Pool {
            queue: Mutex::default(),
            more: Condvar::new(),
            most: most.max(1),
        }
    }

    fn submit(self: &Arc<Pool>, job: Job) -> io::Result<()> {
        let mut queue = lock(&self.queue);
        let mut refused = None;
        if queue.idle <= queue.jobs.len() && queue.threads < self.most {
            let pool = Arc::clone(self);
            let builder = std::thread::Builder::new().name("rustlet-blocking".into());
            match builder.spawn(move || pool.serve()) {
                Ok(_) => queue.threads += 1,
                Err(error) => refused = Some(error),
            }
        }
        if let Some(error) = refused
            && queue.threads == 0
        {
            return Err(io::Error::new(
                error.kind(),
                format!(
                    "no OS thread for a blocking call ({error}); see `ulimit -u` and kernel.threads-max"
                ),
            ));
        }
        queue.jobs.push_back(job);
        drop(queue);
        self.more.notify_one();
        Ok(())
    }

    fn serve(&self) {
        let mut queue = lock_guard(&self.queue);
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                job();
                queue = lock_guard(&self.queue);
                continue;
            }
            if queue.closed {
                break;
            }
            queue.idle += 1;
            let waited = self.more.wait_timeout(queue, IDLE);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            queue = guard;
            queue.idle -= 1;
            if timeout.timed_out() && queue.jobs.is_empty() {
                break;
            }
        }
        queue.threads -= 1;
    }

    /// Idle threads go; busy ones when they are done.
    pub(crate) fn close(&self) {
        lock(&self.queue).closed = true;
        self.more.notify_all();
    }
}

fn lock_guard<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `f` where it may block. Its panic comes out here.
///
/// Cancelled meanwhile, the green thread unwinds at once; `f` runs to its end and its result is dropped.
///
/// # Errors
///
/// No OS thread can be had.
#[track_caller]
pub(crate) fn run<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let Some(worker) = Home::get().and_then(Worker::of) else {
        return Ok(f());
    };
    let wait = Wait::new(Reason::Blocking);
    let slot: Arc<Mutex<Option<Outcome<T>>>> = Arc::default();
    let result = Arc::clone(&slot);
    let waiter = Unparker::current();
    worker.shared().pool.submit(Box::new(move || {
        let outcome = catch_unwind(AssertUnwindSafe(f));
        *lock(&result) = Some(outcome);
        // If the caller is gone, the outcome goes here.
        contain(|| drop(result));
        waiter.unpark();
    }))?;
    loop {
        let outcome = lock(&slot).take();
        match outcome {
            Some(Ok(value)) => return Ok(value),
            Some(Err(payload)) => resume_unwind(payload),
            None => park(&wait),
        };
    }
}
