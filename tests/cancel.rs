//! Cancel scopes: `timeout`, `deadline`, `shield`, `is_cancelled`, and their effect on every wait.
//!
//! `cancel/anywhere.rs` runs in four settings, OS threads among them; the other files contain cases
//! that need green threads.
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

/// Declares a setting: where the cases run.
macro_rules! setting {
    ($name:ident, $enter:expr) => {
        #[path = "cancel"]
        mod $name {
            fn enter(case: fn()) {
                $enter(case);
            }

            mod anywhere;
        }
    };
}

setting!(two_workers, |case: fn()| crate::on_workers(2, case));
setting!(one_worker, |case: fn()| crate::on_workers(1, case));
setting!(os_threads, |case: fn()| case());
setting!(spawned, |case: fn()| rustlet::spawn(case).join().unwrap());

#[path = "cancel/destructors.rs"]
mod destructors;
#[path = "cancel/failing.rs"]
mod failing;
#[path = "cancel/helpers.rs"]
mod helpers;
#[path = "cancel/outside.rs"]
mod outside;
#[path = "cancel/races.rs"]
mod races;
#[path = "cancel/rules.rs"]
mod rules;

use support::stress;

fn on_workers<T: Send>(workers: usize, case: impl FnOnce() -> T + Send) -> T {
    let runtime = rustlet::Builder::new().workers(workers).build().unwrap();
    runtime.run(case)
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn turns() {
    for _ in 0..10 {
        rustlet::yield_now();
    }
}
