//! Traces: what is in the file of a recording, and that it is there however the program ends.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use json::Json;
use rustlet::channel::bounded;
use rustlet::net::{TcpListener, TcpStream};
use rustlet::runtime::{Builder, threads};
use rustlet::trace::{self, Options};
use rustlet::{spawn, thread, yield_now};
use support::child_with;

#[cfg(target_os = "linux")]
#[path = "trace/ending.rs"]
mod ending;
#[path = "trace/format.rs"]
mod format;
#[path = "trace/json.rs"]
mod json;
mod support;

/// A process records one trace at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A path for a trace, removed at the end of the test.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, SeqCst);
        let name = format!("rustlet-trace-{}-{number}.json", std::process::id());
        Place(std::env::temp_dir().join(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

/// A slice on a track: in nanoseconds, with what Perfetto shows of it.
#[derive(Clone, Debug)]
struct Slice {
    track: String,
    begin: u64,
    end: u64,
    category: String,
    name: String,
    args: Json,
}

impl Slice {
    fn arg(&self, name: &str) -> Option<String> {
        match self.args.get(name)? {
            Json::Text(text) | Json::Number(text) => Some(text.clone()),
            other => panic!("{other:?}"),
        }
    }

    fn is(&self, name: &str, argument: &str) -> bool {
        self.arg(name).as_deref() == Some(argument)
    }
}

/// A trace file, checked: the slices of a track nest, and each arrow leads from within a slice to
/// the beginning of a later one.
struct File {
    slices: Vec<Slice>,
    /// From which slice to which.
    arrows: Vec<(Slice, Slice)>,
    tracks: BTreeSet<String>,
    lost: u64,
}

impl File {
    fn read(path: &Path) -> File {
        let json = Json::parse(&std::fs::read_to_string(path).unwrap());
        format::check(&json).unwrap();
        let lost = json
            .get("otherData")
            .and_then(|data| data.get("lost records"))
            .map_or(0, |lost| lost.text().parse().unwrap());
        let events = json.get("traceEvents").unwrap().list();
        let key = |event: &Json| match event.get("tid") {
            Some(Json::Number(tid)) => tid.clone(),
            other => panic!("no track: {other:?} in {event:?}"),
        };
        let kind = |event: &Json| event.get("ph").unwrap().text().to_owned();
        let names: BTreeMap<String, String> = events
            .iter()
            .filter(|event| {
                event
                    .get("name")
                    .is_some_and(|name| name.text() == "thread_name")
            })
            .map(|event| {
                let name = event.get("args").unwrap().get("name").unwrap();
                (key(event), name.text().to_owned())
            })
            .collect();
        let mut slices = Vec::new();
        let mut arrows: BTreeMap<String, [Option<(String, u64)>; 2]> = BTreeMap::new();
        for event in events {
            let ph = kind(event);
            if ph == "M" {
                continue;
            }
            let begin = event.get("ts").unwrap().thousandths();
            let category = event.get("cat").unwrap().text().to_owned();
            let end = match ph.as_str() {
                "X" => begin + event.get("dur").unwrap().thousandths(),
                "s" | "f" => {
                    let Some(Json::Number(id)) = event.get("id") else {
                        panic!("{event:?}");
                    };
                    let ends = arrows.entry(category + id).or_default();
                    let end = &mut ends[usize::from(ph == "f")];
                    assert!(end.is_none(), "twice: {event:?}");
                    *end = Some((names[&key(event)].clone(), begin));
                    continue;
                }
                other => panic!("an event of kind {other}"),
            };
            slices.push(Slice {
                track: names[&key(event)].clone(),
                begin,
                end,
                category,
                name: event.get("name").unwrap().text().to_owned(),
                args: event.get("args").unwrap().clone(),
            });
        }
        slices.sort_by_key(|slice| (slice.track.clone(), slice.begin, u64::MAX - slice.end));
        check_nesting(&slices);
        let arrows = arrows
            .into_values()
            .map(|ends| {
                let [Some((from_track, from)), Some((to_track, to))] = ends else {
                    panic!("half an arrow: {ends:?}");
                };
                assert!(from <= to, "back in time: {from} {to}");
                let until = |track: &str, at: u64| {
                    slices
                        .partition_point(|slice| (slice.track.as_str(), slice.begin) <= (track, at))
                };
                let from = slices[..until(&from_track, from)]
                    .iter()
                    .rfind(|slice| slice.end >= from)
                    .unwrap();
                let to = slices[..until(&to_track, to)]
                    .iter()
                    .rfind(|slice| slice.begin == to && slice.category == "thread")
                    .unwrap();
                assert_eq!((&from.track, &to.track), (&from_track, &to_track));
                (from.clone(), to.clone())
            })
            .collect();
        File {
            slices,
            arrows,
            tracks: names.into_values().collect(),
            lost,
        }
    }

    fn any(&self, is_it: impl Fn(&Slice) -> bool) -> bool {
        self.slices.iter().any(is_it)
    }

    /// Returns whether `waker` has woken `woken`, and an arrow shows it.
    fn has_wake(&self, waker: &str, woken: &str) -> bool {
        self.arrows
            .iter()
            .any(|(from, to)| from.category == "wake" && from.is("by", waker) && to.name == woken)
    }
}

fn check_nesting(slices: &[Slice]) {
    for track in slices.chunk_by(|one, other| one.track == other.track) {
        let mut open: Vec<&Slice> = Vec::new();
        for slice in track {
            assert!(slice.begin <= slice.end, "{slice:?}");
            while open.last().is_some_and(|outer| outer.end <= slice.begin) {
                open.pop();
            }
            if let Some(outer) = open.last() {
                assert!(slice.end <= outer.end, "{slice:?} crosses {outer:?}");
                assert_ne!(
                    (slice.category.as_str(), outer.category.as_str()),
                    ("thread", "thread"),
                    "two green threads at once: {slice:?} {outer:?}"
                );
            }
            open.push(slice);
        }
    }
}

fn named<T: Send + 'static>(
    name: &str,
    worker: usize,
    f: impl FnOnce() -> T + Send + 'static,
) -> rustlet::JoinHandle<T> {
    let builder = thread::Builder::new().name(name.to_owned()).worker(worker);
    builder.spawn(f).unwrap()
}

/// Yields until the thread `name` waits in `operation`.
fn until_waits(name: &str, operation: &str) {
    let waits = |info: &rustlet::runtime::ThreadInfo| {
        info.name.as_deref() == Some(name)
            && info.waits_in == operation
            && info.state == rustlet::runtime::ThreadState::Waiting
    };
    while !threads().iter().any(waits) {
        yield_now();
    }
}

/// Does one of each thing that a trace shows.
fn program() {
    yield_now();
    let (ping, pings) = bounded::<u32>(0);
    let (pong, pongs) = bounded::<u32>(0);
    let pinger = named("pinger", 0, move || {
        for number in 0..20 {
            ping.send(number).unwrap();
            assert_eq!(pongs.recv(), Ok(number));
        }
    });
    let ponger = named("ponger", 0, move || {
        for number in pings {
            pong.send(number).unwrap();
        }
    });
    pinger.join().unwrap();
    ponger.join().unwrap();

    named("sleeper", 1, || thread::sleep(Duration::from_millis(1)))
        .join()
        .unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut served, _) = listener.accept().unwrap();
    let reader = named("reader", 1, move || served.read(&mut [0; 8]).unwrap());
    until_waits("reader", "read");
    client.write_all(b"hello").unwrap();
    assert_eq!(reader.join().unwrap(), 5);

    let caller = named("caller", 0, || rustlet::unblock(|| 6 * 7));
    assert_eq!(caller.join().unwrap(), 42);

    // From one worker to the other.
    let parked = named("parked", 1, rustlet::park);
    until_waits("parked", "park");
    let unparker = parked.thread().clone();
    named(
        "a \"name\" of more than a hundred bytes: "
            .repeat(4)
            .as_str(),
        0,
        move || {
            unparker.unpark();
        },
    )
    .join()
    .unwrap();
    parked.join().unwrap();
}

