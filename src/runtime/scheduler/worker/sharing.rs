//! What a worker keeps to place threads: its turns, and notes on the threads that it offers to all
//! workers and on their spawner.

use std::cell::Cell;
use std::ptr;

use super::WorkerLoop;
use crate::green::context::coop;
use crate::green::{Reason, State, ThreadRef};
use crate::runtime::placement::policy::Parked;
use crate::runtime::placement::sites::ENTRIES;
use crate::sys::clock::{NEVER, Tick};

/// How many operations a spawner does between its spawn of a thread and its wait for an answer: at
/// least a send and a receive, and not many more.
const ASKS: std::ops::RangeInclusive<i32> = 2..=8;

/// See the module documentation.
pub(super) struct Sharing {
    /// Per spawn site, the cursor of its turns (`runtime/placement/policy.rs`).
    pub(super) cursors: Box<[Cell<u16>; ENTRIES]>,
    /// How many more threads of a burst stay here before the other workers are looked at again.
    pub(super) keeps: Cell<usize>,
    /// Per worker, how many threads it had started, and since when threads were seen to wait for it
    /// with that count unchanged (0: none were).
    pub(super) seen: Box<[Cell<(usize, Tick)>]>,
    /// The time since when the worker leaves its shared threads to others; 0 if it does not.
    pub(super) deferring_since: Cell<Tick>,
    pub(super) deferring_until: Cell<Tick>,
    /// The spawner of the last shared thread.
    pub(super) spawner: Cell<Option<ThreadRef>>,
    /// The coop budget that the spawner had left at that time.
    pub(super) budget: Cell<i32>,
    /// There are new shared threads, or more is known about some.
    pub(super) is_unsettled: Cell<bool>,
    /// How many shared threads were of unknown sites at the last look.
    pub(super) unknown: Cell<usize>,
    /// How many threads that talk have started here since at most one other thread lived here; some
    /// may have ended.
    pub(super) talkers: Cell<usize>,
}

impl Sharing {
    pub(super) fn new(workers: usize) -> Sharing {
        Sharing {
            cursors: Box::new([const { Cell::new(0) }; ENTRIES]),
            keeps: Cell::new(0),
            seen: (0..workers).map(|_| Cell::default()).collect(),
            deferring_since: Cell::new(0),
            deferring_until: Cell::new(0),
            spawner: Cell::new(None),
            budget: Cell::new(0),
            is_unsettled: Cell::new(false),
            unknown: Cell::new(0),
            talkers: Cell::new(0),
        }
    }
}

impl WorkerLoop {
    /// Notes the running thread as the spawner of a shared thread.
    pub(super) fn note_spawner(&self) {
        let sharing = &self.sharing;
        if self.peer().started_live() <= 1 {
            sharing.talkers.set(0);
        }
        sharing.budget.set(coop::left());
        let known = sharing.spawner.take();
        let current = self.cx.current_ptr();
        let is_known = known
            .as_ref()
            .is_some_and(|known| ptr::eq(&raw const **known, current));
        sharing.spawner.set(match is_known {
            true => known,
            false if current.is_null() => None,
            false => Some(self.cx.current().to_ref()),
        });
    }

    /// Returns what kind of threads wait here, as far as that matters for the shared threads.
    pub(super) fn parked(&self) -> Parked {
        let live = self.peer().started_live();
        if live == 0 {
            return Parked::Nothing;
        }
        let sharing = &self.sharing;
        let Some(spawner) = sharing.spawner.take() else {
            return Parked::Others;
        };
        let waits = spawner.state() == State::Parked
            && ptr::eq(spawner.remote(), self.cx.remote)
            && !spawner.is_limited()
            && self.timers.borrow().next() == NEVER;
        let reason = spawner.reason();
        sharing.spawner.set(Some(spawner));
        if !waits {
            return Parked::Others;
        }
        let is_alone = live == 1;
        let talks = live <= 1 + sharing.talkers.get();
        match reason {
            Reason::Join | Reason::Scope | Reason::WaitGroup if is_alone => Parked::Joiner,
            Reason::Receive
                if is_alone && ASKS.contains(&(sharing.budget.get() - coop::left())) =>
            {
                Parked::Asker
            }
            Reason::Join | Reason::Scope | Reason::WaitGroup | Reason::Receive | Reason::Send
                if talks && !is_alone =>
            {
                Parked::Talkers
            }
            _ => Parked::Others,
        }
    }

    /// Returns the address of the scope whose threads the spawner waits for, or 0. `parked`: what
    /// [`WorkerLoop::parked`] has just returned.
    pub(super) fn awaited_scope(&self, parked: Parked) -> usize {
        if parked != Parked::Joiner {
            return 0;
        }
        let spawner = self.sharing.spawner.take();
        let scope = match &spawner {
            Some(spawner) if spawner.reason() == Reason::Scope => spawner.subject(),
            _ => 0,
        };
        self.sharing.spawner.set(spawner);
        scope
    }
}
