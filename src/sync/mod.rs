//! Synchronisation primitives with the names of [`std::sync`]: they suspend green threads and block
//! OS threads.
//!
//! Locks and channels work across green threads and OS threads. What std has behaves as in std;
//! what never waits (`Arc`, atomics, the errors) is std's own, reexported.
//!
//! Beyond std there are [`Semaphore`], [`Event`], [`Notify`], [`Callback`], [`WaitGroup`],
//! [`Parker`], and the channels [`broadcast`], [`watch`] and [`oneshot`].
//!
//! # Suspends
//!
//! Methods that wait say so in their section "Suspends". All other methods return without waiting,
//! but every operation counts against a cooperative budget: after 128 operations in a row without a
//! wait, the calling green thread yields to the others of its worker. Repeated unsuccessful calls
//! therefore cannot starve the other threads.
//!
//! # Examples
//!
//! ```
//! use rustlet::sync::Mutex;
//!
//! static TOTAL: Mutex<u32> = Mutex::new(0);
//!
//! rustlet::run(|| {
//!     let green = rustlet::spawn(|| *TOTAL.lock().unwrap() += 1);
//!     let os = std::thread::spawn(|| *TOTAL.lock().unwrap() += 1);
//!     green.join().unwrap();
//!     os.join().unwrap();
//!     assert_eq!(*TOTAL.lock().unwrap(), 2);
//! });
//! ```

mod raw;
pub(crate) mod wait;

#[cfg(all(feature = "testing", not(loom)))]
pub mod atomic;
#[cfg(not(loom))]
mod barrier;
#[doc(alias = "pubsub")]
#[cfg(not(loom))]
pub mod broadcast;
#[cfg(not(loom))]
mod callback;
#[cfg(not(loom))]
mod event;
#[cfg(not(loom))]
mod futures;
#[cfg(not(loom))]
mod init;
#[cfg(not(loom))]
mod lock;
#[cfg(not(loom))]
pub mod mpsc;
#[cfg(not(loom))]
mod notify;
#[cfg(not(loom))]
mod parker;
#[cfg(not(loom))]
mod semaphore;
#[cfg(not(loom))]
mod wait_group;
#[cfg(not(loom))]
pub mod watch;

#[doc(alias = "AsyncResult")]
#[doc(alias = "Promise")]
#[cfg(not(loom))]
pub mod oneshot;

#[cfg(not(loom))]
pub use self::{
    barrier::{Barrier, BarrierWaitResult},
    callback::Callback,
    event::Event,
    futures::acquire::AcquireFuture,
    futures::lock::LockFuture,
    init::lazy_lock::LazyLock,
    init::once::{Once, OnceState},
    init::once_lock::OnceLock,
    lock::condvar::{Condvar, WaitTimeoutResult},
    lock::mutex::{Mutex, MutexGuard},
    lock::rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard},
    notify::Notify,
    parker::{Parker, Unparker},
    semaphore::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit, TryAcquireError},
    wait_group::WaitGroup,
};

#[cfg(any(not(feature = "testing"), loom))]
pub use std::sync::atomic;
pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak};
