//! One of std's threads for each connection.

use std::{net, thread};

#[allow(
    clippy::duplicate_mod,
    reason = "the same source on the other kind of threads is the point"
)]
#[path = "per_connection.rs"]
mod per_connection;
pub(crate) use per_connection::serve;
