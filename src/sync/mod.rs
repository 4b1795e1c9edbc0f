//! Locks and other meeting points of threads, with the names of [`std::sync`]: they suspend the calling green thread, or
//! block the calling OS thread, and join the two kinds.
//!
//! What std has, behaves as std's, and what needs no waiting (`Arc`, atomics, the errors) is std's own.

pub(crate) mod line;
mod raw;
pub(crate) mod spin;
pub(crate) mod stand;
#[cfg(not(loom))]
pub(crate) mod waiting;

#[cfg(not(loom))]
mod barrier;
#[cfg(not(loom))]
pub mod broadcast;
#[cfg(not(loom))]
mod callback;
#[cfg(not(loom))]
mod condvar;
#[cfg(not(loom))]
mod event;
#[cfg(not(loom))]
mod lazy_lock;
#[cfg(not(loom))]
pub mod mpsc;
#[cfg(not(loom))]
mod mutex;
#[cfg(not(loom))]
mod once;
#[cfg(not(loom))]
mod once_lock;
#[cfg(not(loom))]
mod parker;
#[cfg(not(loom))]
mod poison;
#[cfg(not(loom))]
mod rwlock;
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
    condvar::{Condvar, WaitTimeoutResult},
    event::Event,
    lazy_lock::LazyLock,
    mutex::{Mutex, MutexGuard},
    once::{Once, OnceState},
    once_lock::OnceLock,
    parker::{Parker, Unparker},
    rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard},
    semaphore::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit, TryAcquireError},
    wait_group::WaitGroup,
};

pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};
