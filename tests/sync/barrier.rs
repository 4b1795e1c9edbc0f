//! `Barrier`, with the names that std has.

use super::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use super::sync::{Arc, Barrier};
use super::{enter, thread};
use std::panic::{RefUnwindSafe, UnwindSafe};

#[test]
fn releases_all_threads_in_each_generation() {
    enter(|| {
        const N: usize = 10;
        let shared = Arc::new((Barrier::new(N), AtomicUsize::new(0), AtomicUsize::new(0)));
        let threads: Vec<_> = (0..N)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let (barrier, came, leaders) = &*shared;
                    for round in 1..=20 {
                        came.fetch_add(1, SeqCst);
                        let result = barrier.wait();
                        assert!(came.load(SeqCst) >= round * N);
                        leaders.fetch_add(usize::from(result.is_leader()), SeqCst);
                        assert!(came.load(SeqCst) < (round + 1) * N);
                        barrier.wait();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(shared.2.load(SeqCst), 20);
    });
}

#[test]
fn a_barrier_of_zero_or_one() {
    enter(|| {
        for n in [0, 1] {
            let barrier = Barrier::new(n);
            for _ in 0..3 {
                let result = barrier.wait();
                assert!(result.is_leader());
                assert_eq!(
                    format!("{result:?} {barrier:?}"),
                    "BarrierWaitResult { is_leader: true } Barrier { .. }"
                );
            }
        }
    });
}

#[test]
fn has_the_traits() {
    static IN_A_STATIC: Barrier = Barrier::new(1);
    fn everything<T: Send + Sync + UnwindSafe + RefUnwindSafe + Unpin>() {}
    everything::<Barrier>();
    assert!(IN_A_STATIC.wait().is_leader());
}
