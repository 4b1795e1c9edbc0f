//! `thread_local!` of the green thread. It behaves on green threads and on OS threads as std's keys
//! do on OS threads.
//!
//! `local/as_std.rs` uses only std's API and runs five times, once of them against std itself;
//! `local/ours.rs` tests features that need green threads; `local/coroutines.rs` tests coroutines
//! of another crate that hold a borrowed value.
#![allow(
    clippy::missing_const_for_thread_local,
    reason = "the lazy form is what some tests are about"
)]
#![allow(
    clippy::duplicate_mod,
    reason = "the same cases run in several settings, which their parent module names"
)]
#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

mod support;

/// Declares a setting: which `thread` the cases use, and where they run.
macro_rules! setting {
    ($name:ident, $thread:path, $enter:expr) => {
        #[path = "local"]
        mod $name {
            use $thread as thread;

            fn enter(case: fn()) {
                $enter(case);
            }

            mod as_std;
        }
    };
}

#[path = "local"]
mod std_itself {
    /// std's `thread` module with its macro in it, where rustlet has it.
    mod thread {
        pub(crate) use std::thread::{AccessError, JoinHandle, LocalKey, spawn, yield_now};
        pub(crate) use std::thread_local;
    }

    fn enter(case: fn()) {
        case();
    }

    mod as_std;
}

/// rustlet's keys on OS threads that std starts and ends.
#[path = "local"]
mod on_os_threads {
    mod thread {
        pub(crate) use rustlet::thread::{AccessError, LocalKey};
        pub(crate) use rustlet::thread_local;
        pub(crate) use std::thread::{JoinHandle, spawn, yield_now};
    }

    fn enter(case: fn()) {
        case();
    }

    mod as_std;
}

setting!(green, rustlet::thread, |case: fn()| rustlet::run(case));
setting!(one_worker, rustlet::thread, crate::on_one_worker);
setting!(os_threads, rustlet::thread, |case: fn()| case());

#[path = "local/coroutines.rs"]
mod coroutines;
#[path = "local/ours.rs"]
mod ours;

fn on_one_worker(case: fn()) {
    rustlet::Builder::new()
        .workers(1)
        .build()
        .unwrap()
        .run(case);
}
