//! Spans of tracing on green threads: what an event is in, after waits of many threads that share
//! workers, and that each span is closed once.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustlet::runtime::Builder;
use rustlet::{park, scope, spawn, yield_now};
use tracing::{Dispatch, Span, info, info_span};
use tracing_subscriber::Registry;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

const THREADS: usize = 40;

/// What the subscriber writes.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    /// Returns the lines so far, without the time and the level, and empties the buffer.
    fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let text = String::from_utf8(bytes).expect("text");
        text.lines().map(|line| line.trim().to_owned()).collect()
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut buffer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Buffer {
    type Writer = Buffer;
    fn make_writer(&'a self) -> Buffer {
        self.clone()
    }
}

/// Counts, for each span, the entries, the exits and the ends.
#[derive(Clone, Default)]
struct Counts(Arc<Mutex<BTreeMap<u64, [u32; 3]>>>);

impl Counts {
    fn count(&self, id: &tracing::span::Id, what: usize) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.entry(id.into_u64()).or_default()[what] += 1;
    }

    fn take(&self) -> BTreeMap<u64, [u32; 3]> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asserts that each span was exited as often as entered, and has ended; forgets them.
    fn assert_balanced(&self) {
        let counts = self.take();
        assert!(!counts.is_empty());
        for (id, [entered, exited, closed]) in counts {
            assert_eq!(entered, exited, "span {id}");
            // The number of a closed span is used again.
            assert!(closed >= 1, "span {id} is open");
        }
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Counts {
    fn on_enter(&self, id: &tracing::span::Id, _: Context<'_, S>) {
        self.count(id, 0);
    }
    fn on_exit(&self, id: &tracing::span::Id, _: Context<'_, S>) {
        self.count(id, 1);
    }
    fn on_close(&self, id: tracing::span::Id, _: Context<'_, S>) {
        self.count(&id, 2);
    }
}

/// Whether [`Waiting`] waits.
static WRITER_WAITS: AtomicBool = AtomicBool::new(false);

/// A writer that lets other green threads run, and writes nothing.
struct Waiting;

impl io::Write for Waiting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        static WRITES: AtomicU32 = AtomicU32::new(0);
        // One in four, in no regular order: not always the same thread.
        let mixed = WRITES
            .fetch_add(1, Ordering::SeqCst)
            .wrapping_mul(0x9E37_79B9);
        if WRITER_WAITS.load(Ordering::SeqCst) && (mixed >> 13).is_multiple_of(4) {
            yield_now();
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn subscriber() -> (Dispatch, Buffer, Counts) {
    let (buffer, counts) = (Buffer::default(), Counts::default());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(buffer.clone())
        .without_time()
        .with_target(false)
        .with_level(false)
        .with_ansi(false);
    let entries = tracing_subscriber::fmt::layer()
        .with_writer(|| Waiting)
        .with_span_events(FmtSpan::ACTIVE);
    let subscriber = Registry::default()
        .with(lines)
        .with(counts.clone())
        .with(entries);
    (Dispatch::new(subscriber), buffer, counts)
}

pub fn interleave() {
    let (dispatch, buffer, counts) = subscriber();
    tracing::dispatcher::set_global_default(dispatch).expect("the first");
    for workers in [1, 2] {
        let runtime = Builder::new().workers(workers).build().expect("a runtime");
        let check = |test: fn()| {
            runtime.run(test);
            counts.assert_balanced();
            buffer.take()
        };
        many_threads(&check(of_many_threads));
        assert_eq!(
            check(twice_the_same),
            ["inner: in", "outer: between", "outer: out"]
        );
        assert_eq!(
            check(cancelled),
            ["main: one", "waiter:deep: dropped", "main: two"]
        );
        assert_eq!(check(leaked), ["after"]);
        assert_eq!(
            check(spawned),
            ["spawner: here", "there", "spawner:child: adopted"]
        );
        assert_eq!(check(of_a_destructor), ["first: ends", "second: ends"]);
        assert_eq!(check(instrumented), ["work{n=1}: done", "work{n=2}: done"]);
        left_at_the_end_of_run(workers, &buffer, &counts);
    }
    scoped();
    stepped(&buffer, &counts);
    with_a_writer_that_waits(&buffer, &counts);
}

/// The request of the issue: each line names the one span of its thread.
fn of_many_threads() {
    scope(|s| {
        for n in 0..THREADS {
            s.spawn(move || {
                let _request = info_span!("request", n).entered();
                for _ in 0..3 {
                    yield_now();
                    info!("I am {n}");
                }
                let _child = info_span!("child", n).entered();
                rustlet::sleep(std::time::Duration::from_micros(50));
                info!("I am {n}");
            });
        }
    });
}

fn many_threads(lines: &[String]) {
    assert_eq!(lines.len(), THREADS * 4);
    for n in 0..THREADS {
        let outer = format!("request{{n={n}}}: I am {n}");
        let inner = format!("request{{n={n}}}:child{{n={n}}}: I am {n}");
        assert_eq!(
            lines.iter().filter(|line| **line == outer).count(),
            3,
            "{lines:#?}"
        );
        assert_eq!(
            lines.iter().filter(|line| **line == inner).count(),
            1,
            "{lines:#?}"
        );
    }
}

/// A span that is entered twice, the second time within another.
fn twice_the_same() {
    let (outer, inner) = (info_span!("outer"), info_span!(parent: None, "inner"));
    outer.in_scope(|| {
        inner.in_scope(|| {
            outer.in_scope(yield_now);
            yield_now();
            info!("in");
        });
        yield_now();
        info!("between");
        info!("out");
    });
}

/// An event in the destructor of a thread that is cancelled while it waits in two spans.
fn cancelled() {
    struct Says;
    impl Drop for Says {
        fn drop(&mut self) {
            info!("dropped");
        }
    }
    let _main = info_span!("main").entered();
    let waiter = spawn(|| {
        let _waiter = info_span!("waiter").entered();
        let _deep = info_span!("deep").entered();
        let _says = Says;
        park();
    });
    let id = waiter.thread().id();
    while !rustlet::runtime::threads()
        .iter()
        .any(|info| info.id == id && info.waits_in == "park")
    {
        yield_now();
    }
    info!("one");
    waiter.cancel();
    waiter.join().expect_err("it was cancelled");
    info!("two");
}

/// A guard that is never dropped: the span ends with the thread, if nothing else keeps it.
fn leaked() {
    let span = info_span!("leaked");
    let its = span.clone();
    let thread = move || std::mem::forget(its.enter());
    rustlet::spawn_local(thread).join().expect("no panic");
    rustlet::spawn_local(|| info!("after"))
        .join()
        .expect("no panic");
    drop(span);
}

/// A new thread is in no span; its spawner may hand it one.
fn spawned() {
    let _spawner = info_span!("spawner").entered();
    info!("here");
    spawn(|| info!("there")).join().expect("no panic");
    let span = Span::current();
    let adopted = spawn(move || {
        let _child = info_span!(parent: &span, "child").entered();
        yield_now();
        info!("adopted");
    });
    adopted.join().expect("no panic");
}

/// Destructors of green thread-locals find the spans of their thread.
fn of_a_destructor() {
    struct Says(tracing::span::EnteredSpan);
    impl Drop for Says {
        fn drop(&mut self) {
            assert!(self.0.id().is_some());
            info!("ends");
        }
    }
    rustlet::thread_local! {
        static SAYS: std::cell::RefCell<Option<Says>> = const { std::cell::RefCell::new(None) };
    }
    for name in ["first", "second"] {
        let thread = spawn(move || {
            let span = match name {
                "first" => info_span!("first"),
                _ => info_span!("second"),
            };
            SAYS.set(Some(Says(span.entered())));
            yield_now();
        });
        thread.join().expect("no panic");
    }
}

fn work(n: u32) {
    let span = info_span!("work", n);
    // As `#[instrument]` does.
    let _entered = span.enter();
    yield_now();
    info!("done");
}

fn instrumented() {
    scope(|s| {
        s.spawn(|| work(1)).join().expect("no panic");
        s.spawn(|| work(2)).join().expect("no panic");
    });
}

/// Threads that are unwound by the end of `run` exit their spans.
fn left_at_the_end_of_run(workers: usize, buffer: &Buffer, counts: &Counts) {
    let runtime = Builder::new().workers(workers).build().expect("a runtime");
    runtime.run(|| {
        let (sender, started) = rustlet::channel::bounded(0);
        for n in 0..THREADS {
            let sender = sender.clone();
            spawn(move || {
                let _left = info_span!("left", n).entered();
                let _in = info_span!("in", n).entered();
                sender.send(()).expect("the receiver is there");
                park();
            });
        }
        for _ in 0..THREADS {
            started.recv().expect("each sends once");
        }
    });
    drop(runtime);
    counts.assert_balanced();
    assert!(buffer.take().is_empty());
}

/// Each thread has a default subscriber of its own, within the one of the process.
fn scoped() {
    let runtime = Builder::new().workers(1).build().expect("a runtime");
    runtime.run(|| {
        scope(|s| {
            for n in 0..THREADS {
                s.spawn(move || {
                    let _outer = info_span!("outer", n).entered();
                    let (dispatch, buffer, counts) = subscriber();
                    rustlet::tracing::with_default(&dispatch, || {
                        let _inner = info_span!("inner", n).entered();
                        yield_now();
                        info!("I am {n}");
                    });
                    assert_eq!(buffer.take(), [format!("inner{{n={n}}}: I am {n}")]);
                    counts.assert_balanced();
                });
            }
        });
    });
}

/// The spans of the user of a `Worker` are not those of its threads.
fn stepped(buffer: &Buffer, counts: &Counts) {
    counts.take();
    buffer.take();
    rustlet::Worker::scope(|worker| {
        let _user = info_span!("user").entered();
        worker.assign(|| {
            let _own = info_span!("own").entered();
            yield_now();
            info!("a thread");
        });
        while worker.tick() {
            info!("a step");
        }
    });
    let lines = buffer.take();
    assert_eq!(
        lines.iter().filter(|line| *line == "own: a thread").count(),
        1,
        "{lines:?}"
    );
    assert!(
        lines.iter().filter(|line| *line == "user: a step").count() >= 2,
        "{lines:?}"
    );
    counts.assert_balanced();
}

/// Each entry and exit of a span is written, to a writer that lets others run now and then.
fn with_a_writer_that_waits(buffer: &Buffer, counts: &Counts) {
    buffer.take();
    counts.take();
    WRITER_WAITS.store(true, Ordering::SeqCst);
    let runtime = Builder::new().workers(1).build().expect("a runtime");
    runtime.run(|| {
        scope(|s| {
            for n in 0..4 {
                s.spawn(move || {
                    let _request = info_span!("request", n).entered();
                    let _child = info_span!("child", n).entered();
                    yield_now();
                    info!("I am {n}");
                });
            }
        });
    });
    WRITER_WAITS.store(false, Ordering::SeqCst);
    let lines = buffer.take();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    for n in 0..4 {
        let line = format!("request{{n={n}}}:child{{n={n}}}: I am {n}");
        assert!(lines.contains(&line), "{lines:#?}");
    }
    counts.assert_balanced();
}
