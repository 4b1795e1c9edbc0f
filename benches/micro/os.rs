//! The operations on std's threads, and crossbeam's channels.

use crossbeam_channel as channel;
use std::thread;

#[allow(
    clippy::duplicate_mod,
    reason = "the same source on the other kind of threads is the point"
)]
#[path = "ops.rs"]
mod ops;
pub(crate) use ops::*;