#[test]
fn a_trace_shows_what_ran_why_it_waited_and_what_woke_it() {
    let _alone = alone();
    let place = Place::new();
    let trace = trace::start(&place.0).unwrap();
    let runtime = Builder::new().workers(2).name("traced").build().unwrap();
    runtime.run(program);
    drop(runtime);
    let summary = trace.finish().unwrap();
    let file = File::read(&place.0);
    assert_eq!((summary.lost, file.lost), (0, 0));
    assert_eq!(summary.written as usize, file.slices.len());

    for track in ["traced-0", "traced-1", "traced-pool-0"] {
        assert!(file.tracks.contains(track), "{:?}", file.tracks);
    }
    for (name, track) in [
        ("pinger", "traced-0"),
        ("ponger", "traced-0"),
        ("sleeper", "traced-1"),
        ("reader", "traced-1"),
        ("caller", "traced-0"),
    ] {
        let steps: Vec<_> = file
            .slices
            .iter()
            .filter(|slice| slice.category == "thread" && slice.name == name)
            .collect();
        assert!(steps.iter().all(|step| step.track == track), "{steps:?}");
        assert!(steps[0].is("began", "here"), "{steps:?}");
        assert!(steps[0].arg("spawned_at").unwrap().contains("trace.rs"));
        let ends = steps.iter().filter(|step| step.is("then", "ends"));
        assert_eq!(ends.count(), 1, "{steps:?}");
        assert!(steps.last().unwrap().is("then", "ends"), "{steps:?}");
    }
    let waits = |name: &str, then: &str| {
        file.any(|slice| {
            slice.name == name
                && slice.is("then", then)
                && slice
                    .arg("at")
                    .is_some_and(|at| at.contains("tests/trace.rs:"))
        })
    };
    assert!(waits("pinger", "waits in recv") || waits("pinger", "waits in send"));
    assert!(waits("sleeper", "waits in sleep"));
    assert!(waits("reader", "waits in read"));
    assert!(waits("caller", "waits in a call on the blocking pool"));
    assert!(waits("main", "waits in join"));
    assert!(waits("main", "yield_now"));

    assert!(file.has_wake("pinger", "ponger"));
    assert!(file.has_wake("ponger", "pinger"));
    assert!(file.has_wake("timer", "sleeper"));
    assert!(
        file.arrows
            .iter()
            .any(|(from, to)| { from.name.starts_with("I/O descriptor ") && to.name == "reader" })
    );
    let long: String = "a \"name\" of more than a hundred bytes: ".repeat(4);
    let unparker = &long[..96];
    assert!(file.any(|slice| slice.name == unparker));
    assert!(file.has_wake(unparker, "parked"));
    // The call is made on the pool, and its end wakes the caller from there.
    assert!(file.arrows.iter().any(|(from, to)| {
        from.track == "traced-pool-0" && from.is("by", "another OS thread") && to.name == "caller"
    }));
    let call = file.slices.iter().find(|slice| slice.category == "pool");
    assert_eq!(call.unwrap().name, "call for caller");
    let spawned: BTreeSet<_> = file
        .arrows
        .iter()
        .filter(|(from, _)| from.category == "spawn" && from.arg("spawner").is_some())
        .map(|(_, to)| to.name.as_str())
        .collect();
    assert!(spawned.is_superset(&["pinger", "sleeper", "reader", "parked"].into()));
    assert!(file.any(|slice| slice.name == "sleep" && slice.category == "worker"));
}

