//! A kernel without memory for further control blocks: a spawn is refused, and its grants are given
//! back, even if the destructor of its closure panics.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    unsafe_code,
    reason = "stands between the library and the kernel in this program"
)]

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use rustlet::{Builder, JoinHandle, park, thread};

/// The unit of memory for control blocks, in bytes.
const CHUNK: usize = 256 << 10;
/// More than a worker keeps in its cache.
const LIMIT: usize = 4_000;

static REFUSES: AtomicBool = AtomicBool::new(false);
static REFUSED: AtomicUsize = AtomicUsize::new(0);

/// Replaces libc's function in this program: it behaves as the kernel's, but may have no memory for
/// control blocks.
#[unsafe(no_mangle)]
extern "C" fn mmap(
    address: *mut libc::c_void,
    length: usize,
    rights: libc::c_int,
    flags: libc::c_int,
    file: libc::c_int,
    offset: libc::off_t,
) -> *mut libc::c_void {
    if length == CHUNK && REFUSES.load(SeqCst) {
        REFUSED.fetch_add(1, SeqCst);
        // SAFETY: it has no contract.
        let place = unsafe { libc::__errno_location() };
        // SAFETY: the calling thread's own.
        unsafe { place.write(libc::ENOMEM) };
        return libc::MAP_FAILED;
    }
    // SAFETY: the caller's promise to `mmap`.
    let start =
        unsafe { libc::syscall(libc::SYS_mmap, address, length, rights, flags, file, offset) };
    ptr::with_exposed_provenance_mut(start as usize)
}

/// Panics if the closure that holds it is dropped without being called.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the closure was dropped");
    }
}

/// Spawns threads that wait until one is refused.
fn spawn_until_refused() -> Vec<JoinHandle<()>> {
    let mut handles = Vec::new();
    while let Ok(handle) = thread::Builder::new().spawn(park) {
        handles.push(handle);
    }
    handles
}

fn wake_and_join(handles: Vec<JoinHandle<()>>) {
    for handle in &handles {
        handle.thread().unpark();
    }
    for handle in handles {
        handle.join().unwrap();
    }
}

#[test]
fn a_refused_spawn_keeps_nothing() {
    let runtime = Builder::new()
        .workers(1)
        .max_threads(LIMIT)
        .build()
        .unwrap();
    runtime.run(|| {
        REFUSES.store(true, SeqCst);
        let few = spawn_until_refused();
        assert!(few.len() < LIMIT - 1, "there was memory for {}", few.len());
        let error = thread::Builder::new().spawn(park).unwrap_err();
        assert!(error.to_string().contains("control blocks"), "{error}");
        for _ in 0..100 {
            let bomb = Bomb;
            let spawned = catch_unwind(AssertUnwindSafe(|| {
                thread::Builder::new().spawn(move || {
                    let _defused = ManuallyDrop::new(bomb);
                })
            }));
            assert!(spawned.is_err(), "the closure was not dropped");
        }
        assert!(REFUSED.load(SeqCst) > 100);
        REFUSES.store(false, SeqCst);
        wake_and_join(few);
        let all = spawn_until_refused();
        assert_eq!(all.len(), LIMIT - 1, "and this thread");
        wake_and_join(all);
    });
}
