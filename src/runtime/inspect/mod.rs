//! What is said of green threads: who there are, what they wait for, who holds up a worker, who
//! panics, and deadlocks.

pub(crate) mod deadlock;
pub(super) mod dump;
pub(super) mod panic_hook;
pub(super) mod registry;
pub(crate) mod report;
mod wait_graph;
pub(super) mod watchdog;
