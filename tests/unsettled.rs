//! A system that has no OS thread, or no memory, for the exact `panicking()`: no operation hangs or
//! aborts, limits are late at most, and everything is exact once there are enough resources again.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(
    unsafe_code,
    reason = "stands between the library and libc in this program"
)]

use std::ffi::c_void;
use std::mem::transmute;
use std::panic::{catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::panicking;
use std::time::Duration;

use rustlet::channel::bounded;
use rustlet::{Builder, Elapsed, Runtime, park, sleep, spawn, timeout, yield_now};

static REFUSES_THREADS: AtomicBool = AtomicBool::new(false);
static REFUSES_MEMORY: AtomicBool = AtomicBool::new(false);
static REFUSED: AtomicUsize = AtomicUsize::new(0);

type Start = extern "C" fn(*mut c_void) -> *mut c_void;
type Create = unsafe extern "C" fn(
    *mut libc::pthread_t,
    *const libc::pthread_attr_t,
    Start,
    *mut c_void,
) -> libc::c_int;

/// Replaces libc's function in this program: it behaves as libc's, but there may be no OS thread.
#[unsafe(no_mangle)]
extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> libc::c_int {
    if REFUSES_THREADS.load(SeqCst) {
        REFUSED.fetch_add(1, SeqCst);
        return libc::EAGAIN;
    }
    // SAFETY: the name is a C string.
    let create = unsafe { libc::dlsym(libc::RTLD_NEXT, c"pthread_create".as_ptr()) };
    // SAFETY: libc's function has this type.
    let create = unsafe { transmute::<*mut c_void, Create>(create) };
    // SAFETY: the caller's promise to `pthread_create`.
    unsafe { create(thread, attributes, start, argument) }
}

/// Replaces libc's function in this program: it behaves as the kernel's, but there may be no
/// memory.
#[unsafe(no_mangle)]
extern "C" fn mmap(
    address: *mut c_void,
    length: usize,
    rights: libc::c_int,
    flags: libc::c_int,
    file: libc::c_int,
    offset: libc::off_t,
) -> *mut c_void {
    if REFUSES_MEMORY.load(SeqCst) {
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
    std::ptr::with_exposed_provenance_mut(start as usize)
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A thread waits in a destructor while it unwinds. Another thread, which does not unwind, has a
/// time limit: it is raised once the first has continued.
fn one_unwinds_beside_one_with_a_limit() {
    let (go, gone) = bounded::<()>(1);
    let unwinds = spawn(move || {
        let caught = catch_unwind(|| {
            let _waits = OnDrop(|| {
                gone.recv().unwrap();
                yield_now();
                assert!(panicking());
            });
            resume_unwind(Box::new(1));
        });
        assert_eq!(caught.unwrap_err().downcast_ref::<i32>(), Some(&1));
        assert!(!panicking());
    });
    yield_now();
    let limited = spawn(|| timeout(Duration::from_millis(1), park));
    let nested = spawn(|| {
        let _waits = OnDrop(|| {
            let inner = catch_unwind(|| {
                let _waits = OnDrop(|| sleep(Duration::from_micros(100)));
                resume_unwind(Box::new(2));
            });
            assert!(inner.is_err() && panicking());
            yield_now();
        });
        resume_unwind(Box::new(3));
    });
    sleep(Duration::from_millis(3));
    // While this one is suspended in its destructors, the others of its worker may seem to panic.
    assert!(nested.join().is_err());
    go.send(()).unwrap();
    unwinds.join().unwrap();
    assert_eq!(limited.join().unwrap(), Err(Elapsed));
    assert!(!panicking());
}

/// One after the other, because a refusal applies to the whole process.
#[test]
fn without_threads_or_memory_limits_come_late_and_all_is_exact_afterwards() {
    for workers in [1, 3] {
        let runtime = Builder::new().workers(workers).build().unwrap();
        for (refuses, what) in [
            (&REFUSES_THREADS, "threads"),
            (&REFUSES_MEMORY, "memory"),
            (&REFUSES_THREADS, "threads"),
        ] {
            run_refused(&runtime, refuses, what);
        }
    }
    assert!(REFUSED.load(SeqCst) > 0);
}

fn run_refused(runtime: &Runtime, refuses: &AtomicBool, what: &str) {
    runtime.run(|| {
        // The workers have all that they need.
        let ready: Vec<_> = (0..20).map(|_| spawn(yield_now)).collect();
        ready.into_iter().for_each(|thread| thread.join().unwrap());
        refuses.store(true, SeqCst);
        for _ in 0..3 {
            one_unwinds_beside_one_with_a_limit();
        }
        refuses.store(false, SeqCst);
        // There is enough again, and no thread is left that was suspended meanwhile: exact.
        let (go, gone) = bounded::<()>(0);
        let unwinds = spawn(move || {
            let _waits = OnDrop(|| {
                gone.recv().unwrap();
                gone.recv().unwrap_err();
            });
            resume_unwind(Box::new(1));
        });
        go.send(()).unwrap();
        for _ in 0..10 {
            yield_now();
            assert!(!panicking(), "{what}");
        }
        let elapsed = timeout(Duration::from_millis(1), park);
        assert_eq!(elapsed, Err(Elapsed), "{what}");
        drop(go);
        unwinds.join().unwrap_err();
        assert!(!panicking(), "{what}");
    });
}
