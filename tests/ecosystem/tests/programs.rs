//! The examples of this package, each against real peers: servers and clients of other projects,
//! which the tests start themselves, on ports of loopback and in temporary folders.
//!
//! A test whose peer is not installed is skipped, but not by `.ci/run ecosystem`, which installs
//! them all.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "programs/crawl.rs"]
mod crawl;
#[path = "programs/hello.rs"]
mod hello;
#[path = "programs/https.rs"]
mod https;
#[path = "programs/limiter.rs"]
mod limiter;
#[path = "programs/rest.rs"]
mod rest;
#[path = "programs/ws_chat.rs"]
mod ws_chat;
