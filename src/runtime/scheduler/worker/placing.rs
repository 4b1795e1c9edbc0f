//! Places the threads that are spawned on a worker, and records what their first steps show about
//! their spawn sites.
//!
//! The decisions are in `runtime/placement/policy.rs`; this file collects their inputs and carries
//! them out. Called on the worker's OS thread, by its green threads and by its loop.

use std::ptr;
use std::sync::atomic::Ordering;

use super::super::shared::{Phase, WorkerShared};
use super::super::unstarted_queue::Unstarted;
use super::WorkerLoop;
use crate::green::context::coop;
use crate::green::{Reason, State, ThreadInner, WorkerContext};
use crate::runtime::placement::policy;
use crate::runtime::placement::policy::{
    Conduct, Deferral, Parked, Placement, Record, STUCK_AFTER_NS, Sample, SharedPlacement, View,
};
use crate::runtime::placement::sites::{NO_SITE, Site};
use crate::sys::clock::{self, NEVER, Tick};

/// Of the threads of a site whose conduct is sure, one in this many is timed all the same; a power
/// of two.
const TIMED_ONE_IN: usize = 64;
/// A thread that has waited longer than this (in nanoseconds) to be started may find that other
/// threads have done its work.
const LATE_AFTER_NS: Tick = 100_000;
/// Of the threads that end at once and may be late, one in this many counts; a power of two.
const COUNT_LATE_ONE_IN: usize = 16;
/// How often (in nanoseconds) a worker that leaves its shared threads to others checks whether they
/// take them.
const RECHECK_EVERY_NS: Tick = 100_000;
/// How many operations a spawner does between its spawn of a thread and its wait for an answer: at
/// least a send and a receive, and not many more.
const ASK_OPERATIONS: std::ops::RangeInclusive<i32> = 2..=8;

impl WorkerLoop {
    /// Queues a thread of the site `key` that any worker may start.
    #[inline]
    pub(crate) fn push(&self, new: Unstarted, key: u64) {
        super::bump(&self.worker_shared().spawned, 1);
        if self.shared.workers.len() == 1 {
            self.push_unstarted(new);
            self.has_fresh.set(true);
            if self.is_stepped {
                self.drain_remote_spawns();
            }
            return;
        }
        if self.destination.get().is_some() {
            return self.push_accepted(new, key);
        }
        self.push_by_site(new, key);
    }

    /// Hands a thread of the site `key` to the worker `index`, the only one that may start it.
    #[cold]
    pub(crate) fn push_fixed(&self, index: usize, new: Unstarted, key: u64) {
        if self.shared.workers.len() == 1 {
            return self.push(new, key);
        }
        super::bump(&self.worker_shared().spawned, 1);
        self.has_fresh.set(true);
        self.shared.push_fixed(index, new);
    }

    #[inline]
    fn push_by_site(&self, new: Unstarted, key: u64) {
        if let Some(site) = self.shared.sites.find_short(key) {
            new.0.origin.begin_short(site);
            return self.push_here(new);
        }
        self.push_by_record(new, key);
    }

    /// Places a thread of a site whose threads are not known to be short.
    #[inline(never)]
    fn push_by_record(&self, new: Unstarted, key: u64) {
        let (site, record) = self.shared.sites.find(key);
        new.0.origin.begin(site);
        if record.is_short() {
            self.push_here(new);
        } else if record.conduct() == Conduct::Waits && self.sharing.burst_left.get() > 0 {
            self.sharing
                .burst_left
                .set(self.sharing.burst_left.get() - 1);
            self.push_here(new);
        } else {
            self.place(new, site, record);
        }
    }

    /// Queues the thread here; another worker may steal it if it waits for long.
    #[inline]
    fn push_here(&self, new: Unstarted) {
        self.push_unstarted(new);
        self.has_fresh.set(true);
        self.shared.wake_worker(self.index);
    }

