//! Pipes, copies and the standard streams: `rustlet::io` behaves as `std::io`, from green threads
//! and from OS threads.
//!
//! Files that use only std's API run four times, once of them against std itself. The standard
//! streams are tested in child processes, because a process has one set of them.

#![allow(
    clippy::duplicate_mod,
    reason = "the same cases run in several settings, which their parent module names"
)]
#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    unsafe_code,
    unused_qualifications,
    reason = "descriptors are closed by number; std is named in full, because the module under test is called the same"
)]

mod support;

#[path = "io/child.rs"]
mod child;

/// Declares a setting: which `io` and which `thread` the cases use, and where they run.
macro_rules! setting {
    ($name:ident, $io:path, $thread:path, $enter:expr) => {
        #[path = "io"]
        mod $name {
            use $io as io;
            use $thread as thread;

            const NAME: &str = stringify!($name);

            fn enter(case: impl FnOnce() + Send) {
                $enter(case);
            }

            mod pipes;
            mod standard;
        }
    };
}

setting!(std_itself, std::io, std::thread, crate::in_place);
setting!(green, rustlet::io, rustlet::thread, rustlet::run);
setting!(
    one_worker,
    rustlet::io,
    rustlet::thread,
    crate::on_one_worker
);
setting!(os_threads, rustlet::io, std::thread, crate::in_place);

fn in_place(case: impl FnOnce()) {
    case();
}

fn on_one_worker(case: impl FnOnce() + Send) {
    rustlet::Builder::new()
        .workers(1)
        .build()
        .expect("a runtime")
        .run(case);
}

/// Tests of features that std does not have.
#[path = "io/ours.rs"]
mod ours;

#[path = "io/bidirectional.rs"]
mod bidirectional;
#[path = "io/cancelled.rs"]
mod cancelled;
#[path = "io/printing.rs"]
mod printing;
