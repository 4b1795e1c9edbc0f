//! Backtraces of green threads that wait: the feature `backtrace`.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

use std::hint::black_box;
use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use rustlet::runtime::{Backtrace, ThreadInfo, ThreadState, threads};
use rustlet::thread::Builder;
use rustlet::{JoinHandle, dump, park, yield_now};
use support::on_one_worker;

mod support;

#[inline(never)]
fn outer(wait: fn()) -> u32 {
    black_box(middle(wait)) + 1
}

#[inline(never)]
fn middle(wait: fn()) -> u32 {
    black_box(inner(wait)) + 1
}

#[inline(never)]
fn inner(wait: fn()) -> u32 {
    wait();
    black_box(1)
}

fn spawn_deep(name: &str, wait: fn()) -> JoinHandle<u32> {
    let builder = Builder::new().name(name.into());
    builder.spawn(move || outer(wait)).unwrap()
}

fn info(name: &str) -> ThreadInfo {
    let found = threads()
        .into_iter()
        .find(|info| info.name.as_deref() == Some(name));
    found.unwrap()
}

/// Lets the others run until the thread waits.
fn until_waits(name: &str) -> ThreadInfo {
    loop {
        let info = info(name);
        if info.state == ThreadState::Waiting {
            return info;
        }
        yield_now();
    }
}

fn functions(backtrace: &Backtrace) -> Vec<&str> {
    let frames = backtrace.frames().iter();
    frames.map(|frame| frame.function.as_str()).collect()
}

/// Asserts that these are the frames of `outer`, and no others but the closure that calls it.
#[track_caller]
fn assert_deep(backtrace: &Backtrace) {
    let found = functions(backtrace);
    // A closure or a function item that is passed on may have frames of its own.
    let start = found
        .iter()
        .position(|function| function.ends_with("inner"));
    let start = start.unwrap_or_else(|| panic!("{backtrace}"));
    assert!(start <= 2 && found.len() <= start + 4, "{backtrace}");
    for (function, expected) in found[start..].iter().zip(["inner", "middle", "outer"]) {
        assert!(function.ends_with(expected), "{backtrace}");
    }
    assert!(found.len() >= start + 3, "{backtrace}");
    for frame in backtrace.frames() {
        let (file, _) = frame.place.as_ref().expect("tests have line tables");
        assert!(
            file.ends_with(file!()) || file.ends_with("core/src/ops/function.rs"),
            "{backtrace}"
        );
    }
}

#[test]
fn a_waiting_thread_has_the_functions_that_it_waits_in() {
    on_one_worker(|| {
        let deep = spawn_deep("deep", park);
        assert_deep(&until_waits("deep").backtrace().unwrap());

        // From a thread with a stack of the usual size, and in the text of a dump.
        let text = rustlet::spawn(|| {
            assert_deep(&info("deep").backtrace().unwrap());
            dump().to_string()
        });
        let text = text.join().unwrap();
        let (_, frames) = text.split_once("'deep'").unwrap();
        let frames: Vec<&str> = frames.lines().skip(1).take(3).collect();
        for (frame, function) in frames.iter().zip(["inner", "middle", "outer"]) {
            assert!(
                frame.starts_with("      ") && frame.contains(function),
                "{text}"
            );
        }
        deep.thread().unpark();
        deep.join().unwrap();
    });
}

#[test]
fn a_thread_that_is_ready_has_a_backtrace_too() {
    on_one_worker(|| {
        let deep = spawn_deep("ready", yield_now);
        let ready = loop {
            yield_now();
            let info = info("ready");
            if info.state == ThreadState::Ready {
                break info;
            }
        };
        assert_deep(&ready.backtrace().unwrap());
        deep.join().unwrap();
    });
}

