//! Diagnosis of green threads: the list of threads, the graph of waits, the watchdog, the panic
//! hook and the detection of deadlocks.

#[cfg(feature = "backtrace")]
pub(super) mod backtrace;
pub(crate) mod channel_words;
pub(crate) mod deadlock;
pub(super) mod dump;
pub(super) mod panic_hook;
pub(crate) mod registry;
pub(crate) mod report;
#[cfg(feature = "serde")]
mod serialize;
mod wait_graph;
pub(super) mod watchdog;
