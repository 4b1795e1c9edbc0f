//! The atomics whose operations are switch points.

use rustlet::sync::Arc;
use rustlet::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering, fence};
use rustlet::testing;

use super::panic_of;

fn lose_an_update() {
    let count = Arc::new(AtomicU32::new(0));
    let other = count.clone();
    let thread = rustlet::spawn(move || {
        let seen = other.load(Ordering::SeqCst);
        other.store(seen + 1, Ordering::SeqCst);
    });
    let seen = count.load(Ordering::SeqCst);
    count.store(seen + 1, Ordering::SeqCst);
    thread.join().unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 2, "an update is lost");
}

#[test]
fn lost_update_is_found() {
    let text = panic_of(|| testing::check(lose_an_update));
    println!("{text}");
    assert!(text.contains("an update is lost"), "{text}");
    assert!(
        text.contains("is interrupted at tests/testing/atomics.rs"),
        "{text}"
    );
    // One interruption between the load and the store.
    assert!(
        text.contains("deviate from an undisturbed run to "),
        "{text}"
    );
}

#[test]
fn lost_update_is_found_by_enumeration() {
    let text = panic_of(|| {
        testing::exhaust(lose_an_update);
    });
    assert!(text.contains("an update is lost"), "{text}");
    assert!(text.contains("RUSTLET_SCHEDULE="), "{text}");
    assert!(!text.contains("RUSTLET_SEED="), "{text}");
}

#[test]
fn update_in_one_operation_is_never_lost() {
    let schedules = testing::exhaust(|| {
        let count = Arc::new(AtomicU32::new(0));
        let other = count.clone();
        let thread = rustlet::spawn(move || other.fetch_add(1, Ordering::SeqCst));
        count
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |seen| Some(seen + 1))
            .unwrap();
        thread.join().unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 2);
    });
    println!("{schedules} schedules");
    assert!(schedules > 3);
}

#[test]
fn loop_that_waits_for_an_atomic_ends() {
    testing::check(|| {
        let flag = Arc::new(AtomicBool::new(false));
        let other = flag.clone();
        rustlet::spawn(move || other.store(true, Ordering::Release));
        while !flag.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
    });
}

/// What std's types have, ours have too.
#[test]
fn atomics_are_used_as_those_of_std() {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    fn takes_std(count: &std::sync::atomic::AtomicU32) -> u32 {
        count.load(Ordering::Relaxed)
    }
    fence(Ordering::SeqCst);
    assert_eq!(takes_std(&COUNT), 1);
    assert_eq!(COUNT.fetch_max(5, Ordering::Relaxed), 1);
    assert_eq!(format!("{COUNT:?}"), "5");
    let mut own = AtomicBool::from(true);
    *own.get_mut() = false;
    assert!(!own.fetch_not(Ordering::Relaxed));
    assert!(own.into_inner());
    let mut value = 5;
    let pointer = AtomicPtr::new(&raw mut value);
    assert!(
        !pointer
            .swap(std::ptr::null_mut(), Ordering::Relaxed)
            .is_null()
    );
    assert!(AtomicPtr::<u8>::default().load(Ordering::Relaxed).is_null());
}
