//! The examples: each is run as a user would run it, and asked what its users would ask.
//!
//! `cargo test` builds the examples beside the tests; `cargo test --test examples` alone does not,
//! and tests what was built last.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

mod support;

mod examples {
    mod program;

    mod chat;
    mod command_line;
    mod httpd;
    mod proxy;
    mod resp;
    mod small;
}
