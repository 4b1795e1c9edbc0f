//! The examples: each runs as a user would run it, and gets requests as from its users.
//!
//! `cargo test` builds the examples beside the tests; `cargo test --test examples` alone does not,
//! and tests the last build.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

mod support;

mod examples {
    mod program;

    mod chat;
    mod command_line;
    mod hang;
    mod httpd;
    mod proxy;
    mod resp;
    mod small;
}
