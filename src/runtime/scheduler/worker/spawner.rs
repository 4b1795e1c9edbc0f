//! The spawner of a worker's shared threads: which one it is, and what it waits for when the worker
//! decides about them.

use std::ptr;

use super::WorkerLoop;
use crate::green::context::coop;
use crate::green::{Reason, State};
use crate::runtime::placement::policy::Parked;
use crate::sys::clock::NEVER;

/// How many operations a spawner does between its spawn of a thread and its wait for an answer: at
/// least a send and a receive, and not many more.
const ASKS: std::ops::RangeInclusive<i32> = 2..=8;

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
