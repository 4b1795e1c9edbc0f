//! How threads wait for each other: the wait queue, the wait itself, the short lock that guards both.

pub(crate) mod line;
pub(crate) mod spin;
pub(crate) mod stand;
#[cfg(not(loom))]
pub(crate) mod waiting;
