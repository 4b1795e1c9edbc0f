//! Waiting for several operations at once: the engine, the macros, [`Select`](dynamic::Select), and what is no channel but can
//! be waited for with them.

pub(crate) mod several;

#[cfg(not(loom))]
pub(crate) mod dynamic;
#[cfg(not(loom))]
pub(crate) mod macros;
#[cfg(not(loom))]
pub(crate) mod polled;
#[cfg(not(loom))]
pub(crate) mod waiters;
