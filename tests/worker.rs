//! `Worker`: the order of its steps, what works on it, how it is embedded, and how it ends.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests are on OS threads of their own"
)]

use rustlet::Worker;
use std::cell::RefCell;
use std::rc::Rc;

mod support;

#[path = "worker/embedding.rs"]
mod embedding;
#[path = "worker/ending.rs"]
mod ending;
#[path = "worker/examples.rs"]
mod examples;
#[path = "worker/order.rs"]
mod order;
#[path = "worker/waiting.rs"]
mod waiting;

/// What threads have said, in order.
#[derive(Clone, Default)]
struct Said(Rc<RefCell<Vec<String>>>);

impl Said {
    fn say(&self, what: impl ToString) {
        self.0.borrow_mut().push(what.to_string());
    }

    /// What was said since the last call.
    fn take(&self) -> String {
        self.0.take().join(" ")
    }
}

/// Runs as many steps as there are, and says how many.
fn tick_all(worker: &Worker) -> usize {
    std::iter::repeat_with(|| worker.tick())
        .take_while(|&ticked| ticked)
        .count()
}
