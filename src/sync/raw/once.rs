//! The word of a [`Once`](crate::sync::Once), and those who wait for whoever runs its initialiser.
//!
//! | state | means | left by |
//! |---|---|---|
//! | `INCOMPLETE` | nobody has run it | `begin` → `RUNNING` |
//! | `RUNNING` | somebody runs it; others wait | `end` → any other |
//! | `POISONED` | it panicked | a `begin` that does not mind → `RUNNING` |
//! | `COMPLETE` | it has run | nobody |
//!
//! ON1. The state is written under the lock of the line. `COMPLETE` is written with Release after the initialiser has
//!      returned, and read with Acquire, without the lock, by everybody else.
//! ON2. `end` wakes all: those who wait for an initialiser try again, those who wait for completion look again.

use crate::shim::{AtomicU8, Ordering, const_unless_loom};
use crate::sync::wait::line::Line;
use crate::sync::wait::spin::{Held, Spin};
use crate::sync::wait::stand::{Ended, Place, Sleep, stand, wake_some};

const INCOMPLETE: u8 = 0;
const RUNNING: u8 = 1;
const POISONED: u8 = 2;
const COMPLETE: u8 = 3;

/// See the module's text.
pub(crate) struct RawOnce<S> {
    state: AtomicU8,
    line: Spin<Line<S>>,
}

/// What a caller that wants the initialiser to have run finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// It runs it, then calls `end`.
    Run { poisoned: bool },
    /// It has run.
    Complete,
    /// It panicked, and the caller minds.
    Poisoned,
    /// The caller has given up waiting for another one that runs it.
    GaveUp,
}

/// What has become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Incomplete,
    Poisoned,
    Complete,
}

impl<S> RawOnce<S> {
    const_unless_loom! {
        pub(crate) fn new() -> RawOnce<S> {
            RawOnce {
                state: AtomicU8::new(INCOMPLETE),
                line: Spin::new(Line::new()),
            }
        }
    }

    /// ON1.
    #[inline(always)]
    pub(crate) fn is_complete(&self) -> bool {
        self.state.load(Ordering::Acquire) == COMPLETE
    }

    /// What has become of it, if nobody else has it.
    pub(crate) fn state(&mut self) -> End {
        match self.state.load(Ordering::Relaxed) {
            COMPLETE => End::Complete,
            POISONED => End::Poisoned,
            _ => End::Incomplete,
        }
    }

    /// Says what has become of it, if nobody else has it.
    pub(crate) fn set_state(&mut self, end: End) {
        self.state.store(word(end), Ordering::Relaxed);
    }
}

fn word(end: End) -> u8 {
    match end {
        End::Incomplete => INCOMPLETE,
        End::Poisoned => POISONED,
        End::Complete => COMPLETE,
    }
}

impl<S: Sleep> RawOnce<S> {
    /// Who gets `Run` must call [`end`](RawOnce::end).
    pub(crate) fn begin(&self, minds_poison: bool, wait: &S::Wait) -> Begin {
        loop {
            let line = self.line.lock();
            // Relaxed: under the lock.
            match self.state.load(Ordering::Relaxed) {
                COMPLETE => return Begin::Complete,
                POISONED if minds_poison => return Begin::Poisoned,
                RUNNING => {}
                state => {
                    self.state.store(RUNNING, Ordering::Relaxed);
                    return Begin::Run {
                        poisoned: state == POISONED,
                    };
                }
            }
            if !self.stand(line, wait) {
                return Begin::GaveUp;
            }
        }
    }

    /// The initialiser has ended.
    pub(crate) fn end(&self, end: End) {
        let line = self.line.lock();
        self.state.store(word(end), Ordering::Release);
        // ON2. Those who wait on after that may be back in line before the last has been woken.
        let most = match end {
            End::Complete => usize::MAX,
            End::Incomplete | End::Poisoned => line.count(),
        };
        wake_some(&self.line, line, |line| line, most);
    }

    /// Waits until it is complete, whoever completes it; never `Run`.
    pub(crate) fn wait(&self, minds_poison: bool, wait: &S::Wait) -> Begin {
        loop {
            let line = self.line.lock();
            match self.state.load(Ordering::Relaxed) {
                COMPLETE => return Begin::Complete,
                POISONED if minds_poison => return Begin::Poisoned,
                _ => {}
            }
            if !self.stand(line, wait) {
                return Begin::GaveUp;
            }
        }
    }

    fn stand(&self, line: Held<'_, Line<S>>, wait: &S::Wait) -> bool {
        let ended = stand(
            &self.line,
            line,
            |line| line,
            &Place::BACK,
            wait,
            || {},
            |_| {},
        );
        ended == Ended::Claimed
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::wait::stand::model::{Model, Until, check, guarded};
    use loom::sync::Arc;
    use loom::thread;

    type Place = Arc<(RawOnce<Model>, guarded::Value)>;

    fn place() -> Place {
        Arc::new((RawOnce::new(), guarded::Value::new()))
    }

    fn init(place: &Place, wait: Until, end: End) -> Begin {
        if place.0.is_complete() {
            assert_eq!(place.1.get(), 1);
            return Begin::Complete;
        }
        let begun = place.0.begin(true, &wait);
        match begun {
            Begin::Run { .. } => {
                if end == End::Complete {
                    place.1.change();
                }
                place.0.end(end);
            }
            Begin::Complete => assert_eq!(place.1.get(), 1),
            Begin::Poisoned | Begin::GaveUp => {}
        }
        begun
    }

    #[test]
    fn loom_once_runs_once() {
        check(Some(3), || {
            let place = place();
            let threads = [(); 2].map(|()| {
                let other = place.clone();
                thread::spawn(move || init(&other, Until::Claimed, End::Complete))
            });
            init(&place, Until::Claimed, End::Complete);
            assert!(place.0.is_complete());
            assert_eq!(place.1.get(), 1);
            for thread in threads {
                assert!(matches!(
                    thread.join().unwrap(),
                    Begin::Complete | Begin::Run { .. }
                ));
            }
        });
    }

    /// A cancelled initialiser lets the next one run; one that gives up waiting harms nobody.
    #[test]
    fn loom_once_is_reset() {
        check(Some(3), || {
            let place = place();
            let cancelled = place.clone();
            let cancelled =
                thread::spawn(move || init(&cancelled, Until::Claimed, End::Incomplete));
            let quitter = place.clone();
            let quitter = thread::spawn(move || init(&quitter, Until::GivesUp, End::Complete));
            init(&place, Until::Claimed, End::Complete);
            assert!(place.0.is_complete());
            cancelled.join().unwrap();
            quitter.join().unwrap();
            assert_eq!(place.1.get(), 1);
        });
    }

    #[test]
    fn loom_once_wait() {
        check(Some(3), || {
            let place = place();
            let waiter = place.clone();
            let waiter = thread::spawn(move || {
                assert_eq!(waiter.0.wait(true, &Until::Claimed), Begin::Complete);
                assert_eq!(waiter.1.get(), 1);
            });
            init(&place, Until::Claimed, End::Complete);
            waiter.join().unwrap();
        });
    }

    #[test]
    fn loom_once_is_poisoned() {
        check(Some(3), || {
            let place = place();
            let other = place.clone();
            let other = thread::spawn(move || other.0.wait(true, &Until::Claimed));
            let begun = init(&place, Until::Claimed, End::Poisoned);
            assert_eq!(begun, Begin::Run { poisoned: false });
            assert_eq!(other.join().unwrap(), Begin::Poisoned);
        });
    }
}
