//! The placement policy: decides on which worker a new thread starts, from counts and times alone.
//!
//! A started thread never changes its worker, so the start is the only chance to spread load. When
//! a thread is spawned, its behaviour is not known, but that of earlier threads of the same *spawn
//! site* is. A site is a place in the source together with the type of the closure. Its [`Record`]
//! says how its threads have behaved:
//!
//! | conduct | meaning | where its threads start |
//! |---|---|---|
//! | `Unknown` | none has shown what it does | on the first idle worker, until one has shown it |
//! | `Short` | ends in its first step, within [`LONG_STEP_NS`] | on the spawner's worker |
//! | `Waits` | waits in its first step: it lives | round-robin over all workers |
//! | `Computes` | its first step takes [`LONG_STEP_NS`] or more | on the first idle worker |
//! | `Talks` | its steps are tiny, and it waits for other threads | on the spawner's worker, if few live there |
//!
//! Threads of an unknown site stay in the spawner's queue of shared threads until an idle worker
//! takes one, or until the spawner waits and its worker finds out what the first of them does
//! ([`settle`], [`Deferral`]).
//!
//! Nothing here reads a clock, an atomic or another file, so that the simulator
//! (`benches/placement`) runs this very source.

/// The length (in nanoseconds) from which a first step is a computation: about what it costs to
/// wake a worker.
pub(crate) const LONG_STEP_NS: u64 = 20_000;
/// The length (in nanoseconds) from which a first step is a computation even if the thread then
/// waits. It is longer because a single delay may be an interruption.
pub(crate) const LONG_STEP_BEFORE_WAIT_NS: u64 = 500_000;
/// A thread that waits, but has ended within this time (in nanoseconds), is not worth another
/// worker.
pub(crate) const BRIEF_LIFE_NS: u64 = 50_000;
/// How long (in nanoseconds) a worker leaves a shared thread to an idle worker that was woken for
/// it: longer than the system keeps the idle worker from its core for another process.
pub(crate) const MAX_DEFERRAL_NS: u64 = 10_000_000;
/// How long (in nanoseconds) a worker leaves a shared thread to others while no worker is idle: one
/// may be about to become idle.
pub(crate) const SHORT_DEFERRAL_NS: u64 = 50_000;
/// A worker that has started none of its new threads for this long (in nanoseconds) is in one long
/// step.
pub(crate) const STUCK_AFTER_NS: u64 = 1_000_000;
/// The number of unstarted threads of its own from which a spawner has a burst, which is spread by
/// counts.
pub(crate) const BURST_THRESHOLD: usize = 64;
/// How long (in nanoseconds) a worker leaves several threads of unknown sites to idle workers: as
/// long as a few wake-ups take. Then it starts one to see what it does.
pub(crate) const UNKNOWN_DEFERRAL_NS: u64 = 200_000;
/// How long (in nanoseconds) a worker holds threads of unknown sites back from others. This is
/// usually enough for its spawner to wait and the first of them to show what it does.
pub(crate) const MAX_HOLD_NS: u64 = 200_000;
/// Steps whose mean length is at most this (in nanoseconds) cost less than a message to another
/// core.
const TINY_STEP_NS: u64 = 3_000;
/// The longest first step (in nanoseconds) that counts as one of exchanges only, if it used up a
/// budget of exchanges.
const MAX_EXCHANGE_STEP_NS: u64 = 60_000;
/// How many steps of a thread after its first are sampled to tell whether it talks.
const SAMPLE_STEPS: u32 = 16;
/// Threads that talk stay with their spawner as long as no more than this many live there.
const MAX_LOCAL_TALKERS: usize = 8;
/// Where several workers spawn at one site, threads are placed round-robin as long as no more than
/// this many live on the spawner's worker.
const MAX_ROUND_ROBIN: usize = 16;
/// The limit that replaces [`MAX_LOCAL_TALKERS`] for threads that are spawned already when the
/// first of them is seen to talk.
const MAX_TALKERS_AT_ONCE: usize = 24;

/// How the threads of a site have behaved so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Conduct {
    /// None has shown it yet.
    Unknown,
    /// They end in their first step, after a short time.
    Short,
    /// They wait in their first step.
    Waits,
    /// Their first step is long.
    Computes,
    /// Their steps are tiny and end in waits for other threads.
    Talks,
}

