//! Child processes: `rustlet::process` behaves as `std::process`, from green threads and from OS
//! threads.
//!
//! The file that uses only std's API runs five times, once of them against std itself, so that std
//! decides what is right. Features that std does not have are tested in files of their own.

#![allow(
    clippy::duplicate_mod,
    reason = "the same cases run in several settings, which their parent module names"
)]
#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

mod support;

/// Declares a setting: which `process`, `os` and `thread` the cases use, and where they run.
macro_rules! setting {
    ($name:ident, $process:path, $os:path, $thread:path, $enter:expr) => {
        #[path = "process"]
        mod $name {
            use $os as os;
            use $process as process;
            use $thread as thread;

            fn enter(case: fn()) {
                $enter(case);
            }

            mod as_std;
        }
    };
}

setting!(
    std_itself,
    std::process,
    std::os::unix::process,
    std::thread,
    |case: fn()| case()
);
setting!(
    green,
    rustlet::process,
    rustlet::os::unix::process,
    rustlet::thread,
    |case: fn()| rustlet::run(case)
);
setting!(
    one_worker,
    rustlet::process,
    rustlet::os::unix::process,
    rustlet::thread,
    crate::on_one_worker
);
setting!(
    os_threads,
    rustlet::process,
    rustlet::os::unix::process,
    std::thread,
    |case: fn()| case()
);
setting!(
    mixed,
    rustlet::process,
    rustlet::os::unix::process,
    rustlet::thread,
    |case: fn()| case()
);

fn on_one_worker(case: fn()) {
    rustlet::Builder::new()
        .workers(1)
        .build()
        .expect("a runtime")
        .run(case);
}

/// Tests of features that std does not have.
#[path = "process"]
mod ours {
    mod alone;
    mod beyond_std;
    mod exiting;
    mod killing;
}
