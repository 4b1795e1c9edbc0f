//! A process-wide OS thread that wakes the tasks of futures at given times. Futures may be polled
//! on any thread, also outside of this crate's workers.
//!
//! It is started by the first timer, and ends when there has been none for [`IDLE_TIMEOUT`]. Any
//! thread may set a timer at any time. Nothing here suspends.
//!
//! - **TM1** `is_running` is true exactly while the thread runs or is being started. The thread
//!   clears it under the lock when it has found no timer, so that no timer is left behind.
//! - **TM2** Wakers are called and dropped with the lock released (TA1 in `green/task.rs`).

use std::collections::BTreeMap;
use std::io;
use std::sync::{Condvar, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use crate::green::os_thread::CountAsParked;
use crate::green::task;
use crate::shim::lock;
use crate::sys::clock::{self, Tick};

/// How long the thread stays alive without a timer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

struct State {
    timers: BTreeMap<(Tick, u64), Waker>,
    last: u64,
    is_running: bool,
}

static STATE: Mutex<State> = Mutex::new(State {
    timers: BTreeMap::new(),
    last: 0,
    is_running: false,
});

/// Notified when a timer is set that expires before the one that the thread waits for.
static EARLIER: Condvar = Condvar::new();

/// Identifies a timer, to change or cancel it.
#[derive(Debug)]
pub(crate) struct TimerId(Tick, u64);

/// Sets a timer that calls `waker` at `at`. If the thread cannot be started, it calls `waker` at
/// once and returns `None`: a task that polls in a loop is better than one that waits forever.
pub(crate) fn set(at: Tick, waker: Waker) -> Option<TimerId> {
    let mut state = lock(&STATE);
    if !state.is_running {
        if start().is_err() {
            drop(state);
            task::call(waker);
            return None;
        }
        state.is_running = true;
    }
    state.last += 1;
    let id = (at, state.last);
    state.timers.insert(id, waker);
    if state
        .timers
        .first_key_value()
        .is_some_and(|(&first, _)| first == id)
    {
        EARLIER.notify_one();
    }
    Some(TimerId(id.0, id.1))
}

/// Starts the thread, which waits until the caller unlocks the state.
fn start() -> io::Result<()> {
    std::thread::Builder::new()
        .name("rustlet-timers".into())
        .stack_size(256 * 1024)
        .spawn(run_loop)
        .map(drop)
}

/// Replaces the waker of a timer. Returns `false` if the timer has expired.
pub(crate) fn update(&TimerId(at, number): &TimerId, waker: &Waker) -> bool {
    let mut state = lock(&STATE);
    let Some(known) = state.timers.get_mut(&(at, number)) else {
        return false;
    };
    if known.will_wake(waker) {
        return true;
    }
    drop(state);
    let new = waker.clone();
    let mut state = lock(&STATE);
    let old = match state.timers.get_mut(&(at, number)) {
        Some(known) => std::mem::replace(known, new),
        None => {
            drop(state);
            task::discard(new);
            return false;
        }
    };
    drop(state);
    task::discard(old);
    true
}

/// Cancels a timer, unless it has expired.
pub(crate) fn cancel(TimerId(at, number): TimerId) {
    let waker = lock(&STATE).timers.remove(&(at, number));
    if let Some(waker) = waker {
        task::discard(waker);
    }
}

fn run_loop() {
    loop {
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        let mut due = Vec::new();
        while let Some(first) = state.timers.first_entry()
            && first.key().0 <= now
        {
            due.push(first.remove());
        }
        if !due.is_empty() {
            drop(state);
            due.into_iter().for_each(task::call);
            continue;
        }
        let next = state.timers.first_key_value().map(|(&(at, _), _)| at);
        let (span, idle) = match next {
            Some(at) => (Duration::from_nanos(at - now), None),
            // There is no timer, so this thread counts as parked: it will not wake a green thread.
            None => (IDLE_TIMEOUT, Some(CountAsParked::new())),
        };
        let waited = EARLIER.wait_timeout(state, span);
        drop(idle);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if next.is_none() && waited.timed_out() && state.timers.is_empty() {
            // TM1.
            state.is_running = false;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, mpsc};
    use std::task::Wake;

    struct SendOnWake(Mutex<mpsc::Sender<&'static str>>, &'static str);

    impl Wake for SendOnWake {
        fn wake(self: Arc<SendOnWake>) {
            lock(&self.0).send(self.1).unwrap();
        }
    }

    #[test]
    fn timers_fire_in_the_order_of_their_times_and_cancelled_ones_never() {
        let (sender, receiver) = mpsc::channel();
        let waker = |name| Waker::from(Arc::new(SendOnWake(Mutex::new(sender.clone()), name)));
        let now = clock::now();
        let later = set(now + 30_000_000, waker("later")).unwrap();
        let cancelled = set(now + 20_000_000, waker("cancelled")).unwrap();
        let sooner = set(now + 10_000_000, waker("sooner")).unwrap();
        cancel(cancelled);
        assert!(update(&later, &waker("replaced")));
        assert_eq!(receiver.recv(), Ok("sooner"));
        assert_eq!(receiver.recv(), Ok("replaced"));
        assert!(!update(&sooner, &waker("late")) && !update(&later, &waker("late")));
        assert!(receiver.try_recv().is_err());
    }
}
