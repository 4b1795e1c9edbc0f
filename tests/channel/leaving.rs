//! Messages of a `select!` whose expression leaves or panics. The original would lose the slot, or
//! abort.
#![allow(
    unreachable_code,
    clippy::diverging_sub_expression,
    reason = "messages whose expression leaves"
)]

use crate::on_workers;
use crate::support::stress;
use rustlet::channel::{bounded, select};
use rustlet::thread;
use std::panic::{AssertUnwindSafe, catch_unwind};

fn enter(case: fn()) {
    on_workers(1, case);
    on_workers(2, case);
    case();
}

/// The reservation is released, and others can use the slot.
#[test]
fn a_message_that_leaves() {
    enter(|| {
        let (sender, receiver) = bounded(1);
        for _ in 0..3 {
            let early = (|| {
                select! { send(sender, { if receiver.is_empty() { return 1 } 5 }) -> _ => 2 }
            })();
            assert_eq!(early, 1);
        }
        'block: {
            select! { send(sender, break 'block) -> _ => unreachable!() }
        }
        assert!(receiver.is_empty());
        sender.try_send(1).unwrap();
        assert_eq!(receiver.recv(), Ok(1));
    });
}

#[test]
fn panics_leave_no_trace() {
    enter(|| {
        let (sender, receiver) = bounded::<i32>(1);
        let failed = catch_unwind(AssertUnwindSafe(|| {
            select! { send(sender, std::panic::resume_unwind(Box::new(()))) -> _ => {} }
        }));
        assert!(failed.is_err());
        sender.try_send(1).unwrap();
        assert_eq!(receiver.try_recv(), Ok(1));
    });
}

/// At capacity 0 the chosen partner continues to wait, and gets another message.
#[test]
fn a_message_that_panics_does_not_strand_the_partner() {
    enter(|| {
        for _ in 0..stress(20) {
            let (sender, receiver) = bounded(0);
            let thread = thread::spawn(move || receiver.recv());
            let failed = catch_unwind(AssertUnwindSafe(|| {
                select! { send(sender, std::panic::resume_unwind(Box::new(()))) -> _ => {} }
            }));
            assert!(failed.is_err());
            sender.send(5).unwrap();
            assert_eq!(thread.join().unwrap(), Ok(5));
        }
    });
}
