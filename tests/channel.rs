//! Channels and select: what crossbeam-channel does, `rustlet::channel` does, from green threads
//! and from OS threads.
//!
//! Files that use only crossbeam-channel's API run in several settings, one of them
//! crossbeam-channel itself, so that the original decides what is right. Features that it does not
//! have are tested in files of their own.
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

/// Declares a setting: which `channel` and which `thread` the cases use, and where they run.
macro_rules! setting {
    ($name:ident, $channel:path, $thread:path, $enter:expr) => {
        #[path = "channel"]
        mod $name {
            use $channel as channel;
            use $thread as thread;

            fn enter(case: fn()) {
                $enter(case);
            }

            mod buffered;
            mod ends;
            mod formats;
            mod hand_to_hand;
            mod select_list;
            mod select_macro;
            mod timers;
        }
    };
}

setting!(original, crossbeam_channel, std::thread, |case: fn()| case(
));
setting!(green, rustlet::channel, rustlet::thread, |case: fn()| {
    crate::on_workers(2, case)
});
setting!(
    one_worker,
    rustlet::channel,
    rustlet::thread,
    |case: fn()| crate::on_workers(1, case)
);
setting!(
    os_threads,
    rustlet::channel,
    std::thread,
    |case: fn()| case()
);
// The case itself runs on an OS thread, and its spawned threads on the process-wide runtime.
setting!(mixed, rustlet::channel, rustlet::thread, |case: fn()| case(
));

#[path = "channel/cancelling.rs"]
mod cancelling;
#[path = "channel/conservation.rs"]
mod conservation;
#[path = "channel/edges.rs"]
mod edges;
#[path = "channel/leaving.rs"]
mod leaving;
#[path = "channel/ours.rs"]
mod ours;

fn on_workers<T: Send>(workers: usize, case: impl FnOnce() -> T + Send) -> T {
    rustlet::Builder::new()
        .workers(workers)
        .build()
        .expect("a runtime")
        .run(case)
}
