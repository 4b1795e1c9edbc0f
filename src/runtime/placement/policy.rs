//! The policy of placement: on which worker a new thread starts, decided from counts and times alone.
//!
//! A started thread never changes its worker, so the start is the only chance to spread load. What a thread will do is
//! not known when it is spawned; what the threads of the same *spawn site* did before is. A site is a place in the source
//! together with the type of the closure. Its [`Record`] says how its threads have behaved:
//!
//! | conduct | meaning | where its threads start |
//! |---|---|---|
//! | `Unknown` | none has shown what it does | the first on the first idle worker, the others in turns |
//! | `Short` | ends in its first step, within [`LONG_STEP`] | on the spawner's worker |
//! | `Waits` | waits in its first step: it lives | in turns on all workers |
//! | `Computes` | its first step takes [`LONG_STEP`] or more | on the first idle worker |
//!
//! Nothing here reads a clock, an atomic or another file, so that the simulator (`benches/placement`) runs this very source.

/// A first step of this length (in nanoseconds) is a computation: about what it costs to wake a worker.
pub(crate) const LONG_STEP: u64 = 20_000;
/// A first step of this length is one even if the thread then waits: what comes late once may be an interruption.
pub(crate) const LONG_STEP_BEFORE_WAIT: u64 = 500_000;
/// A thread that waits, but has ended after this time, is not worth another worker.
pub(crate) const BRIEF_LIFE: u64 = 50_000;
/// How long a worker leaves a shared thread to an idle worker that has been woken for it: longer than the system keeps that
/// one from its core for another process.
pub(crate) const MAX_DEFERRAL: u64 = 10_000_000;
/// The same while no worker is idle: one may be about to be.
pub(crate) const SHORT_DEFERRAL: u64 = 50_000;
/// A worker that has got to none of its new threads for this long stays in one step.
pub(crate) const STUCK_AFTER: u64 = 1_000_000;
/// With this many unstarted threads of its own a spawner has a burst to share by counts.
pub(crate) const BURST: usize = 64;

/// How the threads of a site have behaved so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Conduct {
    /// None has shown it yet.
    Unknown,
    /// They end in their first step, soon.
    Short,
    /// They wait in their first step.
    Waits,
    /// Their first step is long.
    Computes,
}

impl Conduct {
    /// What a thread has shown whose first step took `step` nanoseconds and ended it or not.
    pub(crate) fn shown(step: u64, has_ended: bool) -> Conduct {
        match (step, has_ended) {
            (LONG_STEP_BEFORE_WAIT.., _) | (LONG_STEP.., true) => Conduct::Computes,
            (_, true) => Conduct::Short,
            (_, false) => Conduct::Waits,
        }
    }
}

/// What is known of a site, in 16 bits: the conduct (2 bits), a flag (1), the confidence (3), whether several workers
/// spawn there (1), and the worker that has (9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record(pub(crate) u16);
const CONDUCT: u16 = 0b11;
/// Of an unknown site: one of its threads is on its way. Of one whose threads wait: they do not live long.
const FLAG: u16 = 0b100;
const CONFIDENCE: u16 = 0b11_1000;
const STEP: u16 = 0b1000;
const SEVERAL: u16 = 0b100_0000;
const SPAWNER_SHIFT: u32 = 7;

impl Record {
    /// Of a site that has not been seen before.
    pub(crate) const NEW: Record = Record(0);
    /// Of a site whose threads have all been short for a while.
    pub(crate) const SURELY_SHORT: Record = Record(Conduct::Short as u16 | CONFIDENCE);

    /// How its threads behave.
    pub(crate) fn conduct(self) -> Conduct {
        match self.0 & CONDUCT {
            0 => Conduct::Unknown,
            1 => Conduct::Short,
            2 => Conduct::Waits,
            _ => Conduct::Computes,
        }
    }

    /// Whether nothing is known of it, and no thread of it is on its way.
    pub(crate) fn is_unseen(self) -> bool {
        self.conduct() == Conduct::Unknown && !self.flag()
    }

