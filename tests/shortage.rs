//! A kernel that has no guards to give for a while: new threads wait for their stacks, and get them afterwards.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    unsafe_code,
    reason = "stands between the library and the kernel in this program"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use rustlet::{Builder, spawn};

static REFUSES: AtomicBool = AtomicBool::new(false);

/// In the place of libc's, for this program: as the kernel's, but that it may have no memory for guards.
#[unsafe(no_mangle)]
extern "C" fn madvise(
    address: *mut libc::c_void,
    length: usize,
    advice: libc::c_int,
) -> libc::c_int {
    const MADV_GUARD_INSTALL: libc::c_int = 102;
    if advice == MADV_GUARD_INSTALL && REFUSES.load(SeqCst) {
        // SAFETY: it has no contract.
        let place = unsafe { libc::__errno_location() };
        // SAFETY: the calling thread's own.
        unsafe { place.write(libc::ENOMEM) };
        return -1;
    }
    // SAFETY: the caller's promise to `madvise`.
    unsafe { libc::syscall(libc::SYS_madvise, address, length, advice) as libc::c_int }
}

/// So many threads come while there are no guards; their worker always has something to run, or rests. All have run in the end.
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
        // Those for whom there are stacks left take them; the others find none.
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
                    rustlet::sleep(Duration::from_millis(1));
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
    // A second pool in the process, so that guards are asked for one by one, through the function above.
    let other = Builder::new().workers(1).build().unwrap();
    other.run(|| spawn(|| ()).join().unwrap());
    all_run(400, true);
    // More, because what was guarded once is at hand.
    all_run(2000, false);
    drop(other);
}
