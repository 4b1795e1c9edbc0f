#![allow(unsafe_code, reason = "spawns what may borrow")]
//! The runtime of the caller, and spawning on it: that of the green thread or of the blocking call, else the process-wide one.

use std::io;
use std::panic::Location;
use std::sync::Arc;

use super::blocking::runtime_of_thread;
use super::inspect::report::Reporter;
use super::join::JoinHandle;
use super::run::global;
use super::scheduler::shared::Shared;
use super::scheduler::start_queue::Unstarted;
use super::scheduler::worker::Worker;
use super::spawn::{Order, key, spawn};
use crate::green::{Green, GreenRef};

/// Spawns what borrows nothing, on the runtime of the caller (green, or a blocking call), else on the process-wide one.
///
/// # Errors
///
/// As [`spawn`].
#[inline]
pub(crate) fn spawn_static<F, T>(order: Order, f: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: SP1, both are `'static`.
    unsafe { spawn_unchecked(order, f) }
}

/// As [`spawn_static`], for what may borrow.
///
/// # Errors
///
/// As [`spawn`].
///
/// # Safety
///
/// SP1.
#[inline]
pub(crate) unsafe fn spawn_unchecked<F, T>(order: Order, f: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    // SAFETY: SP1, by the contract.
    let handle = unsafe { spawn_here(order, f) }?;
    // SAFETY: J1.
    Ok(unsafe { JoinHandle::new(handle) })
}

/// As [`spawn_unchecked`], and gives the handle's reference.
///
/// # Errors
///
/// As [`spawn`].
///
/// # Safety
///
/// SP1.
#[inline]
pub(crate) unsafe fn spawn_here<F, T>(order: Order, f: F) -> io::Result<GreenRef>
where
    F: FnOnce() -> T,
{
    match Worker::current() {
        // SAFETY: SP1, by the contract.
        Some(worker) => unsafe { spawn(worker.shared(), order, f) },
        // SAFETY: as above.
        None => unsafe { spawn(&elsewhere()?, order, f) },
    }
}

/// As [`spawn_static`] for a thread without any wishes: the short way, which nearly all spawns go.
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
    let Some(worker) = Worker::current().filter(|worker| worker.shared().has_no_limit()) else {
        let order = Order {
            name: None,
            stack: None,
            scope: None,
            worker: None,
            at,
        };
        return spawn_static(order, f);
    };
    let block = worker.bear(at)?;
    // SAFETY: just born; SP1, both are `'static`.
    let (scheduled, handle) = unsafe { Green::animate(block, f) };
    worker.push(Unstarted(scheduled), key::<F, T>(at));
    // SAFETY: J1.
    Ok(unsafe { JoinHandle::new(handle) })
}

/// On an OS thread that is no worker: the runtime whose blocking call this is, else the process-wide one.
#[cold]
fn elsewhere() -> io::Result<Arc<Shared>> {
    match runtime_of_thread() {
        Some(shared) => Ok(shared),
        None => global(),
    }
}

/// Where the reports of the runtime go on whose worker the caller is.
pub(crate) fn reporter_of_caller() -> Option<Reporter> {
    Worker::current().map(|worker| worker.shared().config.reporter.clone())
}