    /// Whether its threads have behaved alike for a while, in a way that needs no clock to be seen.
    #[inline(always)]
    pub(crate) fn is_sure(self) -> bool {
        // A site whose threads live only briefly is timed, so that the first one that lives is noticed.
        let known = self.0 & (CONDUCT | FLAG | CONFIDENCE);
        known == Record::SURELY_SHORT.0 || known == Conduct::Waits as u16 | CONFIDENCE
    }

    /// Whether its threads are short.
    #[inline(always)]
    pub(crate) fn is_short(self) -> bool {
        self.0 & CONDUCT == Conduct::Short as u16
    }

    fn confidence(self) -> u16 {
        (self.0 & CONFIDENCE) / STEP
    }

    fn with(self, conduct: Conduct, confidence: u16) -> Record {
        // A short site is compared as a whole, so it keeps nothing else.
        let kept = match conduct {
            Conduct::Short => 0,
            _ => self.0 & !(CONDUCT | FLAG | CONFIDENCE),
        };
        Record(kept | conduct as u16 | (confidence * STEP))
    }

    /// After one more thread of it has shown, in its first step, what it does.
    pub(crate) fn observed(self, seen: Conduct) -> Record {
        let (conduct, confidence) = (self.conduct(), self.confidence());
        if seen == conduct {
            // The flag stays.
            return Record(self.0 & !CONFIDENCE | ((confidence + 1).min(7) * STEP));
        }
        // A computation that is taken for a short thread holds others up; the reverse costs a wake-up.
        let doubt = match (conduct, seen) {
            // A thread that waits at once is none that would hold up its worker for good.
            (Conduct::Unknown, _) | (Conduct::Computes, Conduct::Waits) => 8,
            (_, Conduct::Computes) => 4,
            (Conduct::Short, _) => 3,
            _ => 1,
        };
        match confidence.checked_sub(doubt) {
            Some(left) => Record(self.0 & !CONFIDENCE | (left * STEP)),
            None if seen == Conduct::Short => self.with(seen, 0),
            // In a pool, those that come when all jobs are done are short.
            None => self.with(seen, 6),
        }
    }

    /// After a thread of it that has waited has ended, `life` nanoseconds after its start.
    pub(crate) fn lived(self, life: u64) -> Record {
        match self.conduct() {
            Conduct::Waits if life < BRIEF_LIFE => Record(self.0 | FLAG),
            Conduct::Waits => Record(self.0 & !FLAG),
            _ => self,
        }
    }

    /// After the worker `index` has spawned there, if that is worth noting: short sites note nothing.
    pub(crate) fn spawned_by(self, index: usize) -> Record {
        if self.0 & SEVERAL != 0 {
            return self;
        }
        let spawner = (index as u16).wrapping_add(1) << SPAWNER_SHIFT;
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

/// What the policy sees of a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Threads that live there or are on their way there; of the spawner's worker, also what waits in its queue.
    pub(crate) live: usize,
    /// It has been in one step for [`STUCK_AFTER`].
    pub(crate) is_stuck: bool,
}

/// Where a new thread goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// To the spawner's queue, as all short threads.
    Local,
    /// To this worker, which may be the spawner's, for life: others take it only if that worker does not get to it for long.
    At(usize),
    /// To the spawner's queue of shared threads: one sleeping worker is woken, and the first worker that is idle starts it.
    Shared,
}