impl Conduct {
    /// Returns what a thread has shown whose first step took `step` nanoseconds. `has_ended`: the
    /// step ended the thread. `exchanged`: the step used up a budget of exchanges.
    pub(crate) fn shown(step: u64, has_ended: bool, exchanged: bool) -> Conduct {
        match (step, has_ended) {
            (LONG_STEP_BEFORE_WAIT_NS.., _) | (LONG_STEP_NS.., true) => Conduct::Computes,
            (_, true) => Conduct::Short,
            (..=MAX_EXCHANGE_STEP_NS, false) if exchanged => Conduct::Talks,
            (_, false) => Conduct::Waits,
        }
    }
}

/// The steps of a thread after its first one: how many, how many were exchanges, and their total
/// length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample(pub(crate) u32);

impl Sample {
    const EXCHANGE: u32 = 1 << 8;
    const BUSY_SHIFT: u32 = 16;
    /// The unit of the busy time, in nanoseconds.
    const BUSY_UNIT_NS: u64 = 64;

    /// Returns the sample with one more step. `is_exchange`: the step ended in a wait for another
    /// thread, or used up a budget of exchanges.
    pub(crate) fn with(self, step: u64, is_exchange: bool) -> Sample {
        let busy = u64::from(self.0 >> Self::BUSY_SHIFT) + step.div_ceil(Self::BUSY_UNIT_NS);
        let exchange = if is_exchange { Self::EXCHANGE } else { 0 };
        let counts = (self.0 & 0xFFFF) + exchange + 1;
        Sample(((busy.min(0xFFFF) as u32) << Self::BUSY_SHIFT) | counts)
    }

    /// Returns whether the thread talks, or `None` while there are too few steps to tell.
    pub(crate) fn talks(self) -> Option<bool> {
        let steps = self.0 & 0xFF;
        if steps < SAMPLE_STEPS {
            return None;
        }
        let exchanges = self.0 >> 8 & 0xFF;
        let busy = u64::from(self.0 >> Self::BUSY_SHIFT) * Self::BUSY_UNIT_NS;
        Some(busy <= TINY_STEP_NS * u64::from(steps) && exchanges * 4 >= steps * 3)
    }
}

/// The record of a site, in 16 bits: the conduct (3 bits), a flag (1), the confidence (3), whether
/// several workers spawn there (1), and the worker that has spawned there (8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record(pub(crate) u16);

const CONDUCT: u16 = 0b111;
/// If the conduct is `Unknown`: a thread of the site has been spawned. If it is `Waits`: the
/// threads do not live long.
const FLAG: u16 = 0b1000;
const CONFIDENCE: u16 = 0b111_0000;
const STEP: u16 = 0b1_0000;
const SEVERAL: u16 = 0b1000_0000;
const SPAWNER_SHIFT: u32 = 8;

impl Record {
    /// The record of a site that has not been seen before.
    pub(crate) const NEW: Record = Record(0);
    /// The record of a site whose threads have all been short for a while.
    pub(crate) const SURELY_SHORT: Record = Record(Conduct::Short as u16 | CONFIDENCE);

    /// Returns how the threads of the site behave.
    pub(crate) fn conduct(self) -> Conduct {
        match self.0 & CONDUCT {
            0 => Conduct::Unknown,
            1 => Conduct::Short,
            2 => Conduct::Waits,
            3 => Conduct::Computes,
            _ => Conduct::Talks,
        }
    }

    /// Returns whether nothing is known of the site, and no thread of it has been spawned.
    pub(crate) fn is_unseen(self) -> bool {
        self.conduct() == Conduct::Unknown && !self.flag()
    }

    /// Returns whether the threads have behaved alike for a while, in a way that is seen without a
    /// clock.
    #[inline(always)]
    pub(crate) fn is_sure(self) -> bool {
        // A site whose threads live only briefly is timed, so that the first thread that lives
        // longer is noticed.
        let known = self.0 & (CONDUCT | FLAG | CONFIDENCE);
        known == Record::SURELY_SHORT.0 || known == Conduct::Waits as u16 | CONFIDENCE
    }

    /// Returns whether the threads of the site are short.
    #[inline(always)]
    pub(crate) fn is_short(self) -> bool {
        self.0 & CONDUCT == Conduct::Short as u16
    }

    fn confidence(self) -> u16 {
        (self.0 & CONFIDENCE) / STEP
    }

