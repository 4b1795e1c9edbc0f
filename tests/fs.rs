//! Files: `rustlet::fs` behaves as `std::fs`, from green threads and from OS threads.
//!
//! `as_std.rs` runs four times, once of them against std itself, so that std decides what is right.
//! Features that std does not have are in `ours.rs`.

#![allow(
    clippy::duplicate_mod,
    reason = "the same cases run in several settings, which their parent module names"
)]
#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    unsafe_code,
    unused_qualifications,
    reason = "raw descriptors are given back; std's own calls are named in full, because the module under test is called the same"
)]

mod support;

#[path = "fs/place.rs"]
mod place;

/// Declares a setting: which `fs` and which `thread` the cases use, and where they run.
macro_rules! setting {
    ($name:ident, $fs:path, $thread:path, $enter:expr) => {
        #[path = "fs"]
        mod $name {
            use $fs as fs;
            use $thread as thread;

            fn enter(case: fn()) {
                $enter(case);
            }

            mod as_std;
        }
    };
}

setting!(std_itself, std::fs, std::thread, |case: fn()| case());
setting!(green, rustlet::fs, rustlet::thread, |case: fn()| {
    rustlet::run(case)
});
setting!(
    one_worker,
    rustlet::fs,
    rustlet::thread,
    crate::on_one_worker
);
setting!(os_threads, rustlet::fs, std::thread, |case: fn()| case());

fn on_one_worker(case: fn()) {
    rustlet::Builder::new()
        .workers(1)
        .build()
        .expect("a runtime")
        .run(case);
}

/// Tests of features that std does not have.
#[path = "fs/ours.rs"]
mod ours;

#[path = "fs/cancelled.rs"]
mod cancelled;

#[path = "fs/devices.rs"]
mod devices;
