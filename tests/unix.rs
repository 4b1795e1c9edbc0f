//! Unix sockets: rustlet's behave as std's, from green threads and from OS threads.
//!
//! Files that use only std's API run five times (`settings`). Features that std does not have are
//! tested in files of their own.

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

/// Tests of features that std does not have.
mod unix {
    use rustlet::{net, os, thread};

    mod conversions;
    mod shared;
    mod waiting;
}
