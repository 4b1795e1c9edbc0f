//! Waiting for several operations at once: the engine, the macros, [`Select`](dynamic::Select), and
//! sources that are not channels.

pub(crate) mod poll_order;
pub(crate) mod select_wait;

#[cfg(not(loom))]
pub(crate) mod dynamic;
#[cfg(not(loom))]
pub(crate) mod macros;
#[cfg(not(loom))]
pub(crate) mod observers;
#[cfg(not(loom))]
pub(crate) mod poll_source;
