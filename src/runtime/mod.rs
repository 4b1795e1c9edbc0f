//! Runtimes: how many workers, which limits, and when they end.
//!
//! Most programs need [`run`] only. A [`Builder`] sets what `run` leaves at its defaults, and
//! gives a [`Runtime`] that can be kept, shared, and shut down by hand.
//!
//! ```
//! use rustlet::runtime::Builder;
//!
//! let runtime = Builder::new().workers(1).build()?;
//! let sum = runtime.run(|| {
//!     let threads: Vec<_> = (1..=4).map(|n| rustlet::spawn(move || n * n)).collect();
//!     threads.into_iter().map(|t| t.join().unwrap()).sum::<i32>()
//! });
//! assert_eq!(sum, 30);
//! # std::io::Result::Ok(())
//! ```

#[cfg(not(loom))]
pub(crate) mod blocking;
#[cfg(not(loom))]
mod builder;
#[cfg(not(loom))]
mod config;
#[cfg(not(loom))]
pub(crate) mod context;
#[cfg(not(loom))]
pub(crate) mod current;
pub(crate) mod direction;
pub(crate) mod idle;
#[cfg(not(loom))]
mod job;
#[cfg(not(loom))]
pub(crate) mod join;
#[cfg(not(loom))]
mod life;
#[cfg(not(loom))]
mod linger;
#[cfg(not(loom))]
mod load;
#[cfg(not(loom))]
mod lull;
#[cfg(not(loom))]
mod panic_hook;
#[cfg(not(loom))]
mod placement;
#[cfg(not(loom))]
mod pool;
#[cfg(not(loom))]
pub(crate) mod reactor;
#[cfg(not(loom))]
mod registry;
mod ring;
#[cfg(not(loom))]
mod run;
#[cfg(not(loom))]
mod scheduled_io;
#[cfg(not(loom))]
mod sentinel;
#[cfg(not(loom))]
pub(crate) mod shared;
#[cfg(not(loom))]
mod sites;
#[cfg(not(loom))]
pub(crate) mod source;
#[cfg(not(loom))]
pub(crate) mod spawn;
#[cfg(not(loom))]
mod start_queue;
#[cfg(not(loom))]
mod timer;
#[cfg(not(loom))]
mod watchdog;
#[cfg(not(loom))]
pub(crate) mod worker;

#[cfg(not(loom))]
pub use self::{
    builder::Builder,
    config::AtEnd,
    life::{Handle, Metrics, Runtime},
    registry::{ShutdownError, ThreadInfo, ThreadState, threads},
    run::{run, run_all},
};
