//! The operations on std's threads, and crossbeam's channels.

use crossbeam_channel as channel;
use std::{sync, thread};

#[allow(
    clippy::duplicate_mod,
    reason = "the same source on the other kind of threads is the point"
)]
#[path = "ops.rs"]
mod ops;
pub(crate) use ops::*;

#[allow(
    clippy::duplicate_mod,
    reason = "the same source with the other kind of locks is the point"
)]
#[path = "locks.rs"]
mod locks;
pub(crate) use locks::*;
