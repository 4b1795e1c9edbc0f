//! The operations on green threads.

use rustlet::{channel, sync, thread};

#[path = "ops.rs"]
mod ops;
pub(crate) use ops::*;

#[path = "locks.rs"]
mod locks;
pub(crate) use locks::*;
