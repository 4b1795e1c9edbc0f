//! The soak test: many threads that use everything at once, cancelled and timed out at random,
//! until none is left; then the test counts whether everything was given back.
//!
//! Each round has a runtime, a [`World`](world::World) of locks, channels and sockets that all
//! share, and a few hundred threads. Some of them end by themselves, others only if they are
//! cancelled, and some of the cancelled hold things while they unwind. The rounds go through one
//! worker and two, with and without OS threads that do the same, and through the three ends that a
//! round may have. At the end of each round: no item is lost or doubled, no lock is held, none is
//! poisoned unless a thread has panicked with it, every thread, stack, descriptor and child process
//! is gone, and so is everything that closures have captured.
//!
//! It runs in a child process, alone. `RUSTLET_STRESS` multiplies the rounds (default 1: a second
//! or two), `RUSTLET_SEED` sets another start. A failure reports its seed.

#![allow(
    dropping_copy_types,
    reason = "how most operations end does not matter; some results happen to be Copy"
)]
#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests are on OS threads of their own, and read the time to compare"
)]

mod support;

#[path = "soak/dice.rs"]
mod dice;
#[path = "soak/heap.rs"]
mod heap;
#[path = "soak/ledger.rs"]
mod ledger;
#[path = "soak/links.rs"]
mod links;
#[path = "soak/process_state.rs"]
mod process_state;
#[path = "soak/round.rs"]
mod round;
#[path = "soak/steps.rs"]
mod steps;
#[path = "soak/watch.rs"]
mod watch;
#[path = "soak/world.rs"]
mod world;

use support::{child, is_emulated, stress, succeeded};

/// Rounds, before `RUSTLET_STRESS`: once through the settings.
const ROUNDS: usize = round::SETTINGS;

#[test]
fn everything_at_once_cancelled_at_random() {
    if is_emulated() {
        // The time limits that it sets are made for a real processor.
        return;
    }
    let output = child("everything_at_once_cancelled_at_random", || {
        let seed = std::env::var("RUSTLET_SEED").map_or(0x5eed, |text| {
            text.parse().expect("RUSTLET_SEED is a number")
        });
        round::soak(seed, stress(ROUNDS));
    });
    print!("{}", succeeded(&output));
}
