//! Where the threads that are spawned on a worker start, and what their first steps tell about their spawn sites.
//!
//! What is decided is in `placement.rs`; here it is asked and done. Called on the worker's OS thread, by its green threads
//! and by its loop.

use std::ptr;
use std::sync::atomic::Ordering;

use super::super::shared::{Peer, Phase};
use super::super::start_queue::Unstarted;
use super::Worker;
use crate::green::{Green, Home};
use crate::runtime::placement::policy;
use crate::runtime::placement::policy::{Conduct, Deferral, Place, Record, STUCK_AFTER, View};
use crate::runtime::placement::sites::{NO_SITE, Site};
use crate::sys::clock::{self, NEVER, Tick};

/// Of the threads of a site that is known to be short, one of so many is timed all the same; a power of two.
const TIMED_ONE_IN: usize = 64;

impl Worker {
    /// Takes in a thread of the site `key` that any worker may start.
    #[inline]
    pub(crate) fn push(&self, new: Unstarted, key: u64) {
        super::bump(&self.peer().spawned, 1);
        if self.shared.peers.len() == 1 {
            self.push_unstarted(new);
            self.has_fresh.set(true);
            if self.by_hand {
                self.take_in();
            }
            return;
        }
        if self.destination.get().is_some() {
            return self.push_accepted(new, key);
        }
        self.push_by_site(new, key);
    }

    /// Hands a thread of the site `key` to the worker `index`, which alone may start it.
    #[cold]
    pub(crate) fn push_fixed(&self, index: usize, new: Unstarted, key: u64) {
        if self.shared.peers.len() == 1 {
            return self.push(new, key);
        }
        super::bump(&self.peer().spawned, 1);
        self.has_fresh.set(true);
        self.shared.push_fixed(index, new);
    }

    #[inline]
    fn push_by_site(&self, new: Unstarted, key: u64) {
        let (site, record) = self.shared.sites.find(key);
        new.0.origin.set_site(site);
        if record.is_short() {
            self.push_here(new);
        } else if record.conduct() == Conduct::Waits && self.keeps.get() > 0 {
            self.keeps.set(self.keeps.get() - 1);
            self.push_here(new);
        } else {
            self.place(new, site, record);
        }
    }

    /// It stays here, unless it waits for long.
    #[inline]
    fn push_here(&self, new: Unstarted) {
        self.push_unstarted(new);
        self.has_fresh.set(true);
        self.shared.rouse(self.index);
    }

    /// A thread of a site whose threads are not short, or of an unknown one.
    #[cold]
    #[inline(never)]
    fn place(&self, new: Unstarted, site: Site, record: Record) {
        let shared = &*self.shared;
        if record.conduct() != Conduct::Computes {
            shared
                .sites
                .note(site, |record| record.spawned_by(self.index));
        }
        let cursor = &self.cursors[usize::from(site)];
        let mut turn = cursor.get();
        let queued = self.peer().unstarted.own();
        let view = |index| self.view(index, queued);
        let workers = shared.peers.len();
        let place = policy::place(record, self.index, queued, &mut turn, workers, view);
        cursor.set(turn);
        match place {
            Place::Local => {
                // In a burst, a few more or less make no difference: others are not looked at each time.
                self.keeps.set(policy::keeps(queued));
                self.push_here(new);
            }
            Place::Shared => {
                self.deferring_since.set(0);
                self.has_fresh.set(true);
                shared.push_shared(self.index, new);
            }
            Place::At(index) if index == self.index => {
                self.mark_placed(&new);
                self.push_here(new);
            }
            Place::At(index) => {
                shared.push_placed(index, new);
                // If that worker computes for long, somebody else may take it.
                shared.rouse(self.index);
            }
        }
    }

    /// What placement sees of the worker `index`.
    fn view(&self, index: usize, queued: usize) -> View {
        let peer = &self.shared.peers[index];
        let mut live = peer.settled_live();
        let newcomers = peer.newcomers();
        live += newcomers;
        if index == self.index {
            live += queued.saturating_sub(newcomers);
            return View {
                live,
                is_stuck: false,
            };
        }
        // Only what was seen twice tells: a worker that leaves a long step at this moment looks as one that stays in it.
        let seen = &self.seen[index];
        let started = peer.started.load(Ordering::Relaxed);
        let (then, since) = seen.get();
        let is_stuck = if newcomers == 0 || peer.load.sleeps() || then != started || since == 0 {
            let now = if newcomers == 0 { 0 } else { clock::now() };
            seen.set((started, now));
            false
        } else {
            clock::now().saturating_sub(since) >= STUCK_AFTER
        };
        View { live, is_stuck }
    }

    fn mark_placed(&self, new: &Unstarted) {
        new.0.origin.set_placed();
        self.peer().placed.fetch_add(1, Ordering::Relaxed);
    }

    /// The next one after [`Worker::place_next`].
    #[cold]
    fn push_accepted(&self, new: Unstarted, key: u64) {
        if let Some((spawner, index)) = self.destination.take()
            && ptr::eq(self.home.current_ptr(), spawner)
            && self.shared.phase() == Phase::Open
        {
            if index != self.index {
                self.shared.push_placed(index, new);
                // If that worker computes for long, somebody else may take it.
                return self.shared.rouse(self.index);
            }
            self.mark_placed(&new);
            return self.push_here(new);
        }
        self.push_by_site(new, key);
    }

    /// The running thread has accepted a connection: what it spawns next is placed where there is room.
    pub(crate) fn place_next(&self) {
        if self.shared.peers.len() > 1 {
            let current = self.home.current_ptr();
            let index = self.shared.place(self.home.now.get());
            self.destination.set(Some((current, index)));
        }
    }

