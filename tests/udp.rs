//! UDP: rustlet's sockets behave as std's, from green threads and from OS threads.
//!
//! Files that use only std's API run five times (`settings`). Features that std does not have are
//! tested in files of their own.

#![allow(
    clippy::duplicate_mod,
    reason = "the same cases run in several settings, which their parent module names"
)]
#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

#[macro_use]
#[path = "support/settings.rs"]
mod settings;

mod support;

settings!("udp", [ends, options, sharing, transferring]);

/// Tests of features that std does not have.
mod udp {
    use rustlet::{net, thread};

    fn enter(case: fn()) {
        rustlet::run(case);
    }

    mod conversions;
    mod ends;
    mod waiting;
}