#[test]
fn a_full_buffer_keeps_the_newest_records_and_counts_the_others() {
    const YIELDS: u64 = 100_000;
    const RECORDS: usize = 1 << 11;
    let _alone = alone();
    let place = Place::new();
    let trace = Options::new().records(RECORDS).start(&place.0).unwrap();
    let runtime = Builder::new().workers(1).build().unwrap();
    runtime.run(|| {
        let old = thread::Builder::new().name("old".to_owned());
        old.spawn(yield_now).unwrap().join().unwrap();
        for _ in 0..YIELDS {
            yield_now();
        }
        let new = thread::Builder::new().name("new".to_owned());
        new.spawn(yield_now).unwrap().join().unwrap();
    });
    let summary = trace.finish().unwrap();
    drop(runtime);
    let file = File::read(&place.0);
    assert!(file.slices.len() <= RECORDS + RECORDS / 64);
    assert_eq!(
        (summary.written as usize, summary.lost),
        (file.slices.len(), file.lost)
    );
    assert!(summary.written + summary.lost > YIELDS);
    assert!(file.any(|slice| slice.name == "new"));
    assert!(!file.any(|slice| slice.name == "old"));
    // Its name was recorded long before, but it lives.
    assert!(file.any(|slice| slice.name == "main"));
}

