//! Pseudo-random numbers, the same for the same seed, and random time limits.

use rustlet::{Elapsed, timeout};
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        // Neighbouring seeds must begin far apart, and zero would stay zero.
        let mut dice = Dice((seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1);
        dice.roll();
        dice.roll();
        dice
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    pub(crate) fn below(&mut self, count: u64) -> u64 {
        self.roll() % count
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// Short enough to elapse in the middle of an operation.
    pub(crate) fn span(&mut self) -> Duration {
        let most = *self.pick(&[1, 30, 300, 3000]);
        Duration::from_micros(self.below(most))
    }

    /// Creates independent dice for another thread.
    pub(crate) fn split(&mut self) -> Dice {
        Dice::new(self.roll())
    }
}

/// How long a thread waits for an event that may never occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Never without a limit: it ends by itself.
    Limited,
    /// Sometimes forever: another thread has to cancel it.
    Endless,
}

impl Patience {
    /// Calls an operation that may wait forever.
    pub(crate) fn limit<T>(self, dice: &mut Dice, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
        match self {
            Patience::Endless if dice.one_in(3) => Ok(f()),
            _ => timeout(dice.span(), f),
        }
    }
}
