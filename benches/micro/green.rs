//! The operations on green threads.

use rustlet::thread;

#[path = "ops.rs"]
mod ops;
pub(crate) use ops::*;
