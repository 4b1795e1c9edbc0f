//! A program with `panic = "abort"`: features that work without unwinding, and those that report
//! that they cannot.
//!
//! Each case runs in a process of its own, which is this program again with the case's name as its
//! argument: most of the cases that are refused end it.

#![allow(
    clippy::disallowed_methods,
    reason = "it reads the time to say until when"
)]

use std::env;
use std::fmt::Display;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustlet::channel::{RecvTimeoutError, after, bounded, select, unbounded};
use rustlet::net::{Server, TcpListener, TcpStream};
use rustlet::sync::{Mutex, oneshot};
use rustlet::{Builder, Worker, runtime, thread};

const SHORT: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);
const SIGABRT: i32 = 6;

/// The expected end of a case.
enum End {
    /// Ends by itself, with nothing on stderr.
    Well,
    /// Aborts, with these words on stderr.
    Aborted(&'static [&'static str]),
}
use End::{Aborted, Well};

const CASES: &[(&str, End, fn())] = &[
    ("all that needs no unwinding works", Well, everything),
    ("limits of single calls are errors", Well, single_calls),
    ("what is left of a run is left behind", Well, left_behind),
    ("run_all waits", Well, all_end),
    ("a runtime names who is left", Well, names_who_is_left),
    (
        "a server stops when its connections have ended",
        Well,
        server_ends,
    ),
    ("a worker whose threads have ended goes", Well, worker_ends),
    ("a panic ends the process", Aborted(&["oh no"]), panics),
    ("a panic leaves a trace", Well, leaves_a_trace),
    ("timeout", Aborted(&["timeout ends waits", TEXT]), || {
        rustlet::run(|| rustlet::timeout(LONG, || ())).ok();
    }),
    (
        "timeout on an OS thread",
        Aborted(&["timeout ends waits", TEXT]),
        || {
            rustlet::timeout(LONG, || ()).ok();
        },
    ),
    ("deadline", Aborted(&["deadline ends waits", TEXT]), || {
        rustlet::run(|| rustlet::deadline(Instant::now() + LONG, || ())).ok();
    }),
    ("cancel", Aborted(&["cancel ends waits", TEXT]), || {
        rustlet::run(|| rustlet::spawn(rustlet::park).cancel());
    }),
    (
        "cancel of a thread that has ended",
        Aborted(&["cancel ends waits", TEXT]),
        || {
            rustlet::run(|| {
                let ended = rustlet::spawn(|| ());
                ended.done().recv().ok();
                ended.cancel();
            });
        },
    ),
    (
        "cancel in a scope",
        Aborted(&["cancel ends waits", TEXT]),
        || {
            rustlet::run(|| rustlet::scope(|s| s.spawn(rustlet::park).cancel()));
        },
    ),
    (
        "cancel of a coroutine",
        Aborted(&["cancel ends waits", TEXT]),
        || {
            rustlet::run(|| {
                rustlet::coroutine(|_: rustlet::Duplex<(), ()>| rustlet::park()).cancel();
            });
        },
    ),
    (
        "a server with connections that do not end",
        Aborted(&["cancel ends waits", TEXT]),
        server_cuts,
    ),
    (
        "a worker that is dropped too early",
        Aborted(&["'stays'", "park"]),
        worker_is_dropped,
    ),
];

/// The message of each operation that would have to unwind.
const TEXT: &str = "which a program that is built with panic = \"abort\" cannot do";

fn main() -> ExitCode {
    if cfg!(panic = "unwind") {
        eprintln!("this is to be built with panic = \"abort\"");
        return ExitCode::FAILURE;
    }
    if let Some(name) = env::args().nth(1) {
        match CASES.iter().find(|case| case.0 == name) {
            Some(&(_, _, case)) => case(),
            None => panic!("there is no case {name}"),
        }
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, end, _) in CASES {
        match run(name, end) {
            Ok(()) => println!("{name}: ok"),
            Err(why) => {
                failed += 1;
                println!("{name}: FAILED: {why}");
            }
        }
    }
    println!("{} cases, {failed} failed", CASES.len());
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(name: &str, end: &End) -> Result<(), String> {
    let said = |error: &dyn Display| error.to_string();
    let program = env::current_exe().map_err(|error| said(&error))?;
    let output = Command::new(program).arg(name).output();
    let Output { status, stderr, .. } = output.map_err(|error| said(&error))?;
    let stderr = String::from_utf8_lossy(&stderr);
    let is_right = match end {
        Well => status.success() && stderr.is_empty(),
        Aborted(words) => {
            status.signal() == Some(SIGABRT) && words.iter().all(|word| stderr.contains(word))
        }
    };
    if is_right {
        Ok(())
    } else {
        Err(format!("{status}; it says: {stderr}"))
    }
}

fn everything() {
    let sum = rustlet::run(|| {
        let (sender, receiver) = bounded(1);
        let numbers = [1, 2, 3];
        let locked = Mutex::new(0);
        rustlet::scope(|s| {
            for number in &numbers {
                let (sender, locked) = (sender.clone(), &locked);
                s.spawn(move || {
                    rustlet::sleep(SHORT);
                    *locked.lock().unwrap() += number;
                    sender.send(*number).unwrap();
                });
            }
            drop(sender);
            assert_eq!(receiver.iter().sum::<i32>(), 6);
        });
        // None of them fails, so no thread is cancelled.
        thread::scope_cancelling(|s| s.spawn(|| rustlet::sleep(SHORT)).join().unwrap());

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = rustlet::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        });
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"over the wire").unwrap();
        drop(client);
        assert_eq!(serving.join().unwrap(), "over the wire");

        assert_eq!(rustlet::unblock(|| 5), 5);
        rustlet::shield(rustlet::yield_now);
        assert!(!rustlet::is_cancelled());
        let (sender, answer) = oneshot::channel();
        rustlet::spawn(move || sender.send(7));
        select! {
            recv(answer.receiver()) -> _ => assert_eq!(answer.recv(), Ok(7)),
            recv(after(LONG)) -> _ => unreachable!(),
        }
        let pair = rustlet::coroutine(|inside: rustlet::Duplex<i32, i32>| {
            while let Ok(n) = inside.get() {
                inside.put(n + 1).unwrap();
            }
        });
        pair.put(1).unwrap();
        assert_eq!(pair.get(), Ok(2));
        drop(pair);
        locked.into_inner().unwrap()
    });
    assert_eq!(sum, 6);
}

