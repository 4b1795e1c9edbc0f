//! Backtraces of green threads that wait: the feature `backtrace`.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

use std::hint::black_box;

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
        let own = threads()
            .into_iter()
            .find(|info| info.state == ThreadState::Running);
        assert!(own.unwrap().backtrace().is_none(), "it runs");
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
