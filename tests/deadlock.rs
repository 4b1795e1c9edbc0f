//! Programs that stand still say why: cycles of locks and joins, and threads that are all asleep.
//!
//! Each runs in a child process. The test has no harness: the OS threads of libtest would count as
//! threads that may still do something.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustlet::runtime::{Builder, OnDeadlock, ReportKind};
use rustlet::sync::{Arc, Condvar, Mutex, RwLock};
use rustlet::{channel, thread};

/// The programs that the children run, by name.
const PROGRAMS: &[(&str, fn())] = &[
    ("two_locks_crossed", two_locks_crossed),
    ("one_lock_twice", one_lock_twice),
    ("one_lock_twice_beside_others", one_lock_twice_beside_others),
    ("write_locks_crossed", write_locks_crossed),
    ("joins_of_each_other", joins_of_each_other),
    ("lock_and_join", lock_and_join),
    ("lock_and_scope", lock_and_scope),
    ("joins_beside_others", joins_beside_others),
    ("joins_at_the_same_time", joins_at_the_same_time),
    (
        "receive_without_sender_that_sends",
        receive_without_sender_that_sends,
    ),
    ("select_that_is_not_served", select_that_is_not_served),
    ("forgotten_unpark", forgotten_unpark),
    ("forgotten_notify", forgotten_notify),
    ("asleep_in_two_runs", asleep_in_two_runs),
    ("panics", panics),
    ("aborts", aborts),
    ("ignored", ignored),
    ("an_os_thread_sends", an_os_thread_sends),
    ("an_os_thread_unlocks", an_os_thread_unlocks),
    ("a_call_on_the_pool_sends", a_call_on_the_pool_sends),
    ("a_timer_wakes", a_timer_wakes),
    ("a_limit_ends_the_cycle", a_limit_ends_the_cycle),
    ("a_socket_wakes", a_socket_wakes),
    ("a_signal_wakes", a_signal_wakes),
    ("a_moment_wakes_a_select", a_moment_wakes_a_select),
    ("a_future_wakes", a_future_wakes),
    (
        "a_future_on_an_os_thread_sends",
        a_future_on_an_os_thread_sends,
    ),
    ("a_task_at_a_socket_wakes", a_task_at_a_socket_wakes),
    ("a_lock_held_for_long", a_lock_held_for_long),
    ("dumps_itself", dumps_itself),
    ("holds_up_its_worker", holds_up_its_worker),
    ("computes", computes),
    ("std_lock_across_a_wait", std_lock_across_a_wait),
    ("blocking_socket", blocking_socket),
];

/// Lets the library look a few times.
fn pause() {
    std::thread::sleep(Duration::from_millis(150));
}

fn ends(f: impl FnOnce() + Send) {
    Builder::new().build().unwrap().run(f);
}

/// Runs `f` and gives up on it when it has been reported: the process ends.
fn hangs(f: impl FnOnce() + Send + 'static) {
    std::process::exit(
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            Builder::new()
                .on_deadlock(OnDeadlock::Panic)
                .build()
                .unwrap()
                .run(f);
        })) {
            Err(_) => 7,
            Ok(()) => 0,
        },
    )
}

fn two_locks_crossed() {
    hangs(|| {
        let (a, b) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
        let both_hold = Arc::new(rustlet::sync::Barrier::new(2));
        let cross = |name: &str, first: &Arc<Mutex<()>>, second: &Arc<Mutex<()>>| {
            let (first, second) = (Arc::clone(first), Arc::clone(second));
            let both_hold = Arc::clone(&both_hold);
            let builder = thread::Builder::new().name(name.into());
            builder.spawn(move || {
                let _first = first.lock();
                both_hold.wait();
                let _second = second.lock();
            })
        };
        let threads = [cross("left", &a, &b), cross("right", &b, &a)];
        for thread in threads {
            thread.unwrap().join().unwrap();
        }
    });
}

fn one_lock_twice() {
    hangs(|| {
        let mutex = Mutex::new(());
        let _first = mutex.lock();
        let _second = mutex.lock();
    });
}