    /// Places a thread of a site that is unknown or whose threads are not short.
    #[cold]
    #[inline(never)]
    fn place(&self, new: Unstarted, site: Site, record: Record) {
        let shared = &*self.shared;
        if record.conduct() != Conduct::Computes {
            shared
                .sites
                .note(site, |record| record.spawned_by(self.index));
        }
        let cursor = &self.sharing.cursors[usize::from(site)];
        let mut position = cursor.get();
        let queued = self.worker_shared().unstarted.own();
        let view = |index| self.view(index, queued);
        let workers = shared.workers.len();
        let waiting = self.worker_shared().unstarted.shared();
        let own = self.index;
        let placement = policy::place(record, own, queued, waiting, &mut position, workers, view);
        cursor.set(position);
        match placement {
            Placement::Local => {
                // In a burst, a few threads more or less make no difference, so the other workers
                // are not looked at for each thread.
                self.sharing.burst_left.set(policy::burst_share(queued));
                self.push_here(new);
            }
            Placement::Shared => {
                self.sharing.deferring_since.set(0);
                self.has_fresh.set(true);
                self.sharing.has_undecided.set(true);
                if record.conduct() == Conduct::Unknown {
                    self.note_spawner();
                    if waiting == 0 {
                        self.hold_shared(true);
                    }
                }
                shared.push_shared(self.index, new);
            }
            Placement::At(index) if index == self.index => {
                self.mark_placed(&new);
                self.push_here(new);
            }
            Placement::At(index) => {
                shared.push_placed(index, new);
                // If that worker computes for long, another worker may take the thread.
                shared.wake_worker(self.index);
            }
        }
    }

    /// Returns what the policy sees of the worker `index`.
    fn view(&self, index: usize, queued: usize) -> View {
        let worker = &self.shared.workers[index];
        let mut live = worker.started_live();
        let placed_unstarted = worker.placed_unstarted();
        live += placed_unstarted;
        if index == self.index {
            live += queued.saturating_sub(placed_unstarted);
            return View {
                live,
                queued,
                is_stuck: false,
            };
        }
        // One reading is not enough: a worker that is just leaving a long step looks the same as
        // one that stays in it.
        let seen = &self.sharing.seen[index];
        let started = worker.started.load(Ordering::Relaxed);
        let (then, since) = seen.get();
        let is_stuck =
            if placed_unstarted == 0 || worker.load.is_asleep() || then != started || since == 0 {
                let now = if placed_unstarted == 0 {
                    0
                } else {
                    clock::now()
                };
                seen.set((started, now));
                false
            } else {
                clock::now().saturating_sub(since) >= STUCK_AFTER_NS
            };
        View {
            live,
            queued: worker.unstarted.own(),
            is_stuck,
        }
    }

    fn mark_placed(&self, new: &Unstarted) {
        new.0.origin.set_placed();
        self.worker_shared().placed.fetch_add(1, Ordering::Relaxed);
    }

    /// Queues the next spawn after [`WorkerLoop::place_next`].
    #[cold]
    fn push_accepted(&self, new: Unstarted, key: u64) {
        if let Some((spawner, index)) = self.destination.take()
            && ptr::eq(self.cx.current_ptr(), spawner)
            && self.shared.phase() == Phase::Open
        {
            if index != self.index {
                self.shared.push_placed(index, new);
                // If that worker computes for long, another worker may take the thread.
                return self.shared.wake_worker(self.index);
            }
            self.mark_placed(&new);
            return self.push_here(new);
        }
        self.push_by_site(new, key);
    }

    /// Places the next thread that the running thread spawns on a worker that has room. Called when
    /// the running thread has accepted a connection.
    pub(crate) fn place_next(&self) {
        if self.shared.workers.len() > 1 {
            let current = self.cx.current_ptr();
            let index = self.shared.choose_worker(self.cx.now.get());
            self.destination.set(Some((current, index)));
        }
    }

    /// Records the end of a thread that was placed or timed.
    #[cold]
    #[inline(never)]
    pub(super) fn note_end(&self, green: &ThreadInner) {
        if green.origin.is_placed() {
            self.leave_place();
        }
        if green.origin.is_timed() {
            self.note_life(green);
        }
    }

