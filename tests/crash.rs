//! Crashes of the process caused by a green thread: each case runs in a child, which is this binary
//! with the name of one test.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]
#![allow(unsafe_code, reason = "a child follows a null pointer")]

use rustlet::{run, spawn_local, thread};
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use support::child;

mod support;

const SIGABRT: i32 = 6;
const SIGSEGV: i32 = 11;

/// The usable bytes of a stack by default.
const DEFAULT: &str = if cfg!(debug_assertions) {
    "960 KiB"
} else {
    "192 KiB"
};

/// Asserts that a child died of `signal`; returns its output.
#[track_caller]
fn died_of(signal: i32, output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        output.status.signal(),
        Some(signal),
        "{}\n{said}",
        output.status
    );
    said
}

/// Never returns: each call needs half a KiB more.
#[allow(unconditional_recursion, reason = "the point of it")]
fn overflow(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    overflow(depth + 1) + frame[depth as usize % 64]
}

#[track_caller]
fn assert_reports(said: &str, who: &str, stack: &str) {
    assert!(
        said.contains(&format!("rustlet: green thread {who}")),
        "{said}"
    );
    assert!(said.contains("has overflowed its stack"), "{said}");
    assert!(said.contains(&format!("its stack is {stack}")), "{said}");
    assert!(said.contains("thread::Builder::stack_size"), "{said}");
    assert!(said.contains("RUSTLET_STACK_SIZE"), "{said}");
    let is_debug = said.contains("this is a debug build");
    assert_eq!(is_debug, cfg!(debug_assertions), "{said}");
}

#[test]
fn an_overflow_names_the_thread_and_the_remedy() {
    let output = child("an_overflow_names_the_thread_and_the_remedy", || {
        run(|| {
            let deep = thread::Builder::new().name("deep".into());
            let deep = deep.spawn(|| overflow(0)).unwrap();
            deep.join()
        })
        .unwrap();
    });
    let said = died_of(SIGABRT, &output);
    assert_reports(&said, "'deep' ThreadId(", DEFAULT);
    let place = format!("spawned at {}:", file!());
    assert!(said.contains(&place), "{said}");
}

/// The stack has been used before, and the next thread reuses its initialised frame.
#[test]
fn an_overflow_on_a_used_stack_names_the_thread() {
    let output = child("an_overflow_on_a_used_stack_names_the_thread", || {
        let runtime = rustlet::Builder::new().workers(1).build().unwrap();
        runtime.run(|| {
            for name in ["one", "two"] {
                let shallow = thread::Builder::new().name(name.into());
                shallow.spawn(thread::yield_now).unwrap().join().unwrap();
            }
            let deep = thread::Builder::new().name("deep".into());
            deep.spawn(|| overflow(0)).unwrap().join().unwrap();
        });
    });
    let said = died_of(SIGABRT, &output);
    assert_reports(&said, "'deep' ThreadId(", DEFAULT);
}

#[test]
fn an_overflow_of_the_first_thread() {
    let output = child("an_overflow_of_the_first_thread", || {
        let _never = run(|| overflow(0));
    });
    assert_reports(&died_of(SIGABRT, &output), "'main' ThreadId(", "2048 KiB");
}

#[test]
fn an_overflow_of_a_local_thread_without_a_name() {
    let output = child("an_overflow_of_a_local_thread_without_a_name", || {
        run(|| spawn_local(|| overflow(0)).join()).unwrap();
    });
    assert_reports(&died_of(SIGABRT, &output), "ThreadId(", DEFAULT);
}

#[test]
fn an_overflow_of_a_big_stack() {
    let output = child("an_overflow_of_a_big_stack", || {
        run(|| {
            let big = thread::Builder::new()
                .name("big".into())
                .stack_size(4 << 20);
            big.spawn(|| overflow(0)).unwrap().join()
        })
        .unwrap();
    });
    assert_reports(&died_of(SIGABRT, &output), "'big'", "4096 KiB");
}

#[test]
fn an_overflow_of_a_small_stack() {
    let output = child("an_overflow_of_a_small_stack", || {
        let runtime = rustlet::Builder::new()
            .workers(1)
            .stack_size(1)
            .build()
            .unwrap();
        let _never = runtime.run(|| overflow(0));
    });
    assert_reports(&died_of(SIGABRT, &output), "'main'", "64 KiB");
}

