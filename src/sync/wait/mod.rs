//! Waiting of threads: the wait queue, the wait itself, and the spin lock that guards both.

pub(crate) mod line;
pub(crate) mod spin;
pub(crate) mod stand;
#[cfg(not(loom))]
pub(crate) mod waiting;