#[test]
fn only_a_thread_in_the_described_wait_has_a_backtrace() {
    on_one_worker(|| {
        fn park_twice() {
            park();
            park();
        }
        let deep = spawn_deep("twice", park_twice);
        assert_eq!(info("twice").state, ThreadState::Unstarted);
        assert!(info("twice").backtrace().is_none());
        let first = until_waits("twice");
        let dumped = dump();
        deep.thread().unpark();
        yield_now();
        assert!(first.backtrace().is_none(), "it waits anew");
        assert_deep(&info("twice").backtrace().unwrap());
        let of_dump = dumped.threads.iter().find(|info| info.id == first.id);
        assert_deep(&of_dump.unwrap().backtrace().unwrap());
        deep.thread().unpark();
        deep.join().unwrap();
        assert!(first.backtrace().is_none(), "it has ended");
    });
}

#[test]
fn threads_that_do_the_same_share_a_backtrace() {
    on_one_worker(|| {
        let all: Vec<_> = (0..100).map(|_| spawn_deep("same", park)).collect();
        let waits = |info: &&ThreadInfo| {
            info.name.as_deref() == Some("same") && info.state == ThreadState::Waiting
        };
        while threads().iter().filter(waits).count() < 100 {
            yield_now();
        }
        let text = dump().to_string();
        let (_, frames) = text.split_once("\n  100 green threads").unwrap();
        let frames = frames.split("\n  green thread").next().unwrap();
        assert_eq!(frames.matches("middle").count(), 1, "{text}");
        for thread in all {
            thread.thread().unpark();
            thread.join().unwrap();
        }
    });
}

/// Ends the threads that keep their worker.
static IS_RELEASED: AtomicBool = AtomicBool::new(false);

fn spin() {
    while !IS_RELEASED.load(SeqCst) {
        std::hint::spin_loop();
    }
}

/// Is mostly in the kernel's code that reads the clock.
fn spin_on_the_clock() {
    while !IS_RELEASED.load(SeqCst) {
        black_box(Instant::now());
    }
}

/// Is mostly in code of the C library.
fn spin_in_copies() {
    let (mut to, from) = (vec![0_u8; 1 << 20], vec![1_u8; 1 << 20]);
    while !IS_RELEASED.load(SeqCst) {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
    }
}

/// Makes system calls that the kernel does not restart by itself.
fn spin_in_system_calls() {
    while !IS_RELEASED.load(SeqCst) {
        std::thread::sleep(Duration::from_micros(20));
    }
}

/// A frame of `middle`, called by `outer`; the innermost ones may be of std, or of the loop.
fn is_deep(backtrace: &Backtrace) -> bool {
    let found = functions(backtrace);
    let middle = found.iter().position(|name| name.ends_with("middle"));
    middle.is_some_and(|at| {
        at > 0 && found[at - 1].ends_with("inner") && found[at + 1].ends_with("outer")
    })
}

#[test]
fn a_running_thread_has_the_functions_that_it_runs_in() {
    if support::is_emulated() {
        println!("an emulator may deliver signals late");
        return;
    }
    for hog in [
        spin,
        spin_on_the_clock,
        spin_in_copies,
        spin_in_system_calls,
    ] {
        IS_RELEASED.store(false, SeqCst);
        let runtime = rustlet::Builder::new().workers(1).build().unwrap();
        let hog = runtime.spawn(move || outer(hog));
        let id = hog.thread().id();
        let (mut seen, mut shown) = (0, 0);
        // From an OS thread: the only worker is busy. It may be stopped for longer than a dump
        // waits.
        while seen < 20 || shown < 1 {
            let dump = dump();
            let info = dump.threads.iter().find(|info| info.id == id).unwrap();
            let Some(backtrace) = info.backtrace().filter(is_deep) else {
                continue;
            };
            assert_eq!(info.state, ThreadState::Running);
            seen += 1;
            // `backtrace` asks again if the dump has none.
            let line = format!("\n      {}", backtrace.frames()[0]);
            shown += u32::from(dump.to_string().contains(&line));
        }
        IS_RELEASED.store(true, SeqCst);
        assert_eq!(hog.join().unwrap(), 3);
    }
}

