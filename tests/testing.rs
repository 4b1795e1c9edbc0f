//! Simulated runs: virtual time, seeded schedules, replay, deadlocks, shrinking.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test of virtual time reads the real time to compare, and its OS threads sleep"
)]

#[path = "testing/atomics.rs"]
mod atomics;
#[path = "testing/end.rs"]
mod end;
#[path = "testing/explore.rs"]
mod explore;
#[path = "testing/external.rs"]
mod external;
#[path = "testing/replay.rs"]
mod replay;
#[path = "testing/suite.rs"]
mod suite;
#[path = "testing/time.rs"]
mod time;

use std::panic::{UnwindSafe, catch_unwind};

/// Returns the text of the panic of `f`.
fn panic_of(f: impl FnOnce() + UnwindSafe) -> String {
    let payload = catch_unwind(f).expect_err("it panics");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().expect("a text")).to_owned(),
    }
}