fn one_lock_twice_beside_others() {
    hangs(|| {
        // Busy all the time, on every worker.
        for _ in 0..4 {
            rustlet::spawn(|| {
                loop {
                    rustlet::yield_now();
                }
            });
        }
        let culprit = rustlet::spawn(|| {
            let mutex = Mutex::new(());
            let _first = mutex.lock();
            let _second = mutex.lock();
        });
        let _never = culprit.join();
    });
}

fn write_locks_crossed() {
    hangs(|| {
        let (a, b) = (Arc::new(RwLock::new(())), Arc::new(RwLock::new(())));
        let (first, second) = (Arc::clone(&a), Arc::clone(&b));
        let (told, hears) = channel::bounded(0);
        let other = rustlet::spawn(move || {
            let _first = first.write();
            told.send(()).unwrap();
            let _second = second.read();
        });
        let _second = b.write();
        hears.recv().unwrap();
        let _first = a.write();
        other.join().unwrap();
    });
}

fn joins_of_each_other() {
    hangs(|| {
        let (give, take) = channel::bounded::<rustlet::JoinHandle<()>>(1);
        let one = rustlet::spawn(move || take.recv().unwrap().join().unwrap());
        let two = rustlet::spawn(move || one.join().unwrap());
        give.send(two).unwrap();
        rustlet::sleep(Duration::from_secs(60));
    });
}

/// Timers keep the workers busy for moments, all the time.
fn joins_beside_others() {
    hangs(|| {
        for _ in 0..4 {
            rustlet::spawn(|| {
                loop {
                    rustlet::sleep(Duration::from_micros(500));
                }
            });
        }
        let (give, take) = channel::bounded::<rustlet::JoinHandle<()>>(1);
        let one = rustlet::spawn(move || take.recv().unwrap().join().unwrap());
        let two = rustlet::spawn(move || one.join().unwrap());
        give.send(two).unwrap();
        rustlet::sleep(Duration::from_secs(60));
    });
}

/// On several workers each of two threads begins to join the other before it can see that the other
/// waits for it.
fn joins_at_the_same_time() {
    let (reports, reported) = channel::unbounded();
    let builder = Builder::new().on_report(move |report| {
        assert_eq!(report.kind(), ReportKind::Deadlock, "{report}");
        reports.send(()).unwrap();
    });
    builder.build().unwrap().run(move || {
        // Keeps both workers busy for moments, so that none of them looks because it has nothing to
        // run.
        for _ in 0..4 {
            rustlet::spawn(|| {
                loop {
                    rustlet::sleep(Duration::from_micros(500));
                }
            });
        }
        for _ in 0..support::stress(20) {
            let met = Arc::new(AtomicUsize::new(0));
            let join = |handles: channel::Receiver<rustlet::JoinHandle<()>>| {
                let met = Arc::clone(&met);
                rustlet::spawn(move || {
                    let other = handles.recv().unwrap();
                    met.fetch_add(1, Ordering::Relaxed);
                    while met.load(Ordering::Relaxed) < 2 {
                        rustlet::yield_now();
                    }
                    other.join().unwrap();
                })
            };
            let (give_one, take_one) = channel::bounded(1);
            let (give_two, take_two) = channel::bounded(1);
            give_one.send(join(take_two)).unwrap();
            give_two.send(join(take_one)).unwrap();
            reported.recv().unwrap();
        }
        std::process::exit(7)
    });
}

fn lock_and_join() {
    hangs(|| {
        let mutex = Arc::new(Mutex::new(()));
        let guard = mutex.lock();
        let its = Arc::clone(&mutex);
        rustlet::spawn(move || drop(its.lock())).join().unwrap();
        drop(guard);
    });
}

/// The owner of a scope holds the lock that a thread of the scope, and one beside it, wait for.
fn lock_and_scope() {
    hangs(|| {
        for _ in 0..4 {
            rustlet::spawn(|| {
                loop {
                    rustlet::sleep(Duration::from_micros(500));
                }
            });
        }
        let mutex = Mutex::new(());
        let _guard = mutex.lock();
        rustlet::scope(|s| {
            s.spawn(|| rustlet::sleep(Duration::from_millis(1)));
            for _ in 0..3 {
                s.spawn(|| drop(mutex.lock()));
            }
        });
    });
}