#[test]
fn a_thread_that_still_runs_is_in_a_trace_that_continues() {
    static RUNS: AtomicBool = AtomicBool::new(false);
    static ENOUGH: AtomicBool = AtomicBool::new(false);
    let _alone = alone();
    let place = Place::new();
    let trace = trace::start(&place.0).unwrap();
    let runtime = Builder::new().workers(2).build().unwrap();
    runtime.run(|| {
        let _stops = Stops(&ENOUGH);
        // Beside this thread, not in its way.
        let me = rustlet::current().id();
        let here = threads().iter().find(|info| info.id == me).unwrap().worker;
        let other = 1 - here.unwrap();
        let hog = named("hog", other, || {
            RUNS.store(true, SeqCst);
            while !ENOUGH.load(SeqCst) {
                std::hint::spin_loop();
            }
        });
        while !RUNS.load(SeqCst) {
            yield_now();
        }
        // On a green thread: written on the pool.
        trace.flush().unwrap();
        let file = File::read(&place.0);
        let is_hog = |slice: &Slice| slice.name == "hog" && slice.is("then", "still runs");
        assert!(file.any(is_hog));
        ENOUGH.store(true, SeqCst);
        hog.join().unwrap();
        // Its worker records the end of a step after it has woken the joiner.
        named("next", other, || ()).join().unwrap();
        // Dropped instead of finished.
        drop(trace);
        let file = File::read(&place.0);
        assert!(!file.any(is_hog));
        assert!(file.any(|slice| slice.name == "hog" && slice.is("then", "ends")));
    });
}

#[test]
fn a_recording_begins_and_ends_while_threads_run() {
    let _alone = alone();
    let runtime = Builder::new().workers(2).build().unwrap();
    let stop = &AtomicBool::new(false);
    runtime.run(|| {
        thread::scope(|scope| {
            let _stops = Stops(stop);
            for _ in 0..4 {
                scope.spawn(|| {
                    while !stop.load(SeqCst) {
                        spawn(|| ()).join().unwrap();
                        yield_now();
                    }
                });
            }
            for _ in 0..20 {
                let place = Place::new();
                let trace = Options::new().records(1 << 10).start(&place.0).unwrap();
                for _ in 0..50 {
                    yield_now();
                }
                trace.finish().unwrap();
                File::read(&place.0);
            }
        });
    });
}

/// Sets the flag at the end, also when an assertion fails.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn a_stepped_worker_is_traced() {
    let _alone = alone();
    let place = Place::new();
    let trace = trace::start(&place.0).unwrap();
    rustlet::Worker::scope(|worker| {
        worker.assign(|| {
            let builder = thread::Builder::new().name("stepped".to_owned());
            builder.spawn_local(yield_now).unwrap().join().unwrap();
        });
        while worker.live() > 0 {
            worker.tick();
        }
        worker.assign(yield_now);
        worker.work();
    });
    trace.finish().unwrap();
    let file = File::read(&place.0);
    let steps = |slice: &&Slice| slice.name == "stepped";
    assert_eq!(file.slices.iter().filter(steps).count(), 2);
}

