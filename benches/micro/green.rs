//! The operations on green threads.

use rustlet::{channel, thread};

#[path = "ops.rs"]
mod ops;
pub(crate) use ops::*;
