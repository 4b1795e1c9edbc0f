//! Finds the wake-up or spawn that led to each step of a thread, and how long the thread was ready
//! before the step.

use crate::green::Reason;
use crate::sys::clock::Tick;
use crate::timeline::{Kind, Record, flag};

/// Facts about a step that are not in its record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    /// The index of the record of the wake-up or the spawn.
    pub(super) cause: Option<usize>,
    /// The time since when the thread was ready.
    pub(super) ready_since: Option<Tick>,
}

/// Returns a link for each record. It is empty if the record is no step or its cause is not known.
/// The times of the records must be ticks.
pub(super) fn links(records: &[Record]) -> Vec<Link> {
    let mut order: Vec<usize> = (0..records.len())
        .filter(|&index| matches!(records[index].kind, Kind::Step | Kind::Wake | Kind::Spawn))
        .collect();
    order.sort_by_key(|&index| {
        let record = &records[index];
        (record.thread, record.begin, record.kind == Kind::Step)
    });
    let mut links = vec![Link::default(); records.len()];
    for thread in order.chunk_by(|&one, &other| records[one].thread == records[other].thread) {
        link(thread, records, &mut links);
    }
    links
}

/// Links the records of one thread, which are sorted by their beginnings.
fn link(thread: &[usize], records: &[Record], links: &mut [Link]) {
    let (mut next, mut end) = (Link::default(), 0);
    // A wake-up from another OS thread that was sent while the thread ran. The worker delivers it
    // after the step, when the thread may wait.
    let mut early = None;
    for &index in thread {
        let record = &records[index];
        if record.kind == Kind::Step {
            if next.ready_since.is_none() && early.is_some() {
                next = Link {
                    cause: early,
                    ready_since: Some(end),
                };
            }
            links[index] = next;
            (next, early) = (Link::default(), None);
            end = record.end;
            if record.flags & (flag::LAST | flag::OPEN) == 0 && record.reason == Reason::Yield as u8
            {
                next.ready_since = Some(end);
            }
        } else if record.begin < end {
            early = early.or(Some(index).filter(|_| record.flags & flag::REMOTE != 0));
        } else if next.ready_since.is_none() {
            next = Link {
                cause: Some(index),
                ready_since: Some(record.begin),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(thread: u64, begin: Tick, end: Tick, reason: Reason) -> Record {
        Record {
            thread,
            begin,
            end,
            reason: reason as u8,
            ..Record::new(Kind::Step)
        }
    }

    fn wake(thread: u64, begin: Tick, flags: u8) -> Record {
        Record {
            thread,
            begin,
            flags,
            ..Record::new(Kind::Wake)
        }
    }

    fn link(cause: usize, ready_since: Tick) -> Link {
        Link {
            cause: Some(cause),
            ready_since: Some(ready_since),
        }
    }

    #[test]
    fn the_first_wake_up_of_a_wait_is_the_cause_of_the_next_step() {
        let records = [
            step(1, 100, 110, Reason::Receive),
            step(1, 10, 20, Reason::Receive),
            wake(1, 30, 0),
            wake(1, 40, 0),
            wake(2, 25, 0),
            step(2, 26, 27, Reason::Receive),
        ];
        let links = links(&records);
        assert_eq!(links[0], link(2, 30));
        assert_eq!(links[1], Link::default());
        assert_eq!(links[5], link(4, 25));
    }

    #[test]
    fn a_spawn_leads_to_the_first_step_and_a_yield_to_the_next() {
        let spawn = Record {
            thread: 1,
            begin: 5,
            ..Record::new(Kind::Spawn)
        };
        let records = [
            spawn,
            step(1, 10, 20, Reason::Yield),
            step(1, 50, 60, Reason::Park),
        ];
        let links = links(&records);
        assert_eq!(links[1], link(0, 5));
        let yielded = Link {
            cause: None,
            ready_since: Some(20),
        };
        assert_eq!(links[2], yielded);
    }

    #[test]
    fn a_wake_up_of_a_running_thread_counts_if_it_is_delivered_later() {
        for (flags, expected) in [(flag::REMOTE, link(1, 20)), (0, Link::default())] {
            let records = [
                step(1, 10, 20, Reason::Receive),
                wake(1, 15, flags),
                step(1, 30, 40, Reason::Receive),
            ];
            assert_eq!(links(&records)[2], expected);
        }
    }
}