    /// A thread whose end is of interest ends.
    #[cold]
    #[inline(never)]
    pub(super) fn note_end(&self, green: &Green) {
        if green.origin.is_placed() {
            self.leave_place();
        }
        if green.origin.is_timed() {
            self.note_life(green);
        }
    }

    /// One that was placed here has ended.
    fn leave_place(&self) {
        let Peer {
            placed, settled, ..
        } = self.peer();
        settled.store(settled.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        placed.fetch_sub(1, Ordering::Relaxed);
    }

    // --- what the threads of a site do ---

    /// The first step of a thread that has a stack and is this worker's.
    #[inline(always)]
    pub(super) fn run_first(&self, green: &'static Green) {
        let site = green.origin.site();
        if site == NO_SITE {
            self.run(green);
            return;
        }
        let record = self.shared.sites.record(site);
        let started = self.peer().started.load(Ordering::Relaxed);
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
    fn run_timed(&self, green: &'static Green, site: Site) {
        let start = clock::now();
        green.started_at.set(start);
        green.origin.set_timed();
        let has_ended = self.run(green);
        let shown = Conduct::shown(clock::now().saturating_sub(start), has_ended);
        self.shared
            .sites
            .note(site, |record| record.observed(shown));
    }

    /// Without having been timed, a thread has shown that it does not behave as others of its site.
    #[cold]
    fn note_surprise(&self, site: Site, has_ended: bool) {
        let shown = Conduct::shown(0, has_ended);
        self.shared
            .sites
            .note(site, |record| record.observed(shown));
    }

    /// A timed thread ends.
    fn note_life(&self, green: &Green) {
        let site = green.origin.site();
        if self.shared.sites.record(site).conduct() == Conduct::Waits {
            let life = clock::now().saturating_sub(green.started_at.get());
            self.shared.sites.note(site, |record| record.lived(life));
        }
    }

    // --- threads that the first idle worker starts ---

    /// Whether this worker, which has nothing else to run, starts a shared thread of its own.
    #[cold]
    pub(super) fn may_start_shared(&self) -> bool {
        let peer = self.peer();
        let shared = peer.unstarted.shared();
        let buried = peer.buried.load(Ordering::Relaxed);
        let now = self.home.now.get();
        let since = self.deferring_since.get();
        let deferral = Deferral {
            shared,
            idle: self.shared.idle_workers(self.index, shared),
            has_parked: peer.started.load(Ordering::Relaxed) > buried,
            deferred: if since == 0 {
                0
            } else {
                now.saturating_sub(since)
            },
        };
        let starts = deferral.starts();
        if starts {
            self.deferring_since.set(0);
        } else {
            if since == 0 {
                self.deferring_since.set(now.max(1));
                self.shared.wake_one(self.index, self.index);
            }
            let left = deferral.patience() - deferral.deferred;
            self.deferring_until.set(now.saturating_add(left));
        }
        starts
    }

    /// How long this worker leaves its shared threads to others yet; [`NEVER`] if it does not.
    pub(super) fn deferral_left(&self) -> Tick {
        match self.deferring_since.get() {
            0 => NEVER,
            _ if self.peer().unstarted.shared() == 0 => {
                self.deferring_since.set(0);
                NEVER
            }
            _ => self
                .deferring_until
                .get()
                .saturating_sub(self.home.now.get()),
        }
    }

    /// A shared thread of this worker's own queue, if it may start one.
    #[cold]
    #[inline(never)]
    pub(super) fn pop_shared(&self) -> Option<Unstarted> {
        if !self.may_start_shared() {
            return None;
        }
        let new = self.shared.take_shared(self.index)?;
        let site = new.0.origin.site();
        let record = self.shared.sites.record(site);
        if record.conduct() == Conduct::Waits {
            // Another thread of its site has waited meanwhile: it is no computation, and has its turn.
            self.place(new, site, record);
            return self.pop_unstarted();
        }
        Some(new)
    }

    /// One of those that wait beside the queue, so that a queue which never becomes empty does not hold them up for good.
    #[cold]
    pub(super) fn pop_beside(&self) -> Option<Unstarted> {
        if self.short_of_stacks.get() {
            return None;
        }
        let queue = &self.peer().unstarted;
        queue
            .pop_fixed()
            .or_else(|| (queue.shared() > 0).then(|| self.pop_shared()).flatten())
    }

    /// The worker has nothing to run: takes a thread that waits for an idle worker. True: it has one.
    pub(super) fn take_shared(&self) -> bool {
        if !self.shared.has_shared() || self.short_of_stacks.get() {
            return false;
        }
        let Some((owner, new)) = self.shared.steal_shared(self.index) else {
            return false;
        };
        let record = self.shared.sites.record(new.0.origin.site());
        let peers = &self.shared.peers;
        if record.conduct() == Conduct::Waits && self.peer().residents() > peers[owner].residents()
        {
            // Another thread of its site has waited meanwhile: it is no computation, and counts.
            self.shared.push_placed(owner, new);
            return false;
        }
        if self.shared.has_shared() {
            // Whoever takes one sees to it that the next is taken. If this one turns out to be short, the next may be for
            // this worker, too, so that the owner is not held up by it.
            let is_long = record.conduct() == Conduct::Computes;
            let nor = if is_long { self.index } else { owner };
            self.shared.wake_one(self.index, nor);
        }
        self.push_unstarted(new);
        true
    }
}

/// The calling green thread has accepted a connection: what it spawns next will live long, and is placed on a
/// worker that has room.
pub(crate) fn place_next() {
    if let Some(worker) = Home::get().and_then(Worker::of) {
        worker.place_next();
    }
}
