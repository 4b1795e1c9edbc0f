//! TCP: rustlet's sockets behave as std's, from green threads and from OS threads.
//!
//! Files that use only std's API run five times, once of them against std itself, so that std
//! decides what is right. Features that std does not have are tested in files of their own.

#![allow(
    clippy::duplicate_mod,
    reason = "the same cases run in several settings, which their parent module names"
)]
#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

mod support;

/// Declares a setting: which `net` and which `thread` the cases use, and where they run.
macro_rules! setting {
    ($name:ident, $net:path, $thread:path, $enter:expr) => {
        #[path = "tcp"]
        mod $name {
            use $net as net;
            use $thread as thread;

            fn enter(case: fn()) {
                $enter(case);
            }

            #[path = "pair.rs"]
            mod pair;

            mod connecting;
            mod edges;
            mod options;
            mod sharing;
            mod transferring;
        }
    };
}

setting!(std_itself, std::net, std::thread, |case: fn()| case());
setting!(green, rustlet::net, rustlet::thread, |case: fn()| {
    rustlet::run(case)
});
setting!(
    one_worker,
    rustlet::net,
    rustlet::thread,
    crate::on_one_worker
);
setting!(os_threads, rustlet::net, std::thread, |case: fn()| case());
setting!(mixed, rustlet::net, rustlet::thread, |case: fn()| case());

fn on_one_worker(case: fn()) {
    rustlet::Builder::new()
        .workers(1)
        .build()
        .expect("a runtime")
        .run(case);
}

/// Tests of features that std does not have.
mod tcp {
    use rustlet::{net, thread};

    fn enter(case: fn()) {
        rustlet::run(case);
    }

    mod pair;

    mod as_std;
    mod beyond_std;
    mod child;
    mod conversions;
    mod serving;
    mod settings;
    mod shared;
}
