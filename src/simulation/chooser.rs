//! How a simulation chooses: at random, by random priorities, or by a script.

use std::collections::HashMap;

/// A generator of random numbers, splitmix64. Its numbers are the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut random = self.0;
        random = (random ^ random >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        random = (random ^ random >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        random ^ random >> 31
    }

    /// Returns a number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(limit);
        (product >> 64) as u64
    }
}

/// What a choice is between.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Possibilities<'a> {
    /// Threads, by number. If the first one may go on, the choice interrupts it or does not.
    Threads { numbers: &'a [u32], may_go_on: bool },
    /// So many, of any kind.
    Any(usize),
}

impl Possibilities<'_> {
    fn count(&self) -> usize {
        match self {
            Possibilities::Threads { numbers, .. } => numbers.len(),
            Possibilities::Any(count) => *count,
        }
    }
}

/// How choices are made.
#[derive(Debug)]
pub(crate) enum Chooser {
    /// Random walk: each possibility is as likely as any other.
    Walk(Random),
    Priorities(Priorities),
    /// The choices of an earlier run; 0 when they are used up.
    Script {
        script: Vec<u32>,
        at: usize,
    },
}

/// Random priorities of threads, a few of which change at random moments: "probabilistic
/// concurrency testing" (Burckhardt and others, 2010). If `depth` ordered events make a bug happen,
/// a run with `depth - 1` changes finds it with a probability of at least 1 in the number of
/// threads times the number of steps to the power of `depth - 1`.
#[derive(Debug)]
pub(crate) struct Priorities {
    random: Random,
    /// By number; higher ones run first.
    of_threads: HashMap<u32, u64>,
    /// The steps after which the running thread gets the lowest priority so far.
    changes: Vec<u64>,
    step: u64,
    lowest: u64,
}

/// Priorities at random are above this one, those of demoted threads below.
const DEMOTED: u64 = 1 << 32;

impl Priorities {
    pub(crate) fn new(seed: u64, depth: u32) -> Priorities {
        let mut random = Random::new(seed);
        // The length of the run is not known before, and a seed must stand for one run, so the
        // length is guessed: between 16 and 4,096 steps, each power of two as likely.
        let length = 16 << random.below(9);
        let mut changes: Vec<u64> = (1..depth).map(|_| random.below(length)).collect();
        changes.sort_unstable();
        Priorities {
            random,
            of_threads: HashMap::new(),
            changes,
            step: 0,
            lowest: DEMOTED,
        }
    }

    fn priority(&mut self, number: u32) -> u64 {
        let random = &mut self.random;
        *(self.of_threads.entry(number)).or_insert_with(|| random.next() | DEMOTED << 1)
    }

    fn demote(&mut self, number: u32) {
        self.lowest = self.lowest.saturating_sub(1);
        self.of_threads.insert(number, self.lowest);
    }

    fn choose(&mut self, numbers: &[u32], may_go_on: bool) -> usize {
        self.step += 1;
        if may_go_on && self.changes.first().is_some_and(|&at| at < self.step) {
            self.changes.remove(0);
            self.demote(numbers[0]);
        }
        let mut best = (0, 0);
        for (index, &number) in numbers.iter().enumerate() {
            let priority = self.priority(number);
            if index == 0 || priority > best.1 {
                best = (index, priority);
            }
        }
        best.0
    }
}

impl Chooser {
    /// Chooses one of at least two possibilities.
    pub(crate) fn choose(&mut self, among: Possibilities<'_>) -> usize {
        let count = among.count();
        match self {
            Chooser::Walk(random) => random.below(count as u64) as usize,
            Chooser::Priorities(priorities) => match among {
                Possibilities::Threads { numbers, may_go_on } => {
                    priorities.choose(numbers, may_go_on)
                }
                Possibilities::Any(count) => priorities.random.below(count as u64) as usize,
            },
            Chooser::Script { script, at } => {
                let chosen = script.get(*at).map_or(0, |&chosen| chosen as usize);
                *at += 1;
                chosen.min(count - 1)
            }
        }
    }

    /// Prefers other threads to the one with this number from now on, where there are priorities.
    pub(crate) fn demote(&mut self, number: u32) {
        if let Chooser::Priorities(priorities) = self {
            priorities.demote(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_number_is_the_same_everywhere() {
        let mut random = Random::new(0);
        // The reference implementation's.
        assert_eq!(random.next(), 0xE220_A839_7B1D_CDAF);
        assert_eq!(random.next(), 0x6E78_9E6A_A1B9_65F4);
        let mut counts = [0; 3];
        for _ in 0..3000 {
            counts[random.below(3) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn thread_with_the_highest_priority_runs_until_a_change() {
        let mut chooser = Chooser::Priorities(Priorities::new(7, 3));
        let threads = [1, 2, 3];
        let mut last = 0;
        let mut changes = 0;
        for _ in 0..5000 {
            let mut numbers = threads;
            numbers.swap(0, last);
            let chosen = chooser.choose(Possibilities::Threads {
                numbers: &numbers,
                may_go_on: true,
            });
            if chosen != 0 {
                changes += 1;
                last = (numbers[chosen] - 1) as usize;
            }
        }
        // At most the first choice and two changes.
        assert!((1..=3).contains(&changes), "{changes}");
    }

    #[test]
    fn script_that_is_used_up_chooses_the_first() {
        let mut chooser = Chooser::Script {
            script: vec![1, 9],
            at: 0,
        };
        let chosen = [(); 3].map(|()| chooser.choose(Possibilities::Any(3)));
        assert_eq!(chosen, [1, 2, 0]);
    }
}
