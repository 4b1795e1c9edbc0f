//! UDP: what std's own sockets do, ours do, from green threads and from OS threads.
//!
//! Files that name only what std has run five times (`settings`). What std does not have is tested
//! in files of their own.

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

/// What only ours have.
mod udp {
    use rustlet::{net, thread};

    fn enter(case: fn()) {
        rustlet::run(case);
    }

    mod conversions;
    mod ends;
    mod waiting;
}
