//! `sync::mpsc`: it behaves as std's, from green threads and from OS threads.
//!
//! All cases run in several settings, one of them std itself. `RUSTLET_STRESS` multiplies the
//! lengths of the tests that only repeat (default 1).

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

/// Declares a setting: which `mpsc` and which `thread` the cases use, and where they run.
macro_rules! setting {
    ($name:ident, $mpsc:path, $thread:path, $enter:expr) => {
        #[path = "mpsc"]
        mod $name {
            use $mpsc as mpsc;
            use $thread as thread;

            fn enter(case: fn()) {
                $enter(case);
            }

            mod limited;
            mod receiving;
            mod unlimited;
        }
    };
}

setting!(std_itself, std::sync::mpsc, std::thread, |case: fn()| case(
));
setting!(
    green,
    rustlet::sync::mpsc,
    rustlet::thread,
    |case: fn()| {
        crate::on_workers(2, case);
    }
);
setting!(
    one_worker,
    rustlet::sync::mpsc,
    rustlet::thread,
    |case: fn()| crate::on_workers(1, case)
);
setting!(
    os_threads,
    rustlet::sync::mpsc,
    std::thread,
    |case: fn()| case()
);
// The case itself runs on an OS thread, and its spawned threads on the process-wide runtime.
setting!(
    mixed,
    rustlet::sync::mpsc,
    rustlet::thread,
    |case: fn()| case()
);

fn on_workers<T: Send>(workers: usize, case: impl FnOnce() -> T + Send) -> T {
    rustlet::Builder::new()
        .workers(workers)
        .build()
        .expect("a runtime")
        .run(case)
}

#[test]
fn in_a_select() {
    use rustlet::channel::{never, select};
    on_workers(1, || {
        let (sender, receiver) = rustlet::sync::mpsc::channel();
        rustlet::spawn(move || sender.send(1).unwrap());
        select! {
            recv(never::<()>()) -> _ => unreachable!(),
            recv(receiver.receiver()) -> message => assert_eq!(message, Ok(1)),
        }
    });
}
