//! Input and output for green threads.

mod watch;

pub use watch::{
    Watch, wait_readable, wait_readable_timeout, wait_writable, wait_writable_timeout,
};
