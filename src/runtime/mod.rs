//! Runtimes: the number of workers, the limits, and the end.
//!
//! Most programs need only [`run`]. A [`Builder`] changes the settings that `run` leaves at their
//! defaults, and creates a [`Runtime`] that can be kept, shared, and shut down explicitly.
//!
//! To see what the threads of a program do, [`dump`] describes them all, [`threads`] lists them,
//! and [`Runtime::metrics`] counts them. A runtime notices deadlocks and threads that keep their
//! worker: [`Builder::on_report`] passes these reports to a function. See [when something
//! hangs](crate::guide::hangs).
//!
//! # Examples
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
pub(crate) mod current;
#[cfg(not(loom))]
pub(crate) mod inspect;
#[cfg(not(loom))]
mod instance;
pub(crate) mod io;
#[cfg(not(loom))]
pub(crate) mod join;
#[cfg(not(loom))]
mod metrics;
#[cfg(not(loom))]
mod placement;
#[cfg(not(loom))]
mod run;
pub(crate) mod scheduler;
#[cfg(not(loom))]
pub(crate) mod spawn;
#[cfg(not(loom))]
pub(crate) mod stepped;
#[cfg(not(loom))]
pub(crate) mod trace;

#[cfg(all(feature = "backtrace", not(loom)))]
pub use self::inspect::backtrace::{Backtrace, Frame};
#[cfg(not(loom))]
pub use crate::green::hooks::{SuspendHook, add_suspend_hook};

#[cfg(not(loom))]
pub use self::{
    builder::Builder,
    config::{AtEnd, OnDeadlock},
    inspect::channel_words::ChannelState,
    inspect::dump::{Dump, WorkerInfo, dump},
    inspect::registry::{ShutdownError, ThreadInfo, ThreadState, WaitsFor, threads},
    inspect::report::{Report, ReportKind},
    instance::{Handle, Runtime},
    metrics::{Bucket, Histogram, Metrics, StackMetrics, WorkerMetrics},
    run::{run, run_all},
};