fn receive_without_sender_that_sends() {
    hangs(|| {
        let (_sender, receiver) = channel::unbounded::<()>();
        let _never = receiver.recv();
    });
}

fn select_that_is_not_served() {
    hangs(|| {
        let (_one, from_one) = channel::unbounded::<()>();
        let (to_two, _two) = channel::bounded::<()>(1);
        to_two.send(()).unwrap();
        rustlet::select! {
            recv(from_one) -> _ => {},
            send(to_two, ()) -> _ => {},
        }
    });
}

fn forgotten_unpark() {
    hangs(|| {
        rustlet::spawn(rustlet::park).join().unwrap();
    });
}

fn forgotten_notify() {
    hangs(|| {
        let pair = (Mutex::new(false), Condvar::new());
        let mut ready = pair.0.lock().unwrap();
        while !*ready {
            ready = pair.1.wait(ready).unwrap();
        }
    });
}

fn asleep_in_two_runs() {
    for _ in 0..2 {
        let ended = std::panic::catch_unwind(|| {
            let builder = Builder::new().on_deadlock(OnDeadlock::Panic);
            builder.build().unwrap().run(rustlet::park);
        });
        assert!(ended.is_err());
    }
    std::process::exit(7);
}

fn panics() {
    let text = std::panic::catch_unwind(|| {
        let builder = Builder::new().on_deadlock(OnDeadlock::Panic);
        builder.build().unwrap().run(rustlet::park);
    });
    let text = text.unwrap_err();
    let text = text.downcast_ref::<String>().unwrap();
    assert!(text.contains("asleep"), "{text}");
    std::process::exit(7);
}

fn aborts() {
    let builder = Builder::new().on_deadlock(OnDeadlock::Abort);
    builder.build().unwrap().run(rustlet::park);
}

fn ignored() {
    let builder = Builder::new().on_deadlock(OnDeadlock::Ignore);
    let runtime = builder.build().unwrap();
    let parked = runtime.spawn(rustlet::park);
    let thread = parked.thread().clone();
    let waker = std::thread::spawn(move || {
        pause();
        thread.unpark();
    });
    parked.join().unwrap();
    waker.join().unwrap();
}

fn an_os_thread_sends() {
    let (sender, receiver) = channel::bounded(0);
    std::thread::spawn(move || {
        pause();
        sender.send(()).unwrap();
    });
    ends(move || receiver.recv().unwrap());
}

fn an_os_thread_unlocks() {
    let mutex = Arc::new(Mutex::new(()));
    let (sender, receiver) = channel::bounded(0);
    let its = Arc::clone(&mutex);
    std::thread::spawn(move || {
        let _guard = its.lock();
        sender.send(()).unwrap();
        pause();
    });
    ends(move || {
        receiver.recv().unwrap();
        drop(mutex.lock());
    });
}

fn a_call_on_the_pool_sends() {
    ends(|| {
        let (sender, receiver) = channel::bounded(1);
        let (begins, begun) = channel::bounded(1);
        let caller = rustlet::spawn(move || {
            rustlet::unblock(move || {
                begins.send(()).unwrap();
                pause();
                sender.send(()).unwrap();
            });
        });
        begun.recv().unwrap();
        // The call goes on without its caller.
        caller.cancel();
        receiver.recv().unwrap();
        let _cancelled = caller.join();
    });
}

fn a_timer_wakes() {
    ends(|| {
        let sleeper = rustlet::spawn(|| rustlet::sleep(Duration::from_millis(150)));
        sleeper.join().unwrap();
        let after = channel::after(Duration::from_millis(100));
        after.recv().unwrap();
        let event = rustlet::sync::Event::new();
        let _elapsed = rustlet::timeout(Duration::from_millis(100), || event.wait());
    });
}

fn a_limit_ends_the_cycle() {
    ends(|| {
        let mutex = Mutex::new(());
        let _first = mutex.lock();
        let elapsed = rustlet::timeout(Duration::from_millis(150), || drop(mutex.lock()));
        assert!(elapsed.is_err());
    });
}

