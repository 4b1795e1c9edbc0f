//! A kernel that temporarily has no guards: new threads wait for their stacks, and get them
//! afterwards.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    clippy::disallowed_methods,
    reason = "reads the time to count tries in it"
)]
#![allow(
    unsafe_code,
    reason = "stands between the library and the kernel in this program"
)]

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustlet::{Builder, sleep, spawn, spawn_local};

static REFUSES: AtomicBool = AtomicBool::new(false);
static REFUSED: AtomicUsize = AtomicUsize::new(0);
/// One test at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Replaces libc's function in this program: it behaves as the kernel's, but may have no memory for
/// guards.
#[unsafe(no_mangle)]
extern "C" fn madvise(
    address: *mut libc::c_void,
    length: usize,
    advice: libc::c_int,
) -> libc::c_int {
    const MADV_GUARD_INSTALL: libc::c_int = 102;
    if advice == MADV_GUARD_INSTALL && REFUSES.load(SeqCst) {
        REFUSED.fetch_add(1, SeqCst);
        // SAFETY: it has no contract.
        let place = unsafe { libc::__errno_location() };
        // SAFETY: the calling thread's own.
        unsafe { place.write(libc::ENOMEM) };
        return -1;
    }
    // SAFETY: the caller's promise to `madvise`.
    unsafe { libc::syscall(libc::SYS_madvise, address, length, advice) as libc::c_int }
}

/// This many threads arrive while there are no guards; their worker either always has something to
/// run, or sleeps. All have run in the end.
fn all_run(threads: usize, busy: bool) {
    let runtime = Builder::new().workers(1).build().unwrap();
    runtime.run(move || {
        let ran = Arc::new(AtomicUsize::new(0));
        REFUSES.store(true, SeqCst);
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                let ran = Arc::clone(&ran);
                spawn(move || {
                    ran.fetch_add(1, SeqCst);
                    rustlet::park();
                })
            })
            .collect();
        // The threads for which stacks are left take them; the others find none.
        for _ in 0..threads {
            rustlet::yield_now();
        }
        let met = ran.load(SeqCst);
        REFUSES.store(false, SeqCst);
        let waits = rustlet::timeout(Duration::from_secs(60), || {
            while ran.load(SeqCst) < threads {
                if busy {
                    rustlet::yield_now();
                } else {
                    sleep(Duration::from_millis(1));
                }
            }
        });
        assert!(waits.is_ok(), "{met} of them before there were guards");
        for handle in handles {
            handle.thread().unpark();
            handle.join().unwrap();
        }
    });
}

#[test]
fn threads_start_when_there_are_guards_again() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // A second pool in the process, so that guards are installed one by one, through the function
    // above.
    let other = Builder::new().workers(1).build().unwrap();
    other.run(|| spawn(|| ()).join().unwrap());
    all_run(400, true);
    // More of them, because stacks that were guarded once are kept.
    all_run(2000, false);
    drop(other);
}

/// Threads that stay on their worker arrive while there are no guards. It sleeps, and retries about
/// once a millisecond.
fn wait_in_peace() {
    const THREADS: usize = 300;
    let ran = Rc::new(Cell::new(0));
    REFUSES.store(true, SeqCst);
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let ran = Rc::clone(&ran);
            spawn_local(move || {
                ran.set(ran.get() + 1);
                rustlet::park();
            })
        })
        .collect();
    let (before, begun) = (REFUSED.load(SeqCst), Instant::now());
    for _ in 0..20 {
        sleep(Duration::from_millis(1));
    }
    let (tries, took) = (REFUSED.load(SeqCst) - before, begun.elapsed());
    REFUSES.store(false, SeqCst);
    // Some find stacks that already existed.
    assert!(ran.get() < THREADS);
    // Even if the machine is slow.
    assert!(
        tries as u128 <= 10 * (took.as_millis() + 10),
        "{tries} in {took:?}"
    );
    for thread in threads {
        thread.thread().unpark();
        thread.join().unwrap();
    }
    assert_eq!(ran.get(), THREADS);
}

#[test]
fn a_worker_sleeps_while_its_threads_wait_for_stacks() {
    // There are no guards of this kind: those by `mprotect` are installed at spawn, which can
    // report that there are none.
    if support::is_emulated() || cfg!(rustlet_portable) {
        return;
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // As above.
    let other = Builder::new().workers(1).build().unwrap();
    other.run(|| spawn(|| ()).join().unwrap());
    // Sizes of which no stacks are left.
    let runtime = Builder::new().workers(1).stack_size(320 << 10);
    runtime.build().unwrap().run(wait_in_peace);
    let stepped = Builder::new().stack_size(576 << 10);
    let result = stepped.worker_scope(|worker| {
        let main = worker.assign(wait_in_peace);
        worker.work();
        main.join()
    });
    result.unwrap().unwrap();
    drop(other);
}
