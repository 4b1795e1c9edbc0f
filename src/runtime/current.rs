#![allow(unsafe_code, reason = "spawns closures that borrow")]
//! Finds the runtime of the caller and spawns on it: the runtime of the green thread or of the
//! blocking call, else the process-wide one.

use std::io;
use std::panic::Location;
use std::sync::Arc;

use super::blocking::runtime_of_thread;
use super::inspect::report::Reporter;
use super::io::reactor::ReactorHandle;
use super::join::JoinHandle;
use super::run::global;
use super::scheduler::shared::Shared;
use super::scheduler::unstarted_queue::Unstarted;
use super::scheduler::worker::WorkerLoop;
use super::spawn::{SpawnRequest, key, spawn};
use crate::green::scope::ScopeState;
use crate::green::{ThreadInner, ThreadRef};

/// Spawns a closure that borrows nothing, on the runtime of the caller (a green thread or a
/// blocking call), else on the process-wide one.
///
/// # Errors
///
/// As [`spawn`].
#[inline]
pub(crate) fn spawn_static<F, T>(request: SpawnRequest, f: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: SP1, both are `'static`.
    unsafe { spawn_unchecked(request, f) }
}

/// Spawns like [`spawn_static`], for a closure that may borrow.
///
/// # Errors
///
/// As [`spawn`].
///
/// # Safety
///
/// SP1.
#[inline]
pub(crate) unsafe fn spawn_unchecked<F, T>(request: SpawnRequest, f: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    // SAFETY: SP1, by the contract.
    let handle = unsafe { spawn_here(request, f) }?;
    // SAFETY: J1.
    Ok(unsafe { JoinHandle::new(handle) })
}

/// Spawns like [`spawn_unchecked`], and returns the handle's reference.
///
/// # Errors
///
/// As [`spawn`].
///
/// # Safety
///
/// SP1.
#[inline]
pub(crate) unsafe fn spawn_here<F, T>(request: SpawnRequest, f: F) -> io::Result<ThreadRef>
where
    F: FnOnce() -> T,
{
    match WorkerLoop::current() {
        // SAFETY: SP1, by the contract.
        Some(worker) => unsafe { spawn(worker.shared(), request, f) },
        // SAFETY: as above.
        None => unsafe { spawn(&elsewhere()?, request, f) },
    }
}

/// Spawns like [`spawn_static`], with default settings: the fast path, which nearly all spawns
/// take.
///
/// # Errors
///
/// As [`spawn`].
#[inline]
pub(crate) fn spawn_plain<F, T>(at: &'static Location<'static>, f: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let Some(worker) = WorkerLoop::current().filter(|worker| worker.shared().has_no_limit()) else {
        let request = SpawnRequest {
            name: None,
            stack: None,
            scope: None,
            worker: None,
            at,
        };
        return spawn_static(request, f);
    };
    let block = worker.allocate_local(at)?;
    // SAFETY: just born; SP1, both are `'static`.
    let (scheduled, handle) = unsafe { ThreadInner::init_body(block, f) };
    worker.push(Unstarted(scheduled), key::<F, T>(at));
    // SAFETY: J1.
    Ok(unsafe { JoinHandle::new(handle) })
}

/// Spawns like [`spawn_here`] a thread of `scope` with default settings: the fast path.
///
/// # Errors
///
/// As [`spawn`].
///
/// # Safety
///
/// SP1.
#[inline]
pub(crate) unsafe fn spawn_in_scope<F, T>(
    at: &'static Location<'static>,
    scope: &Arc<ScopeState>,
    f: F,
) -> io::Result<ThreadRef>
where
    F: FnOnce() -> T,
{
    let scope = Arc::clone(scope);
    let Some(worker) = WorkerLoop::current().filter(|worker| worker.shared().has_no_limit()) else {
        let request = SpawnRequest {
            name: None,
            stack: None,
            scope: Some(scope),
            worker: None,
            at,
        };
        // SAFETY: SP1, by the contract.
        return unsafe { spawn_here(request, f) };
    };
    let block = worker.allocate_local(at)?;
    ThreadInner::join_scope(block, scope);
    // SAFETY: just born; SP1, by the contract.
    let (scheduled, handle) = unsafe { ThreadInner::init_body_with(block, f) };
    worker.push(Unstarted(scheduled), key::<F, T>(at));
    Ok(handle)
}

/// Returns the runtime for an OS thread that is no worker: the one whose blocking call this is,
/// else the process-wide one.
#[cold]
fn elsewhere() -> io::Result<Arc<Shared>> {
    match runtime_of_thread() {
        Some(shared) => Ok(shared),
        None => global(),
    }
}

/// Returns a reactor for a task that is polled on an OS thread: one of the runtime whose blocking
/// call this is, else of the process-wide one, which is started if it was not.
///
/// # Errors
///
/// The process-wide runtime cannot be started.
pub(crate) fn reactor_elsewhere() -> io::Result<Arc<ReactorHandle>> {
    let shared = elsewhere()?;
    match shared.next_reactor() {
        Some(reactor_handle) if !reactor_handle.is_closed() => Ok(Arc::clone(reactor_handle)),
        _ => match global()?.next_reactor() {
            Some(reactor_handle) => Ok(Arc::clone(reactor_handle)),
            None => Err(io::Error::other(
                "rustlet: the process-wide runtime has no reactor",
            )),
        },
    }
}

/// Returns the reporter of the runtime on whose worker the caller runs.
pub(crate) fn reporter_of_caller() -> Option<Reporter> {
    WorkerLoop::current().map(|worker| worker.shared().config.reporter.clone())
}