fn a_socket_wakes() {
    let (mut here, mut there) = std::os::unix::net::UnixStream::pair().unwrap();
    std::thread::spawn(move || {
        pause();
        std::io::Write::write_all(&mut there, b"x").unwrap();
    });
    here.set_nonblocking(true).unwrap();
    ends(move || {
        rustlet::io::wait_readable(&here).unwrap();
        std::io::Read::read_exact(&mut here, &mut [0]).unwrap();
    });
}

fn a_signal_wakes() {
    ends(|| {
        let signals = rustlet::signal::notify(&[rustlet::signal::SIGUSR1]).unwrap();
        let mut child = Command::new("sh")
            .args([
                "-c",
                &format!("sleep 0.15; kill -USR1 {}", std::process::id()),
            ])
            .spawn()
            .unwrap();
        signals.recv().unwrap();
        child.wait().unwrap();
    });
}

fn a_moment_wakes_a_select() {
    ends(|| {
        let (_sender, receiver) = channel::unbounded::<()>();
        rustlet::select! {
            recv(receiver) -> _ => {},
            recv(channel::after(Duration::from_millis(150))) -> _ => {},
        }
        let sleeper = rustlet::spawn(|| rustlet::sleep(Duration::from_millis(150)));
        rustlet::select! {
            recv(receiver) -> _ => {},
            recv(sleeper.done()) -> _ => {},
        }
        rustlet::select! {
            recv(receiver) -> _ => {},
            default(Duration::from_millis(150)) => {},
        }
    });
}

fn a_future_wakes() {
    ends(|| {
        let (mut waker_to, waker_of) = (None, std::sync::mpsc::channel::<std::task::Waker>());
        let (send, wakers) = waker_of;
        std::thread::spawn(move || {
            let waker = wakers.recv().unwrap();
            pause();
            waker.wake();
        });
        rustlet::block_on(std::future::poll_fn(move |context| {
            if waker_to.replace(()).is_some() {
                return std::task::Poll::Ready(());
            }
            send.send(context.waker().clone()).unwrap();
            std::task::Poll::Pending
        }));
    });
}

