//! Locks and other meeting points of threads, with the names of [`std::sync`]: they suspend the calling green thread, or
//! block the calling OS thread, and join the two kinds.
//!
//! What std has, behaves as std's, and what needs no waiting (`Arc`, atomics, the errors) is std's own.

mod raw;
pub(crate) mod wait;

#[cfg(not(loom))]
mod barrier;
#[cfg(not(loom))]
pub mod broadcast;
#[cfg(not(loom))]
mod callback;
#[cfg(not(loom))]
mod event;
#[cfg(not(loom))]
mod init;
#[cfg(not(loom))]
mod lock;
#[cfg(not(loom))]
pub mod mpsc;
#[cfg(not(loom))]
mod parker;
#[cfg(not(loom))]
mod semaphore;
#[cfg(not(loom))]
mod wait_group;

#[cfg(not(loom))]
pub mod oneshot;

#[cfg(not(loom))]
pub use self::{
    barrier::{Barrier, BarrierWaitResult},
    callback::Callback,
    event::Event,
    init::lazy_lock::LazyLock,
    init::once::{Once, OnceState},
    init::once_lock::OnceLock,
    lock::condvar::{Condvar, WaitTimeoutResult},
    lock::mutex::{Mutex, MutexGuard},
    lock::rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard},
    parker::{Parker, Unparker},
    semaphore::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit, TryAcquireError},
    wait_group::WaitGroup,
};

pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};