    /// Stops counting a thread that was placed here, when it ends.
    fn leave_place(&self) {
        let WorkerShared {
            placed,
            placed_started,
            ..
        } = self.worker_shared();
        placed_started.store(
            placed_started.load(Ordering::Relaxed) - 1,
            Ordering::Relaxed,
        );
        placed.fetch_sub(1, Ordering::Relaxed);
    }

    // --- what the threads of a site do ---

    /// Runs the first step of a thread that has a stack and belongs to this worker.
    #[inline(always)]
    pub(super) fn run_first(&self, green: &'static ThreadInner) {
        if green.origin.is_short() {
            let started = self.worker_shared().started.load(Ordering::Relaxed);
            if started.is_multiple_of(TIMED_ONE_IN) {
                self.run_timed(green, green.origin.site());
            } else if !self.run(green) {
                self.note_surprise(green.origin.site(), false);
            }
        } else if green.origin.site() == NO_SITE {
            self.run(green);
        } else {
            self.run_recorded(green);
        }
    }

    /// Runs the first step of a thread whose site was not known to be short when it was spawned.
    #[inline(never)]
    fn run_recorded(&self, green: &'static ThreadInner) {
        let site = green.origin.site();
        let record = self.shared.sites.record(site);
        let started = self.worker_shared().started.load(Ordering::Relaxed);
        if !record.is_sure() || started.is_multiple_of(TIMED_ONE_IN) {
            return self.run_timed(green, site);
        }
        let has_ended = self.run(green);
        if has_ended != record.is_short() {
            self.note_surprise(site, has_ended);
        }
    }

    #[cold]
    #[inline(never)]
    fn run_timed(&self, green: &'static ThreadInner, site: Site) {
        let start = clock::now();
        green.started_at.set(start);
        let since = green.since();
        let is_late = since != 0 && start.saturating_sub(since) > LATE_AFTER_NS;
        if site != NO_SITE && !is_late {
            green.origin.set_timed();
        }
        let exchanges = self.cx.exchanges.get();
        let has_ended = self.run_plain(green);
        let exchanged = self.cx.exchanges.get() != exchanges;
        let shown = Conduct::shown(clock::now().saturating_sub(start), has_ended, exchanged);
        if site == NO_SITE {
            return;
        }
        let sites = &self.shared.sites;
        let known = sites.record(site).conduct();
        if !has_ended {
            green.sample.set(0);
            green.origin.set_sampled(true);
            if shown == Conduct::Talks || known == Conduct::Talks {
                self.sharing.talkers.set(self.sharing.talkers.get() + 1);
            }
        } else if is_late && shown == Conduct::Short && !self.counts_as_short(known) {
            return;
        }
        sites.note(site, |record| record.observed(shown));
        if known == Conduct::Unknown && self.worker_shared().unstarted.shared() > 0 {
            self.sharing.has_undecided.set(true);
            self.has_fresh.set(true);
        }
    }

    /// Runs one of the first steps of a thread, other than its very first, and samples it.
    #[cold]
    #[inline(never)]
    pub(super) fn run_sampled(&self, green: &'static ThreadInner) -> bool {
        let exchanges = self.cx.exchanges.get();
        let start = clock::now();
        let has_ended = self.run_plain(green);
        if has_ended {
            return true;
        }
        let step = clock::now().saturating_sub(start);
        let is_exchange = green.reason().is_exchange() || self.cx.exchanges.get() != exchanges;
        let is_limited = green.is_limited();
        let sample = Sample(green.sample.get()).with(step, is_exchange && !is_limited);
        green.sample.set(sample.0);
        if let Some(talks) = sample.talks() {
            green.origin.set_sampled(false);
            let site = green.origin.site();
            self.shared.sites.note(site, |record| record.sampled(talks));
        }
        false
    }

    /// Returns whether a late thread that ended at once changes the record of its site. A pool
    /// thread that starts when all jobs are done does not show how the others behave; many threads
    /// of a tree that wait long to be started do.
    fn counts_as_short(&self, known: Conduct) -> bool {
        let started = self.worker_shared().started.load(Ordering::Relaxed);
        matches!(known, Conduct::Unknown | Conduct::Short)
            || started.is_multiple_of(COUNT_LATE_ONE_IN)
    }