/// Where a thread of a site with this record starts; `record` is from before the spawn.
///
/// `own` is the spawner's worker, `queued` how many of its threads wait there to be started; `cursor` belongs to the
/// site and the spawner's worker, 0 at first. `others` views a worker.
pub(crate) fn place(
    record: Record,
    own: usize,
    queued: usize,
    cursor: &mut u16,
    workers: usize,
    view: impl Fn(usize) -> View,
) -> Place {
    match record.conduct() {
        Conduct::Short => return Place::Local,
        Conduct::Waits if record.flag() => return Place::Local,
        Conduct::Computes => return Place::Shared,
        Conduct::Unknown if record.is_unseen() => {
            // It may be a computation, which would hold up the spawner: so not here, unless fewer live here than on
            // each of some others.
            let live = view(own).live;
            let fewest = sample(own, *cursor, workers)
                .map(|index| view(index).live)
                .min();
            if fewest.is_none_or(|fewest| live >= fewest) {
                // The turn of the others is next.
                *cursor = turn_of(own);
                return Place::Shared;
            }
            *cursor = turn_of((own + 1) % workers);
            return Place::At(own);
        }
        Conduct::Unknown | Conduct::Waits => {}
    }
    let mut index = match *cursor {
        0 => (own + 1) % workers,
        turn => usize::from(turn - 1) % workers,
    };
    // Where the spawners are spread already, their threads stay with them; in a burst, counts keep neighbours together.
    let by_counts = record.has_several_spawners() || queued >= BURST;
    if by_counts {
        if index == own {
            index = (own + 1) % workers;
        }
        let (here, there) = (view(own).live, view(index));
        *cursor = turn_of((index + 1) % workers);
        return match here * 8 > there.live * 9 + 8 && !there.is_stuck {
            true => Place::At(index),
            false if queued >= BURST => Place::Local,
            false => Place::At(own),
        };
    }
    for _ in 0..workers.min(8) {
        if index == own || !view(index).is_stuck {
            break;
        }
        index = (index + 1) % workers;
    }
    *cursor = turn_of((index + 1) % workers);
    Place::At(index)
}

/// How many more threads of a burst stay after one that does, `queued` of which wait already.
pub(crate) fn keeps(queued: usize) -> usize {
    if queued >= BURST { queued / 16 } else { 0 }
}

fn turn_of(index: usize) -> u16 {
    index as u16 + 1
}

/// Some of the other workers, beginning with the one whose turn it is.
fn sample(own: usize, cursor: u16, workers: usize) -> impl Iterator<Item = usize> {
    let first = match cursor {
        0 => own + 1,
        turn => usize::from(turn - 1),
    };
    (0..workers.min(8))
        .map(move |offset| (first + offset) % workers)
        .filter(move |&index| index != own)
}

/// What a worker with nothing else to run knows when it decides whether to start a shared thread of its own queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deferral {
    /// How many shared threads are in its queue.
    pub(crate) shared: usize,
    /// How many other workers sleep, wake up or look for work.
    pub(crate) idle: usize,
    /// Threads wait on this worker, which a computation would hold up.
    pub(crate) has_parked: bool,
    /// For how long (in nanoseconds) it has left them to others.
    pub(crate) deferred: u64,
}

impl Deferral {
    /// How long it leaves them to others in all; 0: it does not.
    pub(crate) fn patience(&self) -> u64 {
        if !self.has_parked || self.shared > 2 * self.idle.max(1) {
            0
        } else if self.idle > 0 {
            MAX_DEFERRAL
        } else {
            // Another worker may be about to become idle.
            SHORT_DEFERRAL
        }
    }

    /// Whether it starts one.
    pub(crate) fn starts(&self) -> bool {
        self.deferred >= self.patience()
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
        // A tree: nine of ten are leaves.
        let tree: Vec<_> = (0..1000)
            .map(|n| if n % 10 == 0 { Waits } else { Short })
            .collect();
        assert_eq!(after(&tree), Short);
    }

    #[test]
    fn a_pool_is_dealt_in_turns() {
        let record = Record::NEW.observed(Conduct::Waits);
        for workers in [2, 3, 16] {
            let (mut cursor, mut got) = (0, vec![0; workers]);
            for _ in 0..workers * 4 {
                let idle = |_| View {
                    live: 0,
                    is_stuck: false,
                };
                match place(record, 0, 0, &mut cursor, workers, idle) {
                    Place::At(index) => got[index] += 1,
                    other => panic!("{other:?}"),
                }
            }
            assert!(got.iter().all(|&count| count == 4), "{got:?}");
        }
    }
}
