//! Scopes: green threads that borrow. They behave as std's scopes, from green threads and from OS
//! threads.
//!
//! `scope/as_std.rs` uses only std's API and runs four times, once of them against std itself;
//! `scope/ours.rs` tests features that need green threads.

#![allow(
    clippy::duplicate_mod,
    reason = "the same cases run in several settings, which their parent module names"
)]
#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests are on OS threads of their own"
)]

mod support;

/// Declares a setting: which `thread` the cases use, and where they run.
macro_rules! setting {
    ($name:ident, $thread:path, $enter:expr) => {
        #[path = "scope"]
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

#[path = "scope/ours.rs"]
mod ours;

use support::stress;

fn on_one_worker(case: fn()) {
    rustlet::Builder::new()
        .workers(1)
        .build()
        .unwrap()
        .run(case);
}