    fn with(self, conduct: Conduct, confidence: u16) -> Record {
        // The record of a short site is compared as a whole, so it keeps no other bits.
        let kept = match conduct {
            Conduct::Short => 0,
            _ => self.0 & !(CONDUCT | FLAG | CONFIDENCE),
        };
        Record(kept | conduct as u16 | (confidence * STEP))
    }

    /// Returns the record after one more thread of the site has shown its conduct in its first
    /// step.
    pub(crate) fn observed(self, seen: Conduct) -> Record {
        let (conduct, confidence) = (self.conduct(), self.confidence());
        if (conduct, seen) == (Conduct::Talks, Conduct::Waits) {
            // Threads that talk wait, too. Their next steps tell whether they still talk.
            return self;
        }
        if seen == conduct {
            // The flag stays.
            return Record(self.0 & !CONFIDENCE | ((confidence + 1).min(7) * STEP));
        }
        // To take a computation for a short thread delays other threads; the reverse costs only a
        // wake-up.
        let doubt = match (conduct, seen) {
            // A thread that waits at once would not block its worker for long.
            (Conduct::Unknown | Conduct::Talks, _) | (Conduct::Computes, Conduct::Waits) => 8,
            (_, Conduct::Computes) => 4,
            (Conduct::Short, _) => 3,
            _ => 1,
        };
        match confidence.checked_sub(doubt) {
            Some(left) => Record(self.0 & !CONFIDENCE | (left * STEP)),
            None if seen == Conduct::Short => self.with(seen, 0),
            // Pool threads that start when all jobs are done are short.
            None => self.with(seen, 6),
        }
    }

    /// Returns the record after a thread of the site that has waited ended, `life` nanoseconds
    /// after its start.
    pub(crate) fn lived(self, life: u64) -> Record {
        match self.conduct() {
            Conduct::Waits if life < BRIEF_LIFE_NS => Record(self.0 | FLAG),
            Conduct::Waits => Record(self.0 & !FLAG),
            _ => self,
        }
    }

    /// Returns the record after some more steps of a thread have told whether it talks.
    pub(crate) fn sampled(self, talks: bool) -> Record {
        match (self.conduct(), talks) {
            (Conduct::Waits, true) => self.with(Conduct::Talks, 2),
            (Conduct::Talks, false) => self.with(Conduct::Waits, 2),
            _ => self,
        }
    }

    /// Returns the record after the worker `index` has spawned at the site. Short sites record no
    /// spawner: theirs is compared as a whole. The site may have become one since the caller
    /// looked.
    pub(crate) fn spawned_by(self, index: usize) -> Record {
        if self.is_short() || self.0 & SEVERAL != 0 {
            return self;
        }
        let spawner = (index as u16 % 255 + 1) << SPAWNER_SHIFT;
        let noted = self.0 >> SPAWNER_SHIFT << SPAWNER_SHIFT;
        let asked = match self.conduct() {
            Conduct::Unknown => FLAG,
            _ => 0,
        };
        match noted {
            0 => Record(self.0 | spawner | asked),
            noted if noted == spawner => Record(self.0 | asked),
            _ => Record(self.0 | SEVERAL | asked),
        }
    }

    fn flag(self) -> bool {
        self.0 & FLAG != 0
    }

    fn has_several_spawners(self) -> bool {
        self.0 & SEVERAL != 0
    }
}

/// The policy's view of a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Threads that live there or are on their way there; for the spawner's worker, also those that
    /// wait in its queue.
    pub(crate) live: usize,
    /// Threads that wait in its own queue to be started.
    pub(crate) queued: usize,
    /// It has been in one step for [`STUCK_AFTER_NS`].
    pub(crate) is_stuck: bool,
}

/// The destination of a new thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// The spawner's queue, as for all short threads.
    Local,
    /// This worker, which may be the spawner's, for life: another worker takes the thread only if
    /// that worker does not start it for long.
    At(usize),
    /// The spawner's queue of shared threads: one sleeping worker is woken, and the first idle
    /// worker starts the thread.
    Shared,
}