/// The OS thread waits without a limit, for what another process does.
fn a_future_on_an_os_thread_sends() {
    let runtime = Builder::new().build().unwrap();
    let (sender, receiver) = channel::unbounded();
    let thread = runtime.spawn(move || receiver.recv().unwrap());
    let mut child = Command::new("sh")
        .args(["-c", "sleep 0.15; echo"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = rustlet::io::Watch::new(child.stdout.take().unwrap()).unwrap();
    let readable = std::future::poll_fn(|context| stdout.poll_readable(context));
    rustlet::block_on(readable).unwrap();
    sender.send(()).unwrap();
    thread.join().unwrap();
    child.wait().unwrap();
}

/// An executor that the program wrote: its waker sends a message to the thread that polls.
fn a_task_at_a_socket_wakes() {
    struct Send(channel::Sender<()>);
    impl std::task::Wake for Send {
        fn wake(self: Arc<Send>) {
            let _sent = self.0.try_send(());
        }
    }
    ends(|| {
        let (here, there) = rustlet::os::unix::net::UnixStream::pair().unwrap();
        // Not an OS thread of this process, which would count as one that may do something.
        let mut child = Command::new("sh")
            .args(["-c", "sleep 0.15; echo x"])
            .stdout(std::os::fd::OwnedFd::from(there))
            .spawn()
            .unwrap();
        let (sender, receiver) = channel::unbounded();
        let waker = std::task::Waker::from(Arc::new(Send(sender)));
        let mut context = std::task::Context::from_waker(&waker);
        while here.poll_read(&mut context, &mut [0]).is_pending() {
            receiver.recv().unwrap();
        }
        child.wait().unwrap();
    });
}

fn a_lock_held_for_long() {
    ends(|| {
        let mutex = Arc::new(Mutex::new(()));
        let guard = mutex.lock();
        let its = Arc::clone(&mutex);
        let waiter = rustlet::spawn(move || drop(its.lock()));
        rustlet::sleep(Duration::from_millis(150));
        drop(guard);
        waiter.join().unwrap();
    });
}

/// A thousand threads wait for a lock whose holder sleeps, on a worker that computes; then it asks
/// for a dump.
fn dumps_itself() {
    ends(|| {
        let mutex = Arc::new(Mutex::new(()));
        let guard = mutex.lock();
        let waiters: Vec<_> = (0..1000)
            .map(|_| {
                let mutex = Arc::clone(&mutex);
                rustlet::spawn(move || drop(mutex.lock()))
            })
            .collect();
        let waiting = || {
            let threads = rustlet::runtime::threads();
            let waits = |info: &&rustlet::runtime::ThreadInfo| info.waits_in == "Mutex::lock";
            threads.iter().filter(waits).count()
        };
        while waiting() < 1000 {
            rustlet::yield_now();
        }
        let listener = rustlet::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let accepting = rustlet::spawn(move || drop(listener.accept()));
        rustlet::sleep(Duration::from_millis(1));
        let id = std::process::id().to_string();
        // It blocks the worker, as a hog does.
        let killed = Command::new("kill").args(["-QUIT", &id]).status();
        assert!(killed.unwrap().success());
        pause();
        drop(guard);
        accepting.cancel();
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

fn holds_up_its_worker() {
    ends(|| {
        let hog = thread::Builder::new().name("hog".into());
        hog.spawn(|| std::thread::sleep(Duration::from_millis(400)))
            .unwrap()
            .join()
            .unwrap();
    });
}

fn computes() {
    ends(|| {
        let hog = thread::Builder::new().name("hog".into());
        let hog = hog.spawn(|| {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(400) {
                std::hint::spin_loop();
            }
        });
        hog.unwrap().join().unwrap();
    });
}

fn std_lock_across_a_wait() {
    let mutex = Arc::new(std::sync::Mutex::new(()));
    let its = Arc::clone(&mutex);
    // The holder is an OS thread here, so that the program ends.
    let (told, hears) = channel::bounded(0);
    let holder = std::thread::spawn(move || {
        let _guard = its.lock();
        told.send(()).unwrap();
        std::thread::sleep(Duration::from_millis(400));
    });
    ends(move || {
        hears.recv().unwrap();
        drop(mutex.lock());
    });
    holder.join().unwrap();
}

fn blocking_socket() {
    let (mut here, mut there) = std::os::unix::net::UnixStream::pair().unwrap();
    let sender = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(400));
        std::io::Write::write_all(&mut there, b"x").unwrap();
    });
    ends(move || std::io::Read::read_exact(&mut here, &mut [0]).unwrap());
    sender.join().unwrap();
}

fn run(name: &str, workers: u32) -> Output {
    let mut child = support::this_program()
        .env("RUSTLET_DEADLOCK_PROGRAM", name)
        .env("RUSTLET_WORKERS", workers.to_string())
        .env("RUST_BACKTRACE", "0")
        .env("RUSTLET_DUMP", "SIGQUIT")
        .env("RUSTLET_WATCHDOG", "100ms")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            let _gone = child.kill();
            panic!("{name} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

/// What the program wrote to stderr; it must end with this code.
fn said(name: &str, workers: u32, code: Option<i32>) -> String {
    let output = run(name, workers);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        output.status.code(),
        code,
        "{name}, {workers} workers: {}\n{said}",
        output.status
    );
    said
}

fn main() {
    if let Ok(name) = std::env::var("RUSTLET_DEADLOCK_PROGRAM") {
        let (_, program) = PROGRAMS
            .iter()
            .find(|(program, _)| *program == name)
            .unwrap();
        return program();
    }
    for workers in [1, 2] {
        cycles_are_named(workers);
        threads_that_may_continue_are_no_deadlock(workers);
        // An emulator has OS threads of its own, which count as threads that may do something yet,
        // and the system sees its calls, not those of the program.
        if !support::is_emulated() {
            sleepers_are_named(workers);
            a_dump_names_the_holder_first(workers);
            a_hog_is_named(workers);
        }
    }
    println!("test result: ok");
}

fn cycles_are_named(workers: u32) {
    let text = said("two_locks_crossed", workers, Some(7));
    assert!(
        text.contains("2 green threads wait for each other"),
        "{text}"
    );
    assert!(
        text.contains("'left'") && text.contains("'right'"),
        "{text}"
    );
    assert_eq!(text.matches("held by green thread '").count(), 2, "{text}");
    assert!(text.matches("tests/deadlock.rs").count() >= 4, "{text}");
    for name in ["one_lock_twice", "one_lock_twice_beside_others"] {
        let text = said(name, workers, Some(7));
        assert!(text.contains("waits for itself"), "{text}");
        assert!(text.contains("held by itself"), "{text}");
    }
    said("joins_at_the_same_time", workers, Some(7));
    for name in [
        "write_locks_crossed",
        "joins_of_each_other",
        "joins_beside_others",
        "lock_and_join",
        "lock_and_scope",
    ] {
        let text = said(name, workers, Some(7));
        assert!(
            text.contains("2 green threads wait for each other"),
            "{text}"
        );
    }
}

fn sleepers_are_named(workers: u32) {
    for name in [
        "receive_without_sender_that_sends",
        "select_that_is_not_served",
        "forgotten_unpark",
        "forgotten_notify",
        "asleep_in_two_runs",
        "panics",
    ] {
        let text = said(name, workers, Some(7));
        assert!(
            text.contains("asleep, and nothing can wake"),
            "{name}: {text}"
        );
        assert!(text.contains("green thread 'main'"), "{text}");
    }
    let text = said("aborts", workers, None);
    assert!(text.contains("asleep"), "{text}");
}

fn threads_that_may_continue_are_no_deadlock(workers: u32) {
    for name in [
        "ignored",
        "an_os_thread_sends",
        "an_os_thread_unlocks",
        "a_call_on_the_pool_sends",
        "a_timer_wakes",
        "a_limit_ends_the_cycle",
        "a_socket_wakes",
        "a_signal_wakes",
        "a_moment_wakes_a_select",
        "a_future_wakes",
        "a_future_on_an_os_thread_sends",
        "a_task_at_a_socket_wakes",
        "a_lock_held_for_long",
    ] {
        let text = said(name, workers, Some(0));
        assert!(!text.contains("deadlock"), "{name}: {text}");
    }
}

fn a_dump_names_the_holder_first(workers: u32) {
    let text = said("dumps_itself", workers, Some(0));
    let line = |what: &str| {
        let found = text.lines().position(|line| line.contains(what));
        found.unwrap_or_else(|| panic!("no {what} in:\n{text}"))
    };
    assert_eq!(line("1002 green threads"), 0);
    let holder = line("holds locks that 1000 threads wait for");
    let waiters = line("1000 green threads, spawned at tests/deadlock.rs");
    assert!(holder < waiters, "{text}");
    let waiting = text.lines().nth(waiters).unwrap();
    assert!(
        waiting.contains("wait in Mutex::lock at tests/deadlock.rs"),
        "{text}"
    );
    assert!(
        waiting.contains("held by green thread 'main' ThreadId(1)"),
        "{text}"
    );
    let accepting = text.lines().nth(line("waits in accept")).unwrap();
    assert!(accepting.contains("(socket 127.0.0.1:"), "{text}");
    assert_eq!(
        text.lines()
            .filter(|line| line.contains("worker rustlet-"))
            .count(),
        workers as usize
    );
}

fn a_hog_is_named(workers: u32) {
    let text = said("holds_up_its_worker", workers, Some(0));
    assert!(text.contains("green thread 'hog'"), "{text}");
    assert!(text.contains("has kept its worker for"), "{text}");
    assert!(text.contains("clock_nanosleep"), "{text}");
    for (program, why) in [
        ("computes", "it computes"),
        (
            "std_lock_across_a_wait",
            "waits in futex, for a lock of std",
        ),
        ("blocking_socket", "waits in recvfrom on descriptor"),
    ] {
        let text = said(program, workers, Some(0));
        assert!(text.contains(why), "{program}: {text}");
    }
}
