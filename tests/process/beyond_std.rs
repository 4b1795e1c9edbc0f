//! Features that std does not have: timeouts, no blocked worker, no zombies, cancelled waits,
//! conversions.

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use rustlet::channel::{Select, after, select};
use rustlet::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::{on_one_worker, support};

fn sh(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

/// A child that ends when it is killed.
fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("1000");
    command
}

/// A child that ends when its standard input does.
fn waiting() -> Child {
    sh("read a").stdin(Stdio::piped()).spawn().unwrap()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32).unwrap()
}

#[test]
fn waits_with_a_limit() {
    let case = || {
        let mut child = sleeper().spawn().unwrap();
        for timeout in [
            Duration::ZERO,
            Duration::from_nanos(1),
            Duration::from_millis(2),
        ] {
            assert_eq!(child.wait_timeout(timeout).unwrap(), None);
        }
        child.kill().unwrap();
        let status = child.wait_timeout(Duration::MAX).unwrap();
        assert!(status.is_some_and(|status| !status.success()));
        // Once the status is known, the time does not matter.
        assert_eq!(child.wait_timeout(Duration::ZERO).unwrap(), status);
    };
    case();
    on_one_worker(case);
    rustlet::run(case);
}

/// As std's: also when it is known that the pipe is empty.
#[test]
fn reading_nothing_waits_for_nothing() {
    let case = || {
        let mut child = sh("read a")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        for _ in 0..2 {
            let ended = |f: &mut dyn FnMut() -> std::io::Result<usize>| {
                rustlet::timeout(Duration::ZERO, f).map(Result::unwrap)
            };
            assert!(ended(&mut || stdout.read(&mut [0])).is_err());
            assert_eq!(ended(&mut || stdout.read(&mut [])), Ok(0));
            assert_eq!(ended(&mut || stdout.read_vectored(&mut [])), Ok(0));
        }
        drop(child.stdin.take());
        assert_eq!(stdout.read(&mut [0]).unwrap(), 0);
        child.wait().unwrap();
    };
    case();
    on_one_worker(case);
}