/// Decides where a thread of a site with this record starts; `record` is from before the spawn.
///
/// `own` is the spawner's worker, `queued` the number of threads in its own queue that have not
/// started, and `shared` the number of its threads that wait for an idle worker. `cursor` belongs
/// to the site and the spawner's worker, and is 0 at first. `view` returns the view of a worker.
pub(crate) fn place(
    record: Record,
    own: usize,
    queued: usize,
    shared: usize,
    cursor: &mut u16,
    workers: usize,
    view: impl Fn(usize) -> View,
) -> Placement {
    match record.conduct() {
        Conduct::Short => return Placement::Local,
        Conduct::Waits if record.flag() => return Placement::Local,
        Conduct::Computes => return Placement::Shared,
        Conduct::Talks if view(own).live <= MAX_LOCAL_TALKERS => return Placement::Local,
        Conduct::Unknown if record.is_unseen() => {
            // The thread may be a computation, which would delay the spawner. So it does not start
            // here, unless fewer threads live here than on each of some other workers.
            let live = view(own).live;
            let fewest = other_workers(own, *cursor, workers)
                .map(|index| view(index).live)
                .min();
            if fewest.is_none_or(|fewest| live >= fewest) {
                return Placement::Shared;
            }
            *cursor = cursor_at((own + 1) % workers);
            return Placement::At(own);
        }
        Conduct::Unknown if shared < BURST_THRESHOLD => return Placement::Shared,
        Conduct::Unknown | Conduct::Waits | Conduct::Talks => {}
    }
    let mut index = match *cursor {
        0 => (own + 1) % workers,
        next => usize::from(next - 1) % workers,
    };
    // Where the spawners are spread already, their threads stay with them; in a burst, placement by
    // counts keeps threads that were spawned in succession on the same worker.
    let is_crowd = record.has_several_spawners() && view(own).live > MAX_ROUND_ROBIN;
    let by_counts = is_crowd || queued >= BURST_THRESHOLD || record.conduct() == Conduct::Talks;
    if by_counts {
        if index == own {
            index = (own + 1) % workers;
        }
        let (here, there) = (view(own).live, view(index));
        *cursor = cursor_at((index + 1) % workers);
        // Where both workers have a burst, as in a tree of spawners, each starts its own: to swap
        // threads one by one costs more than to steal some when one of them runs dry.
        if queued >= BURST_THRESHOLD && there.queued >= BURST_THRESHOLD {
            return Placement::Local;
        }
        // The spawner itself does not count.
        return match here.saturating_sub(1) * 8 > there.live * 9 && !there.is_stuck {
            true => Placement::At(index),
            false if queued >= BURST_THRESHOLD => Placement::Local,
            false => Placement::At(own),
        };
    }
    for _ in 0..workers.min(8) {
        if index == own || !view(index).is_stuck {
            break;
        }
        index = (index + 1) % workers;
    }
    *cursor = cursor_at((index + 1) % workers);
    Placement::At(index)
}

/// Returns how many more threads of a burst stay after one that does; `queued` threads wait
/// already.
pub(crate) fn burst_share(queued: usize) -> usize {
    if queued >= BURST_THRESHOLD {
        queued / 16
    } else {
        0
    }
}

fn cursor_at(index: usize) -> u16 {
    index as u16 + 1
}

/// Returns some of the other workers, beginning with the next one of the round-robin.
fn other_workers(own: usize, cursor: u16, workers: usize) -> impl Iterator<Item = usize> {
    let first = match cursor {
        0 => own + 1,
        next => usize::from(next - 1),
    };
    (0..workers.min(8))
        .map(move |offset| (first + offset) % workers)
        .filter(move |&index| index != own)
}

/// The threads that wait on a worker while it decides about its shared threads. A computation that
/// started there would delay them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parked {
    /// No thread.
    Nothing,
    /// Only the spawner, for the end of threads.
    Joiner,
    /// Only the spawner, for the answer to what it has just sent.
    Asker,
    /// The spawner, for other threads, and threads that talk.
    Talkers,
    /// Threads that may go on at any time.
    Others,
}

/// The destination of a shared thread that its worker decides about once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SharedPlacement {
    /// The spawner's queue.
    Here,
    /// The destination that [`place`] returns.
    Reconsider,
    /// The queue of shared threads, where it is already.
    Shared,
}

