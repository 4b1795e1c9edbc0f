//! No thread starves: a thread that never waits yields, a select chooses uniformly, and many
//! waiters of one thing do not slow each other down.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests are on OS threads of their own"
)]

#[path = "fairness/choice.rs"]
mod choice;
#[path = "fairness/crowd.rs"]
mod crowd;
#[path = "fairness/hygiene.rs"]
mod hygiene;
#[path = "fairness/polling.rs"]
mod polling;

/// Runs `case` on a runtime of `workers` workers.
fn on_workers<T: Send>(workers: usize, case: impl FnOnce() -> T + Send) -> T {
    let runtime = rustlet::Builder::new().workers(workers).build().unwrap();
    runtime.run(case)
}
