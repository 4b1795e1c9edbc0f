#![allow(
    unsafe_code,
    reason = "erases the types of closures, and hands references to the scheduler"
)]
//! Spawning on a runtime that the caller names: from a closure to a thread in a queue. `current.rs`
//! finds the runtime when the caller names none.
//!
//! SP1. `F` and `T` outlive the thread: they are `'static`, or the caller waits for the thread's
//!      end.

use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::join::JoinHandle;
use super::placement::sites;
use super::scheduler::shared::Shared;
use super::scheduler::unstarted_queue::Unstarted;
use super::scheduler::worker::WorkerLoop;
use crate::green::scope::ScopeState;
use crate::green::{OwnStack, OwningScope, SpawnInfo, ThreadInner, ThreadRef, WorkerContext};
use crate::stack::{self, StackSize};

/// The parameters of a spawn.
#[derive(Debug)]
pub(crate) struct SpawnRequest {
    pub(crate) name: Option<Box<str>>,
    pub(crate) stack: Option<StackSize>,
    pub(crate) scope: Option<Arc<ScopeState>>,
    /// The worker that it starts and stays on; `None` for any worker.
    pub(crate) worker: Option<usize>,
    pub(crate) at: &'static Location<'static>,
}

impl SpawnRequest {
    /// Requests a thread without a name, spawned at the place of the caller's caller.
    #[track_caller]
    pub(crate) fn new() -> SpawnRequest {
        SpawnRequest {
            name: None,
            stack: None,
            scope: None,
            worker: None,
            at: Location::caller(),
        }
    }
}

fn refuse(shared: &Shared) -> io::Error {
    io::Error::new(
        io::ErrorKind::WouldBlock,
        format!(
            "the limit of {} green threads (runtime::Builder::max_threads) is reached",
            shared.config.max_threads
        ),
    )
}

/// Checks that the requested worker exists.
fn check_worker(request: &SpawnRequest, shared: &Shared) -> io::Result<()> {
    let workers = shared.workers.len();
    match request.worker {
        Some(index) if index >= workers => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("there is no worker {index}: the runtime has {workers}, counted from 0"),
        )),
        _ => Ok(()),
    }
}

/// Reserves a stack: a credit for one of the usual size, the stack itself for another size.
fn secure_stack(
    request: &SpawnRequest,
    shared: &Shared,
    worker: Option<&WorkerLoop>,
) -> io::Result<Option<OwnStack>> {
    match (request.stack, worker) {
        (Some(size), _) if size != shared.config.stack => OwnStack::take(size).map(Some),
        (_, Some(worker)) => worker.reserve().map(|()| None),
        (_, None) => stack::reserve_shared(shared.config.stack).map(|()| None),
    }
}

/// Returns the slot and the stack credit of a spawn that failed.
#[cold]
fn give_back(shared: &Shared, worker: Option<&WorkerLoop>, usual_stack: bool) {
    shared.release_slot();
    match worker {
        Some(worker) if usual_stack => worker.unreserve(),
        None if usual_stack => stack::unreserve_shared(shared.config.stack),
        _ => {}
    }
}

fn spawn_info(request: SpawnRequest, own_stack: Option<OwnStack>, shared: &Shared) -> SpawnInfo {
    SpawnInfo {
        name: request.name,
        at: request.at,
        group: shared.group,
        scope: request.scope.map(|scope| scope as Arc<dyn OwningScope>),
        own_stack,
    }
}

/// Returns the key of the spawn site of a closure of that type.
#[inline(always)]
pub(super) fn key<F: FnOnce() -> T, T>(at: &'static Location<'static>) -> u64 {
    sites::key(std::ptr::from_ref(at).addr(), ThreadInner::kind::<F, T>())
}

/// Spawns on `shared`, from one of its own green threads or from anywhere else.
///
/// # Errors
///
/// The limit of threads, of memory or of mappings is reached.
///
/// # Safety
///
/// SP1.
#[inline]
pub(crate) unsafe fn spawn<F, T>(
    shared: &Arc<Shared>,
    request: SpawnRequest,
    f: F,
) -> io::Result<ThreadRef>
where
    F: FnOnce() -> T,
{
    check_worker(&request, shared)?;
    let worker = WorkerLoop::current().filter(|worker| Arc::ptr_eq(worker.shared(), shared));
    if !shared.acquire_slot() {
        return Err(refuse(shared));
    }
    let stack = secure_stack(&request, shared, worker).inspect_err(|_| shared.release_slot())?;
    let usual = stack.is_none();
    let key = key::<F, T>(request.at);
    let fixed = request.worker;
    // Given back before the closure goes, whose destructor may unwind.
    let block = ThreadInner::allocate_with(spawn_info(request, stack, shared))
        .inspect_err(|_| give_back(shared, worker, usual))?;
    // SAFETY: just born; SP1.
    let (scheduled, handle) = unsafe { ThreadInner::init_body_with(block, f) };
    match (worker, fixed) {
        (Some(worker), Some(index)) => worker.push_fixed(index, Unstarted(scheduled), key),
        (Some(worker), None) => worker.push(Unstarted(scheduled), key),
        (None, Some(index)) => {
            shared.spawned_outside.fetch_add(1, Ordering::Release);
            shared.push_fixed(index, Unstarted(scheduled));
        }
        (None, None) => shared.push_external(Unstarted(scheduled), key),
    }
    Ok(handle)
}

/// Spawns on the calling green thread's own worker.
///
/// # Errors
///
/// As [`spawn`].
///
/// # Panics
///
/// The caller is not a green thread.
pub(crate) fn spawn_local<F, T>(request: SpawnRequest, f: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    let Some(worker) = WorkerContext::get().and_then(WorkerLoop::of) else {
        panic!(
            "spawn_local: the caller is not a green thread, so there is no worker for the new one to stay on"
        );
    };
    spawn_at(worker, request, f)
}

/// Spawns on `worker`, whose OS thread the caller is on.
///
/// # Errors
///
/// As [`spawn`].
pub(super) fn spawn_at<F, T>(
    worker: &WorkerLoop,
    request: SpawnRequest,
    f: F,
) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    let shared = worker.shared();
    check_worker(&request, shared)?;
    if request.worker.is_some_and(|index| index != worker.index()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a local thread stays on the worker of the calling thread, and another worker was asked for",
        ));
    }
    if !shared.acquire_slot() {
        return Err(refuse(shared));
    }
    let stack =
        secure_stack(&request, shared, Some(worker)).inspect_err(|_| shared.release_slot())?;
    let usual = stack.is_none();
    let block = ThreadInner::allocate_with(spawn_info(request, stack, shared))
        .inspect_err(|_| give_back(shared, Some(worker), usual))?;
    // SAFETY: just born; SP1, both are `'static`.
    let (scheduled, handle) = unsafe { ThreadInner::init_body(block, f) };
    worker.push_local(scheduled);
    // SAFETY: J1.
    Ok(unsafe { JoinHandle::new(handle) })
}

/// Spawns a closure that borrows nothing on `shared`.
///
/// # Errors
///
/// As [`spawn`].
#[inline]
pub(crate) fn spawn_on<F, T>(
    shared: &Arc<Shared>,
    request: SpawnRequest,
    f: F,
) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: SP1, both are `'static`.
    let handle = unsafe { spawn(shared, request, f) }?;
    // SAFETY: J1.
    Ok(unsafe { JoinHandle::new(handle) })
}