/// Decides where a shared thread of a site with this record goes, when its spawner's worker has
/// nothing else to run. `is_awaited`: another thread waits for its end; `is_only`: there is no
/// other shared thread; `live` threads live on that worker.
pub(crate) fn place_shared(
    record: Record,
    parked: Parked,
    is_awaited: bool,
    is_only: bool,
    live: usize,
) -> SharedPlacement {
    match record.conduct() {
        Conduct::Short => SharedPlacement::Here,
        Conduct::Talks if live <= MAX_TALKERS_AT_ONCE => SharedPlacement::Here,
        Conduct::Talks | Conduct::Waits => SharedPlacement::Reconsider,
        Conduct::Computes => SharedPlacement::Shared,
        // Where these cases return `Here`, the waiting threads go on only after this thread.
        Conduct::Unknown => match parked {
            Parked::Joiner if is_awaited => SharedPlacement::Here,
            Parked::Asker if is_only => SharedPlacement::Here,
            Parked::Talkers => SharedPlacement::Here,
            _ => SharedPlacement::Shared,
        },
    }
}

/// The state on which a worker with nothing else to run decides whether to start a shared thread of
/// its own queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deferral {
    /// How many shared threads are in its queue.
    pub(crate) shared: usize,
    /// How many of them are of unknown sites.
    pub(crate) unknown: usize,
    /// How many other workers sleep, wake up or look for work.
    pub(crate) idle: usize,
    /// The threads that a computation would delay.
    pub(crate) parked: Parked,
    /// How long (in nanoseconds) it has left the threads to other workers.
    pub(crate) deferred: u64,
}

impl Deferral {
    /// Returns how long the worker leaves the threads to others in total; 0 if it does not.
    pub(crate) fn limit_ns(&self) -> u64 {
        let is_known = self.unknown == 0;
        let are_many = self.shared > 2 * self.idle.max(1);
        match self.parked {
            Parked::Nothing => 0,
            Parked::Joiner if is_known => 0,
            _ if are_many && is_known => 0,
            _ if are_many => UNKNOWN_DEFERRAL_NS,
            _ if self.idle > 0 => MAX_DEFERRAL_NS,
            // Another worker may be about to become idle.
            _ => SHORT_DEFERRAL_NS,
        }
    }

