//! Threads: `rustlet::thread` behaves as `std::thread`, from green threads and from OS threads.
//!
//! `thread/as_std.rs` uses only std's API and runs four times, once of them against std itself, so
//! that std decides what is right. Features that std does not have are in `thread/ours.rs`,
//! cancellation in `thread/cancelling.rs`.
//!
//! `RUSTLET_STRESS` multiplies the lengths of the tests that only repeat (default 1).

#![allow(
    clippy::duplicate_mod,
    reason = "the same cases run in several settings, which their parent module names"
)]
#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests are on OS threads of their own, and read the time to compare"
)]

mod support;

/// Declares a setting: which `thread` the cases use, and where they run.
macro_rules! setting {
    ($name:ident, $thread:path, $enter:expr) => {
        #[path = "thread"]
        mod $name {
            use $thread as thread;

            fn enter(case: fn()) {
                $enter(case);
            }

            mod as_std;
        }
    };
}

setting!(std_itself, std::thread, |case: fn()| case());
setting!(green, rustlet::thread, |case: fn()| rustlet::run(case));
setting!(one_worker, rustlet::thread, crate::on_one_worker);
setting!(os_threads, rustlet::thread, |case: fn()| case());

#[path = "thread/cancelling.rs"]
mod cancelling;
#[path = "thread/groups.rs"]
mod groups;
#[path = "thread/ours.rs"]
mod ours;
#[path = "thread/tokens.rs"]
mod tokens;
#[path = "thread/unblocking.rs"]
mod unblocking;

use support::stress;

fn on_workers(workers: usize, case: fn()) {
    rustlet::Builder::new()
        .workers(workers)
        .build()
        .unwrap()
        .run(case);
}

/// On a green thread of one and of two workers, and on an OS thread.
fn everywhere(case: fn()) {
    on_workers(1, case);
    on_workers(2, case);
    case();
}

fn on_one_worker(case: fn()) {
    on_workers(1, case);
}
