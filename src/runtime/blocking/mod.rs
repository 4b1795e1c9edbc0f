//! Calls that truly block (files, name look-ups), made by a thread of the pool (`pool.rs`): the
//! green thread waits while its worker continues. On an OS thread the call is made in place.
//!
//! What a cancellation does to a call: while the call is queued it is taken back, never made, and
//! its closure is dropped. Once a pool thread has claimed it, [`OnceClaimed`] decides. A call that
//! changes something which outlives its caller (the position of a file, what is on a disk, a child
//! process) is never made for a caller that has left: either it is waited for, or what it returns
//! goes where the next caller finds it.

mod job;
pub(super) mod pool;

use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;

use super::blocking::job::{Call, Job};
use super::blocking::pool::{CallKind, Pool, owner_of_thread};
use super::scheduler::runtime_context::RuntimeContext;
use super::scheduler::shared::Shared;
use crate::green::park::unwind_if_cancelled;
use crate::green::{Cancelled, OnCancel, Reason, Wait, Wake, WorkerContext, park};

/// The effect of a cancellation of the caller on a call that a pool thread has claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnceClaimed {
    /// The caller unwinds; what the call returns is dropped. For calls that change nothing.
    Abandon,
    /// The caller waits for the end of the call; the cancellation is raised at its next wait. For
    /// calls that end soon.
    Shield,
    /// The caller continues without the result, which is dropped; its destructor ensures that
    /// nothing gets lost.
    Detach,
}

/// Returns the runtime whose blocking call runs on the calling OS thread, if any.
pub(super) fn runtime_of_thread() -> Option<Arc<Shared>> {
    owner_of_thread()?.downcast().ok()
}

/// Takes a job back when the caller leaves, also by unwinding.
struct Caller<'a, F: FnOnce() -> T, T> {
    pool: &'a Pool,
    job: Arc<Job<F, T>>,
}

impl<F: FnOnce() -> T, T> Drop for Caller<'_, F, T> {
    fn drop(&mut self) {
        if !self.job.is_taken() {
            self.pool.abandon(&self.job);
        }
    }
}

/// Makes the call and waits for it. Returns `None` if the call was detached.
#[track_caller]
fn call<T: Send + 'static>(
    kind: CallKind,
    reason: Reason,
    once_claimed: OnceClaimed,
    f: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    let Some(context) = WorkerContext::get().and_then(RuntimeContext::of) else {
        return Ok(Some(f()));
    };
    let shared = &context.shared;
    let job = Arc::new(Job::new(f));
    let number = shared.pool.submit(shared, kind, job.clone())?;
    let caller = Caller {
        pool: &shared.pool,
        job,
    };
    // The call, for dumps (`ThreadInner::subject`).
    let subject = number as usize + 1;
    let mut wait = Wait::new(reason).on(subject).on_cancel(match once_claimed {
        OnceClaimed::Abandon => OnCancel::Unwind,
        OnceClaimed::Shield | OnceClaimed::Detach => OnCancel::Defer,
    });
    loop {
        match caller.job.take() {
            Some(Ok(value)) => return Ok(Some(value)),
            Some(Err(payload)) => resume_unwind(payload),
            None => {}
        }
        if park(&wait) != Wake::Cancelled {
            continue;
        }
        if caller.pool.withdraw(&caller.job) {
            unwind_if_cancelled();
            // Not reached: the cancellation that was due a moment ago is still due.
            return Err(io::Error::other(Cancelled::new()));
        }
        if once_claimed == OnceClaimed::Detach {
            // The call may have ended meanwhile.
            return caller
                .job
                .take()
                .transpose()
                .or_else(|payload| resume_unwind(payload));
        }
        wait = Wait::new(reason).on(subject).on_cancel(OnCancel::Shield);
    }
}

/// Unwraps the result of a call that is never detached.
fn attached<T>(value: Option<T>) -> io::Result<T> {
    value.ok_or_else(|| io::Error::other(Cancelled::new()))
}

/// Calls `f` on the pool and resumes its panic here. For calls that change nothing, or whose
/// callers accept that the result may be lost.
///
/// If the green thread is cancelled meanwhile, it unwinds at once. If `f` has not started, it never
/// does and is dropped here; else it runs to its end and its result is dropped on the pool. A
/// thread that is already unwinding continues to wait.
///
/// # Errors
///
/// No OS thread is available.
#[track_caller]
pub(crate) fn run<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    attached(call(
        CallKind::General,
        Reason::Blocking,
        OnceClaimed::Abandon,
        f,
    )?)
}

/// Calls `f` on the pool and resumes its panic here. For a short call whose outcome must not get
/// lost.
///
/// Cancelled while the call is queued, the green thread unwinds, and `f` is dropped here. Once it
/// has been claimed, a cancellation waits until it has ended.
///
/// # Errors
///
/// No OS thread is available.
#[track_caller]
pub(crate) fn run_shielded<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    attached(call(
        CallKind::General,
        Reason::Blocking,
        OnceClaimed::Shield,
        f,
    )?)
}

/// Calls `f` on the pool and does not wait for it: for destructors that may block. Without a
/// runtime or a pool thread, `f` is called in place.
pub(crate) fn detach(f: impl FnOnce() + Send + 'static) {
    let Some(context) = WorkerContext::get().and_then(RuntimeContext::of) else {
        return f();
    };
    let shared = &context.shared;
    let job = Arc::new(Job::new(f));
    let submitted = shared.pool.submit(shared, CallKind::General, job.clone());
    if submitted.is_err() && job.claim() {
        job.run();
    }
}

/// Calls `f` like [`run`], for calls on files that change nothing which outlives the caller.
///
/// # Errors
///
/// Returns the error of `f`, or one that says that no OS thread is available.
#[track_caller]
pub(crate) fn on_file<T: Send + 'static>(
    f: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    attached(call(
        CallKind::General,
        Reason::File,
        OnceClaimed::Abandon,
        f,
    )?)?
}

/// Calls `f` like [`run_shielded`], for calls on files that change something which outlives the
/// caller.
///
/// # Errors
///
/// Returns the error of `f`, or one that says that no OS thread is available.
#[track_caller]
pub(crate) fn on_file_shielded<T: Send + 'static>(
    f: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    attached(call(
        CallKind::General,
        Reason::File,
        OnceClaimed::Shield,
        f,
    )?)?
}

/// Calls `f`, which may block forever, on a file that waits for others (such as a pipe). Its panic
/// is resumed here.
///
/// Cancelled while the call is queued, the green thread unwinds, and `f` is dropped here. Once it
/// has been claimed, a cancellation makes this return `None` at once, and the next wait raises it:
/// `f` goes on, and its result is dropped on the pool.
///
/// # Errors
///
/// No OS thread is available.
#[track_caller]
pub(crate) fn on_stream<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    call(CallKind::General, Reason::File, OnceClaimed::Detach, f)
}

/// Calls `f` like [`run`], for name look-ups: at most a quarter of the pool's threads make them at
/// once.
///
/// # Errors
///
/// Returns the error of `f`, or one that says that no OS thread is available.
#[track_caller]
pub(crate) fn look_up<T: Send + 'static>(
    f: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    attached(call(
        CallKind::LookUp,
        Reason::LookUp,
        OnceClaimed::Abandon,
        f,
    )?)?
}