#[test]
fn a_thread_in_a_blocking_call_of_std_has_a_backtrace_and_its_call_goes_on() {
    if support::is_emulated() {
        println!("an emulator may deliver signals late");
        return;
    }
    static PIPE: Mutex<Option<std::io::PipeReader>> = Mutex::new(None);
    fn read() {
        let mut pipe = PIPE.lock().unwrap().take().unwrap();
        // Not `read_exact`, which tries again itself.
        assert_eq!(pipe.read(&mut [0]).unwrap(), 0);
    }
    let (reader, writer) = std::io::pipe().unwrap();
    *PIPE.lock().unwrap() = Some(reader);
    let runtime = rustlet::Builder::new().workers(1).build().unwrap();
    let blocked = runtime.spawn(|| outer(read));
    let id = blocked.thread().id();
    let mut seen = 0;
    while seen < 10 {
        let threads = threads();
        let info = threads.iter().find(|info| info.id == id).unwrap();
        seen += u32::from(
            info.backtrace()
                .is_some_and(|backtrace| is_deep(&backtrace)),
        );
    }
    drop(writer);
    assert_eq!(blocked.join().unwrap(), 3);
}

#[test]
fn a_thread_sees_itself() {
    fn look() {
        let own = rustlet::current().id();
        let info = threads().into_iter().find(|info| info.id == own).unwrap();
        let backtrace = info.backtrace().unwrap();
        assert!(is_deep(&backtrace), "{backtrace}");
    }
    on_one_worker(|| outer(look));
    // One that is stepped by hand, too.
    rustlet::Worker::scope(|worker| {
        let thread = worker.assign(|| outer(look));
        worker.work();
        assert_eq!(thread.join().unwrap(), 3);
    });
}

#[test]
fn the_watchdog_says_what_a_hog_runs() {
    if support::is_emulated() {
        println!("an emulator may deliver signals late");
        return;
    }
    static REPORTED: AtomicBool = AtomicBool::new(false);
    fn spin_until_reported() {
        while !REPORTED.load(SeqCst) {
            std::hint::spin_loop();
        }
    }
    let runtime = rustlet::Builder::new()
        .workers(1)
        .watchdog(Duration::from_millis(5))
        .on_report(|report| {
            let text = report.to_string();
            // A worker that was stopped for longer than the watchdog waits does not answer.
            if text.contains("\n      ") {
                assert!(text.contains("spin_until_reported"), "{text}");
            }
            REPORTED.store(true, SeqCst);
        })
        .build()
        .unwrap();
    let hog = runtime.spawn(|| outer(spin_until_reported));
    assert_eq!(hog.join().unwrap(), 3);
}

/// Steps a worker as a program's own event loop does.
#[inline(never)]
fn event_loop(worker: &rustlet::Worker) {
    while worker.live() > 0 {
        worker.tick();
    }
}

/// A sample may come when the worker is about to switch to the thread.
#[test]
fn the_event_loop_around_a_stepped_worker_is_in_no_backtrace() {
    const SAMPLES: usize = 100;
    static HAS_BEGUN: AtomicBool = AtomicBool::new(false);
    static HAS_ENDED: AtomicBool = AtomicBool::new(false);
    let yields = || {
        HAS_BEGUN.store(true, SeqCst);
        while !HAS_ENDED.load(SeqCst) {
            yield_now();
        }
    };
    let stepper = std::thread::spawn(move || {
        rustlet::Worker::scope(|worker| {
            worker.assign(move || {
                let builder = Builder::new().name("stepped beside".into());
                builder.spawn_local(yields).unwrap().join().unwrap();
            });
            event_loop(worker);
        });
    });
    while !HAS_BEGUN.load(SeqCst) {
        std::thread::yield_now();
    }
    let seen: Vec<String> = (0..SAMPLES)
        .filter_map(|_| info("stepped beside").backtrace())
        .map(|backtrace| functions(&backtrace).join(" < "))
        // Not only the name, which the name of this test holds too.
        .filter(|names| names.contains("backtrace::event_loop"))
        .collect();
    HAS_ENDED.store(true, SeqCst);
    stepper.join().unwrap();
    assert!(seen.is_empty(), "{seen:?}");
}