    /// Records that a thread, without being timed, did not behave as others of its site.
    #[cold]
    fn note_surprise(&self, site: Site, has_ended: bool) {
        let shown = Conduct::shown(0, has_ended, false);
        if has_ended && !self.counts_as_short(self.shared.sites.record(site).conduct()) {
            return;
        }
        self.shared
            .sites
            .note(site, |record| record.observed(shown));
    }

    /// Records how long a timed thread lived; called when it ends.
    fn note_life(&self, green: &ThreadInner) {
        let site = green.origin.site();
        if self.shared.sites.record(site).conduct() == Conduct::Waits {
            let life = clock::now().saturating_sub(green.started_at.get());
            self.shared.sites.note(site, |record| record.lived(life));
        }
    }

    // --- threads that the first idle worker starts ---

    /// Starts or stops holding the shared threads of this worker back from others.
    fn hold_shared(&self, holds: bool) {
        let since = if holds { clock::now() } else { 0 };
        self.worker_shared()
            .held_since
            .store(since, Ordering::Relaxed);
    }

    /// Notes the running thread as the spawner of a thread of an unknown site.
    fn note_spawner(&self) {
        let sharing = &self.sharing;
        if self.worker_shared().started_live() <= 1 {
            sharing.talkers.set(0);
        }
        sharing.budget.set(coop::remaining());
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
    fn parked(&self) -> Parked {
        let live = self.worker_shared().started_live();
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
                if is_alone
                    && ASK_OPERATIONS.contains(&(sharing.budget.get() - coop::remaining())) =>
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

    /// Decides once more about the shared threads of this worker, which has nothing else to run.
    /// Returns true if some are in its own queue now.
    #[cold]
    pub(super) fn reconsider_shared(&self) -> bool {
        let sharing = &self.sharing;
        if !sharing.has_undecided.replace(false) {
            return false;
        }
        let parked = self.parked();
        let live = self.worker_shared().started_live();
        let is_only = self.worker_shared().unstarted.shared() == 1;
        let (mut unknown, mut local, mut left) = (0, 0, 0);
        let mut waiting = Vec::new();
        self.shared.reconsider_shared(self.index, |new| {
            let site = new.0.origin.site();
            let record = self.shared.sites.record(site);
            let is_awaited = new.0.completion().is_awaited();
            match policy::place_shared(record, parked, is_awaited, is_only, live + local) {
                SharedPlacement::Here => {
                    local += 1;
                    self.push_here(new);
                }
                SharedPlacement::Reconsider => waiting.push(new),
                SharedPlacement::Shared => {
                    unknown += usize::from(record.conduct() == Conduct::Unknown);
                    left += 1;
                    return Some(new);
                }
            }
            None
        });
        for new in waiting {
            if left > 0 {
                // Some of the threads that stay shared may compute for long, and need the idle
                // workers.
                self.mark_placed(&new);
                self.push_here(new);
            } else {
                let site = new.0.origin.site();
                self.place(new, site, self.shared.sites.record(site));
            }
        }
        // If one of the threads starts here now, what it does decides about the others.
        self.hold_shared(local > 0 && unknown > 0);
        // The threads in the shared queue are not new, even where `place` has just added some.
        sharing.has_undecided.set(false);
        sharing.unknown.set(unknown);
        if self.worker_shared().unstarted.shared() == 0 {
            sharing.spawner.set(None);
        }
        !self.worker_shared().unstarted.is_empty()
    }

    /// Returns whether this worker, which has nothing else to run, may start a shared thread of its
    /// own.
    ///
    /// Called before the worker sleeps and again when it takes the thread, so an answer of true
    /// must not restart the deferral.
    #[cold]
    pub(super) fn may_start_shared(&self) -> bool {
        let shared = self.worker_shared().unstarted.shared();
        let since = self.sharing.deferring_since.get();
        // The cached time `cx.now` may be older than the shared thread.
        let now = clock::now();
        let deferral = Deferral {
            shared,
            unknown: self.sharing.unknown.get().min(shared),
            idle: self.shared.idle_workers(self.index, shared),
            parked: self.parked(),
            deferred: match since {
                0 => 0,
                since => now.saturating_sub(since),
            },
        };
        if deferral.starts() {
            return true;
        }
        if since == 0 {
            self.sharing.deferring_since.set(now.max(1));
            self.shared.wake_one(self.index, self.index);
        }
        let left = deferral.limit_ns() - deferral.deferred;
        self.sharing.deferring_until.set(now.saturating_add(left));
        false
    }

    /// Returns how long this worker may sleep before it looks at its shared threads again;
    /// [`NEVER`] if it has none.
    pub(super) fn deferral_left(&self) -> Tick {
        match self.sharing.deferring_since.get() {
            0 => NEVER,
            _ if self.worker_shared().unstarted.shared() == 0 => {
                self.sharing.deferring_since.set(0);
                NEVER
            }
            // A worker that takes one of them and stays busy does not wake this worker for the
            // next.
            _ => self
                .sharing
                .deferring_until
                .get()
                .saturating_sub(self.cx.now.get())
                .min(RECHECK_EVERY_NS),
        }
    }

    /// Takes a shared thread of this worker's own queue, if the worker may start one.
    #[cold]
    #[inline(never)]
    pub(super) fn pop_shared(&self) -> Option<Unstarted> {
        if self.reconsider_shared() {
            return self.pop_unstarted();
        }
        if self.worker_shared().unstarted.shared() == 0 || !self.may_start_shared() {
            return None;
        }
        self.sharing.deferring_since.set(0);
        self.shared.take_shared(self.index)
    }

    /// Takes a fixed or shared thread, so that an own queue that never becomes empty does not delay
    /// those threads forever.
    #[cold]
    pub(super) fn pop_beside(&self) -> Option<Unstarted> {
        if self.out_of_stacks.get() {
            return None;
        }
        let queue = &self.worker_shared().unstarted;
        queue
            .pop_fixed()
            .or_else(|| (queue.shared() > 0).then(|| self.pop_shared()).flatten())
    }

    /// Takes a thread that waits for an idle worker; called when this worker has nothing to run.
    /// Returns true if it has taken one.
    pub(super) fn take_shared(&self) -> bool {
        if self.out_of_stacks.get() {
            return false;
        }
        // The loop is bounded: threads that are pushed meanwhile are left for the next look.
        for _ in 0..policy::BURST_THRESHOLD {
            let Some((owner, new)) = self.shared.steal_shared(self.index) else {
                return false;
            };
            let conduct = self.shared.sites.record(new.0.origin.site()).conduct();
            let workers = &self.shared.workers;
            // Another thread of its site may have shown meanwhile that this one does not compute.
            // Then it belongs to the owner, or is placed by counts.
            match conduct {
                Conduct::Talks => self.shared.push_to(owner, new),
                Conduct::Waits
                    if self.worker_shared().residents() >= workers[owner].residents() =>
                {
                    self.shared.push_placed(owner, new);
                }
                _ => {
                    self.take_in_shared(owner, new, conduct);
                    return true;
                }
            }
        }
        false
    }

    /// Queues `new`, which `owner` had shared, to be started by this worker.
    fn take_in_shared(&self, owner: usize, new: Unstarted, conduct: Conduct) {
        self.worker_shared().stats.steals.add(1);
        if self.shared.has_shared() {
            // A worker that takes a shared thread makes sure that the next one is taken. If this
            // thread turns out to be short, the next one may be for this worker, too, so that the
            // owner is not delayed by it.
            let is_long = conduct == Conduct::Computes;
            let nor = if is_long { self.index } else { owner };
            self.shared.wake_one(self.index, nor);
        }
        if conduct == Conduct::Waits {
            self.mark_placed(&new);
        }
        self.push_unstarted(new);
    }
}

/// Places the next thread that the calling green thread spawns on a worker that has room. Called
/// after the caller has accepted a connection, because a thread for a connection lives long.
pub(crate) fn place_next() {
    if let Some(worker) = WorkerContext::get().and_then(WorkerLoop::of) {
        worker.place_next();
    }
}