#[test]
fn one_trace_at_a_time_and_only_where_a_file_can_be() {
    let _alone = alone();
    let place = Place::new();
    let trace = trace::start(&place.0).unwrap();
    let other = Place::new();
    let error = trace::start(&other.0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    assert!(!other.0.exists());
    trace.finish().unwrap();
    let error = trace::start(other.0.join("below")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    trace::start(&other.0).unwrap().finish().unwrap();
    assert_eq!(File::read(&other.0).lost, 0);
}

/// How a child process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Exit(i32),
    Signal(i32),
}

/// Runs `body` in a child process with `RUSTLET_TRACE`; returns what the trace shows.
fn from_environment(test: &str, end: End, body: impl FnOnce()) -> Option<File> {
    let place = Place::new();
    let pattern = place.0.with_extension("%p.json");
    let output = child_with(
        test,
        &[("RUSTLET_TRACE", pattern.to_str().unwrap())],
        || {
            std::thread::spawn(|| {
                std::thread::sleep(Duration::from_secs(60));
                std::process::abort();
            });
            body();
        },
    );
    let said = String::from_utf8_lossy(&output.stderr);
    let signal = output.status.signal().map(End::Signal);
    let ended = signal.or(output.status.code().map(End::Exit));
    assert_eq!(ended, Some(end), "{said}");
    let prefix = place.0.with_extension("");
    let prefix = prefix.file_name().unwrap().to_str().unwrap().to_owned();
    let written = std::fs::read_dir(std::env::temp_dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(&prefix) && name.ends_with(".json")
        })
        .unwrap();
    let number = written.with_extension("");
    let number = number.extension().unwrap().to_str().unwrap();
    assert!(number.parse::<u32>().is_ok(), "{written:?}");
    let written = Place(written);
    Some(File::read(&written.0))
}

#[test]
fn the_environment_asks_for_a_trace_of_a_program_that_returns() {
    let test = "the_environment_asks_for_a_trace_of_a_program_that_returns";
    let file = from_environment(test, End::Exit(0), || {
        rustlet::run(program);
        rustlet::run(|| named("second", 0, yield_now).join().unwrap());
    });
    let file = file.unwrap();
    assert!(file.has_wake("pinger", "ponger"));
    assert!(file.any(|slice| slice.name == "second" && slice.is("then", "ends")));
}

#[test]
fn the_environment_asks_for_a_trace_of_a_program_that_panics() {
    let test = "the_environment_asks_for_a_trace_of_a_program_that_panics";
    let file = from_environment(test, End::Exit(101), || {
        rustlet::run(|| {
            named("last", 0, || ()).join().unwrap();
            panic!("on purpose")
        })
    });
    assert!(file.unwrap().any(|slice| slice.name == "last"));
}

#[test]
fn the_environment_asks_for_a_trace_of_a_program_that_exits() {
    let test = "the_environment_asks_for_a_trace_of_a_program_that_exits";
    let file = from_environment(test, End::Exit(7), || {
        rustlet::run(|| {
            named("exits", 0, || rustlet::process::exit(7))
                .join()
                .unwrap();
        });
    });
    let file = file.unwrap();
    assert!(file.any(|slice| slice.name == "exits" && slice.is("then", "still runs")));
}

#[test]
fn a_file_that_cannot_be_created_fails_the_builder() {
    let test = "a_file_that_cannot_be_created_fails_the_builder";
    let output = child_with(test, &[("RUSTLET_TRACE", "/proc/no/such/place")], || {
        let error = Builder::new().build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("RUSTLET_TRACE"), "{error}");
        let error = Builder::new().worker_scope(|_| ()).unwrap_err();
        assert!(error.to_string().contains("RUSTLET_TRACE"), "{error}");
    });
    support::succeeded(&output);
}
