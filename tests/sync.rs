//! Locks: `rustlet::sync` behaves as `std::sync`, from green threads and from OS threads.
//!
//! Files that use only std's API run in several settings, one of them std itself, so that std
//! decides what is right. Features that std does not have are tested in files of their own.
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

/// Declares a setting: which `sync` and which `thread` the cases use, and where they run.
macro_rules! setting {
    ($name:ident, $sync:path, $thread:path, $enter:expr) => {
        #[path = "sync"]
        mod $name {
            use $sync as sync;
            use $thread as thread;

            fn enter(case: fn()) {
                $enter(case);
            }

            mod barrier;
            mod condvar;
            mod lazy_lock;
            mod mutex;
            mod once;
            mod once_lock;
            mod rwlock;
        }
    };
}

setting!(std_itself, std::sync, std::thread, |case: fn()| case());
setting!(green, rustlet::sync, rustlet::thread, |case: fn()| {
    crate::on_workers(2, case);
});
setting!(
    one_worker,
    rustlet::sync,
    rustlet::thread,
    |case: fn()| {
        crate::on_workers(1, case);
    }
);
setting!(os_threads, rustlet::sync, std::thread, |case: fn()| case());
setting!(mixed, rustlet::sync, rustlet::thread, |case: fn()| case());

#[path = "sync/beyond_std.rs"]
mod beyond_std;
#[path = "sync/cancelling.rs"]
mod cancelling;
#[path = "sync/notify.rs"]
mod notify;
#[path = "sync/poisoning.rs"]
mod poisoning;
#[path = "sync/pool.rs"]
mod pool;
#[cfg(feature = "r2d2")]
#[path = "sync/r2d2.rs"]
mod r2d2;
#[path = "sync/selecting.rs"]
mod selecting;
#[path = "sync/sharing.rs"]
mod sharing;
#[path = "sync/timed.rs"]
mod timed;
#[path = "sync/watch.rs"]
mod watch;

fn on_workers<T: Send>(workers: usize, case: impl FnOnce() -> T + Send) -> T {
    rustlet::Builder::new()
        .workers(workers)
        .build()
        .expect("a runtime")
        .run(case)
}

/// On one worker: lets the others run until each ready thread has reached a wait of its own.
fn let_others_block() {
    for _ in 0..8 {
        rustlet::yield_now();
    }
}
