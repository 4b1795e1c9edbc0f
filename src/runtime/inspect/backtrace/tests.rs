//! Backtraces of threads that are running at the same time.

use std::hint::black_box;
use std::panic::Location;

use super::{Frame, Tracer};
use crate::green::block::slab;
use crate::green::park::yield_now;
use crate::runtime::Builder;

/// Yields at each depth on the way down and up again.
#[inline(never)]
fn descend(depth: u32) -> u32 {
    yield_now(Location::caller());
    if depth == 0 {
        return 1;
    }
    let below = black_box(ascend(depth - 1));
    yield_now(Location::caller());
    below + 1
}

/// Calls `descend` from a frame of another size.
#[inline(never)]
fn ascend(depth: u32) -> u32 {
    let room = black_box([depth; 50]);
    yield_now(Location::caller());
    let below = black_box(descend(depth));
    yield_now(Location::caller());
    below + room[below as usize % 50]
}

/// Asserts that the frames of the two functions alternate, down to the closure of the thread.
fn assert_of_one_moment(frames: &[Frame]) {
    let last = |frame: &Frame| frame.function.rsplit("::").next().map(str::to_owned);
    let names: Vec<String> = frames.iter().filter_map(last).collect();
    let is_walk = |name: &&String| ["descend", "ascend"].contains(&name.as_str());
    let walk: Vec<&String> = names.iter().filter(is_walk).collect();
    assert!(walk.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    assert!(
        walk.last().is_none_or(|name| *name == "descend"),
        "{names:?}"
    );
    assert!(
        names.iter().any(|name| name.contains("short_backtrace")),
        "{names:?}"
    );
}

#[test]
fn threads_that_keep_running_have_backtraces_of_one_moment_or_none() {
    const WANTED: usize = 300;
    let runtime = Builder::new().workers(2).build().unwrap();
    for _ in 0..4 {
        // The runtime cancels them when it ends.
        let _detached = runtime.handle().spawn(|| {
            loop {
                descend(20);
            }
        });
    }
    let mut tracer = Tracer::new().unwrap();
    let (mut traced, mut missed) = (0, 0);
    while traced < WANTED {
        for green in slab::all() {
            if green.spawned_at().is_none_or(|at| at.file() != file!()) {
                continue;
            }
            match tracer.frames(&green, green.since()) {
                Some(frames) => {
                    assert_of_one_moment(&frames);
                    traced += 1;
                }
                None => missed += 1,
            }
        }
    }
    println!("{traced} backtraces, {missed} threads that ran");
}
