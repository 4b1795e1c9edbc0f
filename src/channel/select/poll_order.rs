//! The order in which the arms of a select are tried.

use std::cell::{Cell, RefCell};

/// The maximum number of arms that are ordered, and compared with each other, without an
/// allocation: four bits identify one.
pub(super) const INLINE_OPS: usize = 16;

/// The arms as they are written, four bits each, the first in the lowest.
const IN_WRITTEN_ORDER: u64 = 0xFEDC_BA98_7654_3210;

/// The order in which arms are tried. The first ready one is performed, so the choice among the
/// ready ones is uniform if each permutation is as likely as any other. A random start is not
/// enough: it favours an arm that follows many that are not ready.
///
/// A permutation is drawn step by step (Fisher and Yates, from the front), no further than it is
/// read: if many arms are ready, one or two steps are enough. A reading from the start draws the
/// same permutation again.
#[derive(Debug)]
pub(crate) enum PollOrder {
    /// As they are written.
    Written,
    /// At most [`INLINE_OPS`] arms: the random number that shuffles them, and the permutation in
    /// the form of [`IN_WRITTEN_ORDER`], or 0 if it was not drawn to the end.
    Few(u64, Cell<u64>),
    Many(RefCell<ManyShuffled>),
}

impl PollOrder {
    /// A permutation of `count` arms, uniform as far as `random` is one of all numbers.
    #[inline]
    pub(crate) fn shuffled(count: usize, random: impl FnOnce() -> u64) -> PollOrder {
        if count < 2 {
            PollOrder::Written
        } else if count <= INLINE_OPS {
            PollOrder::Few(random(), Cell::new(0))
        } else {
            PollOrder::Many(RefCell::new(ManyShuffled::new(count, random())))
        }
    }

    /// Returns the arms in order. `count` is the number of arms that the order was made for.
    #[inline]
    pub(crate) fn of(&self, count: usize) -> impl Iterator<Item = usize> {
        let mut few = FewShuffled::new(match self {
            PollOrder::Few(random, _) => *random,
            PollOrder::Written | PollOrder::Many(_) => 0,
        });
        (0..count).map(move |step| match self {
            PollOrder::Written => step,
            PollOrder::Few(..) => few.draw(count - step),
            PollOrder::Many(many) => many.borrow_mut().arm(step),
        })
    }

    /// Returns the arms in order, for a caller that reads them all: draws the permutation to the
    /// end and keeps it.
    #[inline]
    pub(crate) fn fixed(&self, count: usize) -> impl Iterator<Item = usize> {
        let mut arms = match self {
            PollOrder::Written | PollOrder::Many(_) => IN_WRITTEN_ORDER,
            PollOrder::Few(random, fixed) => {
                if fixed.get() == 0 {
                    fixed.set(FewShuffled::all(*random, count));
                }
                fixed.get()
            }
        };
        (0..count).map(move |step| {
            if count <= INLINE_OPS {
                let arm = arms & 15;
                arms >>= 4;
                arm as usize
            } else {
                self.one_of_many(step)
            }
        })
    }

    #[cold]
    fn one_of_many(&self, step: usize) -> usize {
        match self {
            PollOrder::Many(many) => many.borrow_mut().arm(step),
            PollOrder::Written | PollOrder::Few(..) => step,
        }
    }
}

/// What is left of a permutation of at most [`INLINE_OPS`] arms.
struct FewShuffled {
    /// Four bits each, the next in the lowest.
    arms: u64,
    /// What is left of a random number, read as a fraction. One is enough for all steps: 16! has 45
    /// bits.
    random: u64,
}

impl FewShuffled {
    #[inline(always)]
    fn new(random: u64) -> FewShuffled {
        FewShuffled {
            arms: IN_WRITTEN_ORDER,
            random,
        }
    }

    /// Returns a permutation of `count` arms, in the form of [`IN_WRITTEN_ORDER`].
    #[inline(never)]
    fn all(random: u64, count: usize) -> u64 {
        let mut few = FewShuffled::new(random);
        let arm = |step| (few.draw(count - step) as u64) << (4 * step);
        (0..count).map(arm).sum()
    }

    /// Removes one of the `left` arms that are left, and returns it.
    #[inline(always)]
    fn draw(&mut self, left: usize) -> usize {
        let (at, rest) = scale(self.random, left as u64);
        self.random = rest;
        let differ = (self.arms >> (4 * at) ^ self.arms) & 15;
        self.arms ^= differ << (4 * at) ^ differ;
        let arm = self.arms & 15;
        self.arms >>= 4;
        arm as usize
    }
}

/// A permutation of more.
#[derive(Debug)]
pub(crate) struct ManyShuffled {
    arms: Vec<u32>,
    drawn: usize,
    /// The state of a generator: splitmix64.
    random: u64,
}

impl ManyShuffled {
    #[cold]
    fn new(count: usize, random: u64) -> ManyShuffled {
        let count = u32::try_from(count).expect("fewer than 2^32 arms");
        ManyShuffled {
            arms: (0..count).collect(),
            drawn: 0,
            random,
        }
    }

    /// Returns the arm at `step`. The caller has asked for all before it.
    fn arm(&mut self, step: usize) -> usize {
        if step >= self.drawn {
            self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut random = self.random;
            random = (random ^ random >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            random = (random ^ random >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            random ^= random >> 31;
            let (ahead, _) = scale(random, (self.arms.len() - step) as u64);
            self.arms.swap(step, step + ahead as usize);
            self.drawn = step + 1;
        }
        self.arms[step] as usize
    }
}

/// A random number below `limit`, and what is left of `random` for the next.
#[inline]
fn scale(random: u64, limit: u64) -> (u64, u64) {
    let product = u128::from(random) * u128::from(limit);
    ((product >> 64) as u64, product as u64)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A random number that stands for as many permutations as any other of its kind gives another
    /// permutation, so each subset of ready arms is led by each of its members equally often.
    #[test]
    fn each_permutation_of_few_arms_is_drawn_as_often() {
        for count in 2..=6 {
            let permutations = (1..=count as u64).product::<u64>();
            let mut drawn = BTreeMap::new();
            for number in 0..permutations {
                let random = (number as f64 + 0.5) / permutations as f64 * 2_f64.powi(64);
                let order = PollOrder::shuffled(count, || random as u64);
                let arms: Vec<_> = order.of(count).collect();
                // It stays as it was drawn, also where it was looked at only in part.
                assert_eq!(order.of(count).next(), Some(arms[0]));
                assert!(order.fixed(count).eq(arms.iter().copied()));
                assert!(order.fixed(count).eq(arms.iter().copied()));
                assert!(order.of(count).eq(arms.iter().copied()));
                *drawn.entry(arms).or_insert(0) += 1;
            }
            assert_eq!(drawn.len() as u64, permutations, "{count} arms");
        }
    }

    #[test]
    fn many_arms_are_permuted_and_each_comes_first() {
        let mut first = BTreeMap::new();
        for random in 0..2_000 {
            let order = PollOrder::shuffled(20, || random);
            *first.entry(order.of(20).next()).or_insert(0) += 1;
            let mut arms: Vec<_> = order.of(20).collect();
            arms.sort_unstable();
            assert!(arms.into_iter().eq(0..20));
        }
        assert_eq!(first.len(), 20);
        assert!(
            first.values().all(|count| (50..200).contains(count)),
            "{first:?}"
        );
    }
}