#[test]
fn the_exit_is_ready_for_ever_and_does_not_reap() {
    let case = || {
        let mut child = waiting();
        let (one, two) = (child.exited(), child.exited().clone());
        assert!(one.try_recv().is_err());
        assert!(one.recv_timeout(Duration::from_millis(1)).is_err());
        // The standard input stays open.
        let mut stdin = child.stdin.take().unwrap();
        select! {
            recv(two) -> _ => panic!("it has not ended"),
            default => stdin.write_all(b"\n").unwrap(),
        }
        select! {
            recv(two) -> exit => assert_eq!(exit, Ok(())),
            recv(after(Duration::MAX)) -> _ => unreachable!(),
        }
        // Ended, and not reaped: the number is still its own.
        test_kill_process(pid(&child)).unwrap();
        for _ in 0..3 {
            assert_eq!((one.recv(), two.try_recv()), (Ok(()), Ok(())));
        }
        assert!(child.try_wait().unwrap().unwrap().success());
        assert_eq!((one.recv(), child.exited().recv()), (Ok(()), Ok(())));
        assert!(child.wait().unwrap().success());
        drop(child);
        assert_eq!((one.recv(), two.recv()), (Ok(()), Ok(())));

        // Queried for the first time when it has been reaped.
        let mut child = sh("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(child.exited().recv(), Ok(()));
    };
    case();
    on_one_worker(case);
    rustlet::run(case);
}

#[test]
fn the_exit_is_told_to_all_wherever_they_are() {
    let mut child = waiting();
    let runtime = rustlet::Builder::new().workers(2).build().unwrap();
    let green: Vec<_> = (0..4)
        .map(|_| {
            let exited = child.exited();
            runtime.spawn(move || exited.recv().unwrap())
        })
        .collect();
    let os: Vec<_> = (0..2)
        .map(|_| {
            let exited = child.exited();
            std::thread::spawn(move || exited.recv().unwrap())
        })
        .collect();
    // They outlive the handle.
    let stdin = child.stdin.take().unwrap();
    drop(child);
    drop(stdin);
    green.into_iter().for_each(|thread| thread.join().unwrap());
    os.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_select_over_many_children_gets_each_once() {
    let count = if support::is_emulated() { 10 } else { 50 };
    let case = move || {
        let mut children: Vec<_> = (0..count).map(|_| waiting()).collect();
        let mut left: Vec<usize> = (0..count).collect();
        while !left.is_empty() {
            // One of the remaining children ends.
            drop(children[left[left.len() / 2]].stdin.take());
            let exits: Vec<_> = left.iter().map(|&n| children[n].exited()).collect();
            let mut choice = Select::new();
            for exit in &exits {
                choice.recv(exit);
            }
            let ended = choice.ready();
            assert_eq!(ended, left.len() / 2);
            children[left.remove(ended)].wait().unwrap();
        }
    };
    case();
    on_one_worker_with(case);
}

/// Counts steps on the only worker until `work`, in another green thread, is done: there must be
/// some. `work` gets the number of seconds that its child must sleep, because a busy machine may do
/// nothing else for that long.
fn others_go_on(work: fn(&str)) {
    let mut spans = ["0.1", "1", "10"].into_iter();
    assert!(spans.any(|seconds| steps_beside(work, seconds) > 10));
}

fn steps_beside(work: fn(&str), seconds: &'static str) -> u64 {
    let steps = AtomicU64::new(0);
    on_one_worker_with(|| {
        static DONE: AtomicBool = AtomicBool::new(false);
        DONE.store(false, Ordering::Relaxed);
        let worker = rustlet::spawn_local(move || {
            work(seconds);
            DONE.store(true, Ordering::Relaxed);
        });
        while !DONE.load(Ordering::Relaxed) {
            rustlet::yield_now();
            steps.fetch_add(1, Ordering::Relaxed);
        }
        worker.join().unwrap();
    });
    steps.into_inner()
}

fn on_one_worker_with(case: impl FnOnce() + Send) {
    rustlet::Builder::new()
        .workers(1)
        .build()
        .unwrap()
        .run(case);
}

#[test]
fn no_call_blocks_the_worker() {
    // One after the other, because they share a counter.
    for work in [
        |time: &str| assert!(sh(&format!("sleep {time}")).status().unwrap().success()),
        |time: &str| drop(sh(&format!("sleep {time}; echo x")).output().unwrap()),
        |time: &str| {
            let child = sh(&format!("sleep {time}")).spawn().unwrap();
            child.exited().recv().unwrap();
        },
        |time: &str| {
            let mut child = sh(&format!("sleep {time}")).spawn().unwrap();
            assert!(child.wait_timeout(Duration::MAX).unwrap().is_some());
        },
        |time: &str| {
            let mut child = sh(&format!("sleep {time}; echo x"))
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
            child.wait().unwrap();
        },
        |time: &str| {
            let mut child = sh(&format!("sleep {time}; cat >/dev/null"))
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            child
                .stdin
                .as_mut()
                .unwrap()
                .write_all(&[0; 300_000])
                .unwrap();
            child.wait().unwrap();
        },
    ] {
        others_go_on(work);
    }
}

#[test]
fn a_dropped_child_runs_on_and_leaves_no_zombie() {
    for run in [|case: fn()| case(), |case: fn()| rustlet::run(case)] {
        run(|| {
            let mut child = waiting();
            let (pid, stdin) = (pid(&child), child.stdin.take().unwrap());
            drop(child);
            // It is alive, and its pipe is open.
            test_kill_process(pid).unwrap();
            drop(stdin);
            wait_until_gone(pid);
        });
    }
    // It has already ended when it is dropped.
    let mut child = sh("echo x").stdout(Stdio::piped()).spawn().unwrap();
    let pid = pid(&child);
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut Vec::new())
        .unwrap();
    drop(child);
    wait_until_gone(pid);
}

/// A zombie still has its number; a reaped child has none.
fn wait_until_gone(pid: Pid) {
    while test_kill_process(pid).is_ok() {
        rustlet::yield_now();
    }
}

#[test]
fn many_dropped_children_are_all_reaped() {
    let count = if support::is_emulated() { 20 } else { 200 };
    let (sender, receiver) = mpsc::channel();
    rustlet::run(move || {
        for _ in 0..count {
            let mut child = waiting();
            sender
                .send((pid(&child), child.stdin.take().unwrap()))
                .unwrap();
        }
    });
    // Their runtime has ended; they have not.
    let children: Vec<_> = receiver.iter().collect();
    assert!(
        children
            .iter()
            .all(|(pid, _)| test_kill_process(*pid).is_ok())
    );
    let pids: Vec<_> = children.into_iter().map(|(pid, _)| pid).collect();
    pids.into_iter().for_each(wait_until_gone);
}

#[test]
fn a_thousand_children_at_once() {
    let count = if support::is_emulated() { 50 } else { 1000 };
    rustlet::run(move || {
        let alive = Arc::new(AtomicU32::new(0));
        let threads: Vec<_> = (0..count)
            .map(|number| {
                let alive = Arc::clone(&alive);
                rustlet::spawn(move || {
                    let mut child = Command::new("cat");
                    child.stdin(Stdio::piped()).stdout(Stdio::piped());
                    let mut child = child.spawn().unwrap();
                    alive.fetch_add(1, Ordering::Relaxed);
                    // Not before all of them are present.
                    while alive.load(Ordering::Relaxed) < count {
                        rustlet::sleep(Duration::from_millis(5));
                    }
                    let mut stdin = child.stdin.take().unwrap();
                    write!(stdin, "{number}").unwrap();
                    drop(stdin);
                    let output = child.wait_with_output().unwrap();
                    assert!(output.status.success());
                    assert_eq!(output.stdout, number.to_string().as_bytes());
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_cancelled_wait_leaves_the_child_alone() {
    on_one_worker(|| {
        let (sender, receiver) = mpsc::channel();
        let waiter = rustlet::spawn_local(move || {
            let mut child = waiting();
            // Kept open here: the wait would close it.
            let stdin = child.stdin.take().unwrap();
            sender.send((pid(&child), stdin)).unwrap();
            child.wait().unwrap();
        });
        let (pid, stdin) = loop {
            match receiver.try_recv() {
                Ok(found) => break found,
                Err(_) => rustlet::yield_now(),
            }
        };
        rustlet::yield_now();
        waiter.cancel();
        let payload = waiter.join().unwrap_err();
        assert!(payload.is::<rustlet::Cancelled>());
        test_kill_process(pid).unwrap();
        drop(stdin);
        wait_until_gone(pid);
    });
}

#[test]
fn a_cancelled_output_lets_go_of_the_pipes() {
    on_one_worker(|| {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let input = reader.try_clone().unwrap();
        let collector = rustlet::spawn_local(move || {
            // It ends when `writer` is dropped, or when its output is closed.
            sh("read a; echo x; echo y").stdin(input).output()
        });
        // Until it waits for the rest.
        while !rustlet::runtime::threads()
            .iter()
            .any(|thread| thread.waits_in == "read" && thread.id == collector.thread().id())
        {
            rustlet::yield_now();
        }
        collector.cancel();
        assert!(collector.join().unwrap_err().is::<rustlet::Cancelled>());
        drop(writer);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    });
}

/// It is cancelled before a thread of the pool has begun with it, or it completes.
#[test]
fn a_spawn_is_not_torn_by_a_cancellation() {
    on_one_worker(|| {
        for round in 0..20 {
            let (input, writer) = std::io::pipe().unwrap();
            let command = std::rc::Rc::new(std::cell::RefCell::new(sh("read a; exit 6")));
            command.borrow_mut().env("A", "b").stdin(input);
            let theirs = std::rc::Rc::clone(&command);
            let spawner = rustlet::spawn_local(move || {
                let child = theirs.borrow_mut().spawn();
                let mut child = child.unwrap();
                let outcome = catch_unwind(AssertUnwindSafe(|| child.wait()));
                assert!(outcome.unwrap_err().is::<rustlet::Cancelled>());
                child
            });
            for _ in 0..=round {
                rustlet::yield_now();
            }
            spawner.cancel();
            let spawned = spawner.join();
            // It is complete: the command, and the child if there is one.
            assert_eq!(command.borrow().get_program(), "/bin/sh");
            assert_eq!(command.borrow().get_envs().count(), 1);
            drop((command, writer));
            match spawned {
                Ok(mut child) => assert_eq!(child.wait().unwrap().code(), Some(6)),
                Err(payload) => assert!(payload.is::<rustlet::Cancelled>()),
            }
        }
    });
}

/// All threads of the pool are busy: a limit around the start of a child holds, and the command can
/// be reused.
#[test]
fn a_start_that_waits_for_the_pool_is_given_up() {
    let runtime = rustlet::Builder::new()
        .workers(1)
        .blocking_threads(1)
        .build()
        .unwrap();
    runtime.run(|| {
        let (open, gate) = mpsc::channel::<()>();
        let blocked = rustlet::spawn_local(move || rustlet::unblock(move || gate.recv().is_err()));
        rustlet::yield_now();
        let mut command = sh("exit $CODE");
        command.env("CODE", "7");
        let limit = Duration::from_millis(1);
        rustlet::timeout(limit, || command.status()).unwrap_err();
        rustlet::timeout(limit, || command.output()).unwrap_err();
        assert_eq!(runtime.metrics().blocking_queued, 0);
        drop(open);
        assert!(blocked.join().unwrap());
        assert_eq!(command.status().unwrap().code(), Some(7));
    });
}

/// The pipe takes a part of a write: its caller is cancelled, and knows how many bytes were
/// written.
#[test]
fn a_cancelled_write_to_a_child_tells_what_was_written() {
    on_one_worker(|| {
        for vectored in [false, true] {
            let (mut reader, writer) = std::io::pipe().unwrap();
            let pipe = ChildStdin::from(std::os::fd::OwnedFd::from(writer));
            let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
            let (content, pipe) = (Arc::new(content), Arc::new(pipe));
            let (theirs, end) = (content.clone(), pipe.clone());
            let told = Arc::new(AtomicU64::new(0));
            let tell = told.clone();
            let thread = rustlet::spawn_local(move || {
                let (one, other) = theirs.split_at(30_000);
                let bufs = [one, other].map(std::io::IoSlice::new);
                let count = if vectored {
                    (&*end).write_vectored(&bufs)
                } else {
                    (&*end).write(&theirs)
                };
                tell.store(count.unwrap() as u64, Ordering::Relaxed);
                rustlet::park();
            });
            while !rustlet::runtime::threads()
                .iter()
                .any(|info| info.waits_in == "write")
            {
                rustlet::yield_now();
            }
            thread.cancel();
            assert!(thread.join().unwrap_err().is::<rustlet::Cancelled>());
            drop(pipe);
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            assert_eq!(all.len() as u64, told.load(Ordering::Relaxed));
            assert!(!all.is_empty() && content.starts_with(&all));
        }
    });
}

#[test]
fn a_destructor_that_waits_is_told_that_it_cannot() {
    struct Killer(Child);
    impl Drop for Killer {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            // Unwinding, so an error that gives the reason; or it has ended in time.
            match self.0.wait() {
                Ok(status) => assert!(!status.success()),
                Err(error) => assert!(
                    error
                        .get_ref()
                        .is_some_and(|error| error.is::<rustlet::Cancelled>())
                ),
            }
        }
    }
    on_one_worker(|| {
        let thread = rustlet::spawn_local(|| {
            let mut killer = Killer(sleeper().spawn().unwrap());
            killer.0.wait().unwrap();
        });
        while !rustlet::runtime::threads().iter().any(|info| {
            info.waits_in == "the end of a child process" && info.id == thread.thread().id()
        }) {
            rustlet::yield_now();
        }
        thread.cancel();
        assert!(thread.join().unwrap_err().is::<rustlet::Cancelled>());
    });
}

#[test]
fn a_child_may_be_waited_for_elsewhere_than_where_it_was_started() {
    // Started in one runtime, waited for a little in it, then in another, then by an OS thread.
    let first = rustlet::Builder::new().workers(1).build().unwrap();
    let mut child = first.run(|| {
        let mut child = sleeper().spawn().unwrap();
        assert!(
            child
                .wait_timeout(Duration::from_millis(1))
                .unwrap()
                .is_none()
        );
        child
    });
    drop(first);
    let second = rustlet::Builder::new().workers(2).build().unwrap();
    let mut child = second.run(move || {
        assert!(
            child
                .wait_timeout(Duration::from_millis(1))
                .unwrap()
                .is_none()
        );
        child
    });
    assert!(
        child
            .wait_timeout(Duration::from_millis(1))
            .unwrap()
            .is_none()
    );
    kill_process(pid(&child), Signal::TERM).unwrap();
    let status = second.run(|| child.wait().unwrap());
    assert_eq!(status.to_string(), "signal: 15 (SIGTERM)");
    assert_eq!(child.wait().unwrap(), status);
}

#[test]
fn ours_and_stds_are_made_of_each_other() {
    let theirs = std::process::Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    rustlet::run(move || {
        let mut child = Child::from(theirs);
        let stdin = std::process::ChildStdin::from(child.stdin.take().unwrap());
        let stdout = std::process::ChildStdout::from(child.stdout.take().unwrap());
        let (mut stdin, mut stdout) = (ChildStdin::from(stdin), ChildStdout::from(stdout));
        stdin.write_all(b"round").unwrap();
        drop(stdin);
        let mut all = String::new();
        stdout.read_to_string(&mut all).unwrap();
        assert_eq!(all, "round");
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn readers_of_one_pipe_in_several_runtimes() {
    let mut child = sh("read a; echo 12345678")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let (a, b) = (
        rustlet::Builder::new().workers(1),
        rustlet::Builder::new().workers(1),
    );
    let (a, b) = (a.build().unwrap(), b.build().unwrap());
    let mut stdout = a.run(move || {
        // Registered with the first runtime, whose worker then ends.
        let reader = rustlet::spawn_local(move || {
            let mut stdout = stdout;
            let outcome = catch_unwind(AssertUnwindSafe(|| stdout.read(&mut [0; 1])));
            assert!(outcome.is_err());
            stdout
        });
        rustlet::yield_now();
        reader.cancel();
        reader.join().unwrap()
    });
    drop(a);
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let all = b.run(move || {
        let mut all = String::new();
        stdout.read_to_string(&mut all).map(|_| all)
    });
    assert_eq!(all.unwrap(), "12345678\n");
    child.wait().unwrap();
}
