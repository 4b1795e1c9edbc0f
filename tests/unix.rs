//! Unix sockets: what std's own do, ours do, from green threads and from OS threads.
//!
//! Files that name only what std has run five times (`settings`). What std does not have is tested
//! in files of their own.

#![cfg(target_os = "linux")]
#![allow(
    clippy::duplicate_mod,
    reason = "the same cases run in several settings, which their parent module names"
)]
#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

#[path = "unix/dir.rs"]
mod dir;
mod support;

#[path = "support/settings.rs"]
#[macro_use]
mod settings;

settings!("unix", [connecting, datagrams, full, streams]);

/// What only ours have.
mod unix {
    use rustlet::{net, os, thread};

    mod conversions;
    mod shared;
    mod waiting;
}
