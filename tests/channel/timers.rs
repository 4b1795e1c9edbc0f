//! `after`, `at`, `tick` and `never`.

use super::channel::{
    Receiver, RecvTimeoutError, Select, TryRecvError, after, at, never, select, tick, unbounded,
};
use super::{enter, thread};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn after_gives_its_moment_once() {
    enter(|| {
        let before = Instant::now();
        let timer = after(SHORT);
        let clone = timer.clone();
        assert_eq!(timer.capacity(), Some(1));
        let moment = timer.recv().unwrap();
        assert!(moment >= before + SHORT && Instant::now() >= moment);
        assert_eq!(clone.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(timer.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
        assert!(timer.is_empty() && !timer.is_full());
    });
}

#[test]
fn at_gives_the_moment_it_was_given() {
    enter(|| {
        let moment = Instant::now();
        let timer = at(moment);
        assert!(!timer.is_empty() && timer.is_full());
        assert_eq!(timer.len(), 1);
        assert_eq!(timer.try_recv(), Ok(moment));
        assert_eq!(timer.len(), 0);
        let later = Instant::now() + SHORT;
        assert_eq!(at(later).recv(), Ok(later));
        assert!(at(Instant::now() + LONG).is_empty());
    });
}

#[test]
fn clones_of_a_timer_share_one_message() {
    enter(|| {
        let timer = after(SHORT);
        let (tell, told) = unbounded();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (timer, tell) = (timer.clone(), tell.clone());
                thread::spawn(move || {
                    if timer.recv_timeout(5 * SHORT).is_ok() {
                        tell.send(()).unwrap();
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(told.len(), 1);
    });
}

#[test]
fn ticks_come_in_step() {
    enter(|| {
        let begin = Instant::now();
        let ticks = tick(SHORT);
        assert_eq!(ticks.capacity(), Some(1));
        let moments: Vec<_> = (0..5).map(|_| ticks.recv().unwrap()).collect();
        assert!(moments[0] >= begin + SHORT);
        for pair in moments.windows(2) {
            assert!(pair[1] - pair[0] >= SHORT);
        }
        assert!(Instant::now() >= begin + 5 * SHORT);
    });
}

#[test]
fn missed_ticks_are_left_out() {
    enter(|| {
        let ticks = tick(SHORT);
        let first = ticks.recv().unwrap();
        // Longer than some periods.
        let pause = after(5 * SHORT).recv().unwrap();
        let late = ticks.try_recv().unwrap();
        assert!(late > first && late <= pause);
        assert!(ticks.recv().unwrap() >= pause);
    });
}

#[test]
fn never_is_never() {
    enter(|| {
        const NEVER: Receiver<i32> = never();
        let silent = NEVER;
        assert!(silent.is_empty() && silent.is_full());
        assert_eq!((silent.len(), silent.capacity()), (0, Some(0)));
        assert_eq!(silent.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(silent.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
        assert!(silent.same_channel(&never()));
        assert!(!silent.same_channel(&unbounded().1));
        let forever = after(Duration::MAX);
        assert_eq!(forever.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
        assert!(tick(Duration::MAX).try_recv().is_err());
    });
}

#[test]
fn same_and_not() {
    let (one, other) = (after(LONG), after(LONG));
    assert!(one.same_channel(&one.clone()) && !one.same_channel(&other));
    let (one, other) = (tick(LONG), tick(LONG));
    assert!(one.same_channel(&one.clone()) && !one.same_channel(&other));
}

#[test]
fn select_waits_for_the_first() {
    enter(|| {
        let (sender, receiver) = unbounded::<()>();
        let which = select! {
            recv(receiver) -> _ => 0,
            recv(after(LONG)) -> _ => 1,
            recv(after(SHORT)) -> _ => 2,
            recv(never::<()>()) -> _ => 3,
        };
        assert_eq!(which, 2);
        let ticks = tick(SHORT);
        for _ in 0..3 {
            select! {
                recv(receiver) -> _ => unreachable!(),
                recv(ticks) -> _ => {}
            }
        }
        let (soon, late) = (after(SHORT), after(LONG));
        let mut list = Select::new();
        list.recv(&late);
        list.recv(&receiver);
        list.recv(&soon);
        assert_eq!(list.ready(), 2);
        let chosen = list.select();
        assert_eq!(chosen.index(), 2);
        chosen.recv(&soon).unwrap();
        assert!(list.select_timeout(SHORT).is_err());
        assert!(list.ready_timeout(SHORT).is_err());
        sender.send(()).unwrap();
        assert_eq!(list.ready(), 1);
    });
}
