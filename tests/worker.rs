//! `Worker`: the order of its steps, the operations on it, its embedding, and its end.

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

/// The messages of the threads, in order.
#[derive(Clone, Default)]
struct Said(Rc<RefCell<Vec<String>>>);

impl Said {
    fn say(&self, what: impl ToString) {
        self.0.borrow_mut().push(what.to_string());
    }

    /// Returns the messages since the last call.
    fn take(&self) -> String {
        self.0.take().join(" ")
    }
}

/// Runs as many steps as there are, and returns their number.
fn tick_all(worker: &Worker) -> usize {
    std::iter::repeat_with(|| worker.tick())
        .take_while(|&ticked| ticked)
        .count()
}