fn single_calls() {
    rustlet::run(|| {
        let (_sender, receiver) = unbounded::<()>();
        assert_eq!(receiver.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
        let parked = rustlet::spawn(rustlet::park);
        let parked = parked.join_timeout(SHORT).unwrap_err();
        parked.thread().unpark();
        parked.join().unwrap();
        rustlet::thread::park_timeout(SHORT);

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(SHORT)).unwrap();
        let error = client.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    });
}

static DROPPED: AtomicBool = AtomicBool::new(false);

struct Dropped;

impl Drop for Dropped {
    fn drop(&mut self) {
        DROPPED.store(true, Ordering::SeqCst);
    }
}

fn left_behind() {
    rustlet::run(|| {
        let (sender, receiver) = bounded(0);
        rustlet::spawn(move || {
            let _dropped = Dropped;
            sender.send(()).unwrap();
            rustlet::park();
        });
        receiver.recv().unwrap();
    });
    assert!(!DROPPED.load(Ordering::SeqCst));
    // The next run is not affected.
    assert_eq!(rustlet::run(|| rustlet::spawn(|| 5).join().unwrap()), 5);
}

fn all_end() {
    static DONE: AtomicUsize = AtomicUsize::new(0);
    rustlet::run_all(|| {
        for _ in 0..10 {
            rustlet::spawn(|| {
                rustlet::sleep(SHORT);
                DONE.fetch_add(1, Ordering::SeqCst)
            });
        }
    });
    assert_eq!(DONE.load(Ordering::SeqCst), 10);
}

fn names_who_is_left() {
    let runtime = runtime::Builder::new().workers(1).build().unwrap();
    let (sender, receiver) = unbounded();
    runtime.run(move || {
        let stays = thread::Builder::new().name("stays".into());
        stays
            .spawn(move || {
                sender.send(()).unwrap();
                rustlet::park();
            })
            .unwrap();
        receiver.recv().unwrap();
    });
    let text = runtime.shutdown(SHORT).unwrap_err().to_string();
    assert!(text.contains("'stays'") && text.contains("park"), "{text}");
}

/// Runs a client, and a server with this handle that serves it.
fn serve_one(with: impl FnOnce(TcpStream, rustlet::net::ServerHandle) + Send) {
    rustlet::run(|| {
        let server = Server::bind("127.0.0.1:0").unwrap();
        let (address, handle) = (server.local_addr().unwrap(), server.handle());
        let serving = rustlet::spawn(move || {
            server.serve(|mut stream| {
                stream.read_exact(&mut [0]).ok();
            })
        });
        let client = TcpStream::connect(address).unwrap();
        while handle.connections() == 0 {
            rustlet::yield_now();
        }
        with(client, handle);
        serving.join().unwrap().unwrap();
    });
}

fn server_ends() {
    serve_one(|client, handle| {
        drop(client);
        assert_eq!(handle.shutdown_timeout(LONG), 0);
    });
}

fn server_cuts() {
    serve_one(|_client, handle| {
        handle.shutdown_timeout(SHORT);
    });
}

fn worker_ends() {
    Worker::scope(|worker| {
        worker.assign(|| rustlet::sleep(SHORT));
        worker.work();
    });
}

fn worker_is_dropped() {
    let impatient = Builder::new().shutdown_timeout(SHORT);
    let result = impatient.worker_scope(|worker| {
        worker.assign(|| {
            let stays = thread::Builder::new().name("stays".into());
            stays.spawn(rustlet::park).unwrap();
        });
        while worker.tick() {}
    });
    result.unwrap();
}

/// The trace that the environment asks for is written before the process aborts.
fn leaves_a_trace() {
    let path = env::temp_dir().join(format!("rustlet-abort-{}.json", std::process::id()));
    let program = env::current_exe().expect("this program");
    let output = Command::new(program)
        .arg("a panic ends the process")
        .env("RUSTLET_TRACE", &path)
        .output()
        .expect("a child process");
    assert_eq!(output.status.signal(), Some(SIGABRT));
    let trace = std::fs::read_to_string(&path).expect("a trace");
    std::fs::remove_file(path).expect("it is there");
    assert!(trace.contains("still runs"), "{trace}");
}

fn panics() {
    rustlet::run(|| {
        let broken = thread::Builder::new().name("broken".into());
        broken.spawn(|| panic!("oh no")).unwrap().join().ok();
    });
}