#[test]
fn an_overflow_in_a_scope_on_the_process_wide_runtime() {
    let output = child("an_overflow_in_a_scope_on_the_process_wide_runtime", || {
        thread::scope(|s| {
            let deep = thread::Builder::new().name("scoped".into());
            let _never = deep.spawn_scoped(s, || overflow(0)).unwrap().join();
        });
    });
    assert_reports(&died_of(SIGABRT, &output), "'scoped'", DEFAULT);
}

#[test]
fn an_overflow_beside_many_others() {
    let output = child("an_overflow_beside_many_others", || {
        run(|| {
            for _ in 0..3_000 {
                drop(
                    thread::Builder::new()
                        .name("innocent".into())
                        .spawn_local(rustlet::park)
                        .unwrap(),
                );
            }
            rustlet::yield_now();
            let guilty = thread::Builder::new().name("guilty".into());
            guilty.spawn_local(|| overflow(0)).unwrap().join()
        })
        .unwrap();
    });
    let said = died_of(SIGABRT, &output);
    assert_reports(&said, "'guilty'", DEFAULT);
    assert!(!said.contains("innocent"), "{said}");
}

#[test]
fn a_null_pointer_ends_as_it_does_in_any_program() {
    let output = child("a_null_pointer_ends_as_it_does_in_any_program", || {
        run(|| {
            let null = std::hint::black_box(std::ptr::without_provenance_mut::<u8>(8));
            // SAFETY: none: the child is meant to crash here.
            unsafe { null.write_volatile(1) };
        });
    });
    let said = died_of(SIGSEGV, &output);
    assert!(!said.contains("overflow"), "{said}");
}

#[test]
fn an_overflow_of_an_os_thread_is_stds_to_report() {
    let output = child("an_overflow_of_an_os_thread_is_stds_to_report", || {
        // The handler is installed, and green threads exist.
        run(|| {
            let os = std::thread::Builder::new()
                .name("oscar".into())
                .stack_size(256 << 10);
            let os = os.spawn(|| overflow(0)).unwrap();
            while !os.is_finished() {
                rustlet::yield_now();
            }
        });
    });
    let said = died_of(SIGABRT, &output);
    assert!(
        said.contains("oscar") && said.contains("has overflowed its stack"),
        "{said}"
    );
    assert!(
        !said.contains("green thread") && !said.contains("rustlet:"),
        "{said}"
    );
}

#[test]
fn an_overflow_of_an_os_thread_after_the_last_runtime() {
    let output = child("an_overflow_of_an_os_thread_after_the_last_runtime", || {
        run(|| ());
        let os = std::thread::Builder::new()
            .name("oscar".into())
            .stack_size(256 << 10);
        let _never = os.spawn(|| overflow(0)).unwrap().join();
    });
    let said = died_of(SIGABRT, &output);
    assert!(
        said.contains("oscar") && !said.contains("rustlet:"),
        "{said}"
    );
}

#[test]
fn a_panic_in_a_destructor_during_unwinding_aborts() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("second");
        }
    }
    let output = child("a_panic_in_a_destructor_during_unwinding_aborts", || {
        run(|| {
            let panics = thread::spawn(|| {
                let _bomb = Bomb;
                panic!("first");
            });
            drop(panics.join());
        });
    });
    let said = died_of(SIGABRT, &output);
    assert!(said.contains("first") && said.contains("second"), "{said}");
    assert!(
        said.contains("panic in a destructor during cleanup"),
        "{said}"
    );
}

/// As for a thread that is cancelled in a callback from C code.
#[test]
fn a_cancellation_does_not_unwind_through_foreign_frames() {
    extern "C" fn callback() {
        rustlet::park();
    }
    let output = child(
        "a_cancellation_does_not_unwind_through_foreign_frames",
        || {
            run(|| {
                let thread = spawn_local(|| callback());
                rustlet::yield_now();
                thread.cancel();
                drop(thread.join());
            });
        },
    );
    let said = died_of(SIGABRT, &output);
    assert!(said.contains("cannot unwind"), "{said}");
}

/// A panic hook may wait: another thread of the worker that panics meanwhile does not count as
/// panicking in a hook.
#[test]
fn a_panic_while_another_threads_hook_waits() {
    let output = child("a_panic_while_another_threads_hook_waits", || {
        std::panic::set_hook(Box::new(|_| rustlet::yield_now()));
        run(|| {
            let first = spawn_local(|| panic!("first"));
            let second = spawn_local(|| panic!("second"));
            assert!(first.join().unwrap_err().is::<&str>());
            assert!(second.join().unwrap_err().is::<&str>());
        });
    });
    assert!(output.status.success(), "{output:?}");
}
