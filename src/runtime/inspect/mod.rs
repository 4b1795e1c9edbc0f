//! What is said of green threads: who there are, who holds up a worker, who panics.

pub(super) mod panic_hook;
pub(super) mod registry;
pub(super) mod watchdog;
