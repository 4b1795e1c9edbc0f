//! How much of its stack a thread has used: in the list of threads, in the metrics, in the report
//! of a nearly full one, and in that of an overflow.

use super::support::{child, is_emulated, succeeded};
use rustlet::runtime::{Builder, ReportKind, ThreadInfo, threads};
use rustlet::{JoinHandle, channel, thread};
use std::hint::black_box;
use std::sync::{Arc, Mutex};

const KIB: usize = 1024;

/// Uses about `bytes` of the stack, to the last page, then calls `at_the_end`.
fn dive(bytes: usize, at_the_end: &mut dyn FnMut()) {
    #[inline(never)]
    fn deeper(end: usize, at_the_end: &mut dyn FnMut()) {
        let frame = [0_u8; 512];
        if black_box(&frame).as_ptr().addr() > end {
            deeper(end, at_the_end);
        } else {
            at_the_end();
        }
        black_box(&frame);
    }
    let here = 0_u8;
    deeper(black_box(&raw const here).addr() - bytes, at_the_end);
}

fn info_of<T>(thread: &JoinHandle<T>) -> ThreadInfo {
    let id = thread.thread().id();
    threads().into_iter().find(|info| info.id == id).unwrap()
}

#[test]
fn a_thread_shows_the_deepest_use_of_its_stack() {
    if is_emulated() {
        eprintln!("skipped: the emulator's answers about pages are its own");
        return;
    }
    let runtime = super::runtime(1);
    runtime.run(|| {
        let (tell, told) = channel::bounded(0);
        let tells = tell.clone();
        let size = 1024 * KIB;
        let deep = thread::Builder::new().stack_size(size).spawn(move || {
            dive(600 * KIB, &mut || {});
            tells.send(()).unwrap();
            rustlet::park();
        });
        let shallow = thread::Builder::new().stack_size(size).spawn(move || {
            tell.send(()).unwrap();
            rustlet::park();
        });
        let (deep, shallow) = (deep.unwrap(), shallow.unwrap());
        told.recv().unwrap();
        told.recv().unwrap();
        let (deep_info, shallow_info) = (info_of(&deep), info_of(&shallow));
        assert_eq!(deep_info.stack_size, Some(size));
        let used = deep_info.stack_used.unwrap();
        assert!((600 * KIB..700 * KIB).contains(&used), "{used}");
        let used = shallow_info.stack_used.unwrap();
        assert!((1..100 * KIB).contains(&used), "{used}");
        assert!(!deep_info.to_string().contains("of its stack"));
        let unstarted = rustlet::spawn(|| {});
        assert_eq!(info_of(&unstarted).stack_used, None);
        for thread in [deep, shallow] {
            thread.thread().unpark();
            thread.join().unwrap();
        }
        unstarted.join().unwrap();
    });
    assert!(runtime.metrics().stacks.deepest >= 600 * KIB);
    let metrics = super::until(&runtime, |metrics| metrics.stacks.resident > 0);
    let stacks = metrics.stacks;
    assert!(stacks.count >= 1, "{stacks:?}");
    assert!(stacks.resident <= stacks.reserved, "{stacks:?}");
}

/// Runs threads on stacks of `KIB` 512 or of the usual size, and returns the reports.
fn reports_of(program: impl FnOnce() + Send) -> Vec<String> {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&reports);
    let runtime = Builder::new()
        .workers(1)
        .stack_size(512 * KIB)
        .on_report(move |report| {
            assert_eq!(report.kind(), ReportKind::DeepStack, "{report}");
            log.lock().unwrap().push(report.to_string());
        });
    let runtime = runtime.build().unwrap();
    runtime.run(program);
    drop(runtime);
    let reports = reports.lock().unwrap();
    reports.clone()
}

#[test]
fn a_nearly_full_stack_is_reported_once_for_each_place() {
    if is_emulated() {
        eprintln!("skipped: the emulator's answers about pages are its own");
        return;
    }
    let reports = reports_of(|| {
        for name in ["first", "second"] {
            let builder = thread::Builder::new().name(name.into());
            let deep = builder.spawn(|| dive(450 * KIB, &mut || {})).unwrap();
            deep.join().unwrap();
        }
        // Of a stack of its own.
        let builder = thread::Builder::new().name("large".into());
        let deep = builder
            .stack_size(768 * KIB)
            .spawn(|| dive(700 * KIB, &mut || {}));
        deep.unwrap().join().unwrap();
        // Deep, and not nearly full.
        let deep = thread::Builder::new().stack_size(1024 * KIB);
        deep.spawn(|| dive(700 * KIB, &mut || {}))
            .unwrap()
            .join()
            .unwrap();
        // The next thread on a stack that was deep is not.
        rustlet::spawn(|| {}).join().unwrap();
    });
    assert_eq!(reports.len(), 2, "{reports:?}");
    let place = format!(", spawned at {}:", file!());
    for (report, name, size) in [(&reports[0], "'first'", 512), (&reports[1], "'large'", 768)] {
        assert!(
            report.starts_with(&format!("rustlet: green thread {name} ThreadId(")),
            "{report}"
        );
        assert!(report.contains(&place), "{report}");
        assert!(
            report.contains(&format!("of the {size} KiB of its stack")),
            "{report}"
        );
        assert!(report.contains("thread::Builder::stack_size"), "{report}");
        assert_eq!(
            report.contains("debug build"),
            cfg!(debug_assertions),
            "{report}"
        );
    }
}

#[test]
fn a_dump_says_that_a_stack_is_nearly_full() {
    if is_emulated() {
        eprintln!("skipped: the emulator's answers about pages are its own");
        return;
    }
    let reports = reports_of(|| {
        let (tell, told) = channel::bounded(0);
        let deep = rustlet::spawn(move || {
            dive(450 * KIB, &mut || {
                tell.send(()).unwrap();
                rustlet::park();
            })
        });
        told.recv().unwrap();
        let info = info_of(&deep);
        assert!(info.to_string().contains("; it has used 4"), "{info}");
        assert!(
            info.to_string().ends_with(" of the 512 KiB of its stack"),
            "{info}"
        );
        deep.thread().unpark();
        deep.join().unwrap();
    });
    assert_eq!(reports.len(), 1, "{reports:?}");
}

/// What serde_json and regex take in a debug build for 120 nested arrays and 200 nested groups,
/// with some room, fits the default of such a build.
#[test]
fn the_default_stack_carries_in_a_debug_build_what_std_s_does() {
    let output = child(
        "stacks::the_default_stack_carries_in_a_debug_build_what_std_s_does",
        || {
            let bytes = if cfg!(debug_assertions) { 900 } else { 180 };
            rustlet::run(move || {
                rustlet::spawn(move || dive(bytes * KIB, &mut || {}))
                    .join()
                    .unwrap()
            });
        },
    );
    succeeded(&output);
}