    /// Returns whether the worker starts one of them.
    pub(crate) fn starts(&self) -> bool {
        self.deferred >= self.limit_ns()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(shown: &[Conduct]) -> Conduct {
        let record = shown
            .iter()
            .fold(Record::NEW, |record, &seen| record.observed(seen));
        record.conduct()
    }

    #[test]
    fn a_short_site_records_no_spawner() {
        let short = Record::SURELY_SHORT;
        assert_eq!(short.spawned_by(0), short);
        assert_ne!(Record::NEW.spawned_by(0), Record::NEW);
    }

    #[test]
    fn one_observation_makes_a_site_known_and_contrary_ones_change_it() {
        use Conduct::{Computes, Short, Waits};
        assert_eq!(after(&[Short]), Short);
        assert_eq!(after(&[Waits]), Waits);
        assert_eq!(after(&[Short, Short, Computes]), Computes);
        assert_eq!(after(&[Computes, Waits]), Waits);
        // A pool whose last threads find no job.
        assert_eq!(
            after(&[Computes, Computes, Short, Short, Short, Short, Short, Short]),
            Computes
        );
        assert_eq!(after(&[[Waits; 1].as_slice(), &[Short; 8]].concat()), Short);
        // A tree: nine of ten threads are leaves.
        let tree: Vec<_> = (0..1000)
            .map(|n| if n % 10 == 0 { Waits } else { Short })
            .collect();
        assert_eq!(after(&tree), Short);
    }

    #[test]
    fn a_site_whose_threads_talk_is_known_by_their_steps_and_forgotten_by_them() {
        let sample = |step, exchange| {
            let mut sample = Sample(0);
            while sample.talks().is_none() {
                sample = sample.with(step, exchange);
            }
            sample.talks()
        };
        assert_eq!(sample(100, true), Some(true));
        assert_eq!(sample(100, false), Some(false));
        assert_eq!(sample(5_000_000, true), Some(false));
        let waits = Record::NEW.observed(Conduct::Waits);
        let talks = waits.sampled(true);
        assert_eq!(talks.conduct(), Conduct::Talks);
        // Its next threads wait in their first step, as threads that talk do.
        assert_eq!(talks.observed(Conduct::Waits).conduct(), Conduct::Talks);
        // A pool whose jobs become long.
        assert_eq!(talks.sampled(false).conduct(), Conduct::Waits);
        assert_eq!(
            talks.observed(Conduct::Computes).conduct(),
            Conduct::Computes
        );
        assert_eq!(Conduct::shown(5_000, false, true), Conduct::Talks);
        assert_eq!(Conduct::shown(200_000, false, true), Conduct::Waits);
    }

    #[test]
    fn a_few_threads_that_talk_stay_with_their_spawner_and_many_are_spread() {
        let record = Record::NEW.observed(Conduct::Talks);
        let (mut cursor, mut here) = (0, 1);
        for _ in 0..MAX_LOCAL_TALKERS {
            let view = |index| View {
                live: if index == 0 { here } else { 0 },
                queued: 0,
                is_stuck: false,
            };
            let placement = place(record, 0, 0, 0, &mut cursor, 2, view);
            assert_eq!(placement, Placement::Local);
            here += 1;
        }
        let view = |index| View {
            live: if index == 0 { here } else { 0 },
            queued: 0,
            is_stuck: false,
        };
        let placement = place(record, 0, 0, 0, &mut cursor, 2, view);
        assert_eq!(placement, Placement::At(1));
    }

    #[test]
    fn a_thread_of_an_unknown_site_starts_where_it_holds_up_nothing() {
        let place_shared =
            |parked, is_awaited, is_only| place_shared(Record::NEW, parked, is_awaited, is_only, 1);
        // A spawner that joins the thread, waits for its answer, or talks with others that wait for
        // it.
        assert_eq!(
            place_shared(Parked::Joiner, true, false),
            SharedPlacement::Here
        );
        assert_eq!(
            place_shared(Parked::Asker, false, true),
            SharedPlacement::Here
        );
        assert_eq!(
            place_shared(Parked::Talkers, false, false),
            SharedPlacement::Here
        );
        // A spawner that joins another thread, or sleeps.
        assert_eq!(
            place_shared(Parked::Joiner, false, false),
            SharedPlacement::Shared
        );
        assert_eq!(
            place_shared(Parked::Others, true, true),
            SharedPlacement::Shared
        );
    }

    #[test]
    fn a_shared_thread_is_left_to_an_idle_worker_for_a_while_only() {
        let deferral = |parked, shared, unknown, idle| Deferral {
            shared,
            unknown,
            idle,
            parked,
            deferred: 0,
        };
        assert_eq!(deferral(Parked::Nothing, 1, 1, 1).limit_ns(), 0);
        assert_eq!(deferral(Parked::Joiner, 1, 0, 1).limit_ns(), 0);
        assert_eq!(
            deferral(Parked::Others, 1, 1, 1).limit_ns(),
            MAX_DEFERRAL_NS
        );
        assert_eq!(
            deferral(Parked::Others, 1, 0, 0).limit_ns(),
            SHORT_DEFERRAL_NS
        );
        assert_eq!(deferral(Parked::Others, 8, 0, 1).limit_ns(), 0);
        let several = deferral(Parked::Others, 8, 8, 1);
        assert_eq!(several.limit_ns(), UNKNOWN_DEFERRAL_NS);
        assert!(
            Deferral {
                deferred: UNKNOWN_DEFERRAL_NS,
                ..several
            }
            .starts()
        );
    }

    #[test]
    fn a_burst_is_not_placed_on_a_worker_that_has_one_itself() {
        let record = Record::NEW.observed(Conduct::Waits);
        let place = |queued_there| {
            let view = |index| View {
                live: if index == 0 { 10 * BURST_THRESHOLD } else { 0 },
                queued: if index == 0 {
                    BURST_THRESHOLD
                } else {
                    queued_there
                },
                is_stuck: false,
            };
            place(record, 0, BURST_THRESHOLD, 0, &mut 0, 2, view)
        };
        assert_eq!(place(0), Placement::At(1));
        assert_eq!(place(BURST_THRESHOLD), Placement::Local);
    }

    #[test]
    fn a_pool_is_placed_round_robin() {
        let record = Record::NEW.observed(Conduct::Waits);
        for workers in [2, 3, 16] {
            let (mut cursor, mut got) = (0, vec![0; workers]);
            for _ in 0..workers * 4 {
                let idle = |_| View {
                    live: 0,
                    queued: 0,
                    is_stuck: false,
                };
                match place(record, 0, 0, 0, &mut cursor, workers, idle) {
                    Placement::At(index) => got[index] += 1,
                    other => panic!("{other:?}"),
                }
            }
            assert!(got.iter().all(|&count| count == 4), "{got:?}");
        }
    }
}
