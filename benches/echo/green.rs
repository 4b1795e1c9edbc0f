//! A green thread for each connection.

use rustlet::{net, thread};

#[path = "per_connection.rs"]
mod per_connection;
pub(crate) use per_connection::serve;
