//! Signals as messages. Each case runs in a process of its own, because signals and their actions
//! belong to the process.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

mod support;

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::time::Duration;

use rustix::process::{getpid, kill_process};
use rustlet::channel::{after, never, select};
use rustlet::signal::{
    self, SIGALRM, SIGCHLD, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGSEGV, SIGSTOP, SIGTERM,
    SIGUSR1, SIGUSR2, SIGWINCH, Signal,
};

fn send(signal: Signal) {
    let signal = rustix::process::Signal::from_named_raw(signal.as_raw()).unwrap();
    kill_process(getpid(), signal).unwrap();
}

fn alone(name: &str, body: impl FnOnce()) {
    support::succeeded(&support::child(name, body));
}

fn one_worker(body: impl FnOnce() + Send) {
    rustlet::Builder::new()
        .workers(1)
        .build()
        .unwrap()
        .run(body);
}

/// Returns whether this process was started with the signal ignored, which children inherit.
fn ignores(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

fn died_of(output: &Output, signal: Signal) {
    assert_eq!(
        output.status.signal(),
        Some(signal.as_raw()),
        "{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn signals_that_are_sent_are_received() {
    alone("signals_that_are_sent_are_received", || {
        let case = || {
            let signals = signal::notify(&[SIGUSR1, SIGTERM, SIGUSR1]).unwrap();
            assert!(signals.try_recv().is_err());
            for signal in [SIGUSR1, SIGTERM, SIGUSR1] {
                send(signal);
                assert_eq!(signals.recv(), Ok(signal));
            }
            assert!(signals.recv_timeout(Duration::from_millis(1)).is_err());
        };
        case();
        one_worker(case);
        rustlet::run(case);
    });
}

#[test]
fn each_subscriber_gets_each_signal_and_clones_share() {
    alone("each_subscriber_gets_each_signal_and_clones_share", || {
        rustlet::run(|| {
            let one = signal::notify(&[SIGUSR1]).unwrap();
            let two = signal::notify(&[SIGUSR2, SIGUSR1]).unwrap();
            let clone = two.clone();
            // On an OS thread as well.
            let three = std::thread::spawn({
                let three = signal::notify(&[SIGUSR1]).unwrap();
                move || three.recv()
            });
            send(SIGUSR1);
            assert_eq!(one.recv(), Ok(SIGUSR1));
            assert_eq!(clone.recv(), Ok(SIGUSR1));
            assert_eq!(three.join().unwrap(), Ok(SIGUSR1));
            assert!(two.try_recv().is_err());
            send(SIGUSR2);
            assert_eq!(two.recv(), Ok(SIGUSR2));
            assert!(one.recv_timeout(Duration::from_millis(1)).is_err());
        });
    });
}

#[test]
fn a_slow_subscriber_loses_no_kind_of_signal() {
    alone("a_slow_subscriber_loses_no_kind_of_signal", || {
        rustlet::run(|| {
            let slow = signal::notify(&[SIGUSR1, SIGUSR2, SIGALRM]).unwrap();
            let quick = signal::notify(&[SIGUSR1, SIGUSR2]).unwrap();
            // Each reaches the quick one before the next is sent, so at the slow one they pile up.
            for signal in [SIGUSR1, SIGUSR2, SIGUSR1, SIGUSR2, SIGUSR1] {
                send(signal);
                assert_eq!(quick.recv(), Ok(signal));
            }
            send(SIGALRM);
            let all = [slow.recv(), slow.recv(), slow.recv()].map(Result::unwrap);
            // In order, and signals of one kind are merged.
            assert_eq!(all, [SIGUSR1, SIGUSR2, SIGALRM]);
            assert!(slow.recv_timeout(Duration::from_millis(1)).is_err());
            // After it was received, it is remembered again.
            send(SIGUSR1);
            assert_eq!(slow.recv(), Ok(SIGUSR1));
        });
    });
}

/// After every signal a value is received after it was sent, however they coincide.
#[test]
fn none_is_lost_in_a_storm() {
    alone("none_is_lost_in_a_storm", || {
        let rounds = support::stress(500);
        rustlet::run(move || {
            let signals = signal::notify(&[SIGUSR1, SIGUSR2]).unwrap();
            let other = std::thread::spawn(move || {
                let mine = signal::notify(&[SIGUSR2]).unwrap();
                for _ in 0..rounds {
                    send(SIGUSR2);
                    mine.recv().unwrap();
                }
            });
            for _ in 0..rounds {
                send(SIGUSR1);
                while signals.recv().unwrap() != SIGUSR1 {}
            }
            other.join().unwrap();
        });
    });
}

#[test]
fn signals_that_cannot_be_caught_are_refused() {
    alone("signals_that_cannot_be_caught_are_refused", || {
        for signal in [SIGKILL, SIGSTOP, SIGSEGV, SIGILL, SIGFPE] {
            let error = signal::notify(&[SIGUSR1, signal]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(
                error.to_string(),
                format!("{signal} cannot be subscribed to: no handler can be installed for it")
            );
        }
        for number in [-1, 0, 1000] {
            let error = signal::notify(&[Signal::from_raw(number)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{number}: {error}");
            assert!(
                error.to_string().contains("is not a signal of this system"),
                "{error}"
            );
        }
        let none = signal::notify(&[]).unwrap();
        assert!(
            none.recv_timeout(Duration::from_millis(1))
                .unwrap_err()
                .is_timeout()
        );
    });
}

#[test]
fn without_subscribers_a_signal_does_what_it_did_before() {
    let name = "without_subscribers_a_signal_does_what_it_did_before";
    let output = support::child(name, || {
        rustlet::run(|| {
            let signals = signal::notify(&[SIGTERM, SIGWINCH, SIGCHLD]).unwrap();
            let clone = signals.clone();
            drop(signals);
            send(SIGTERM);
            assert_eq!(clone.recv(), Ok(SIGTERM));
            drop(clone);
            // A signal that has no effect by default has none.
            send(SIGWINCH);
            send(SIGCHLD);
            rustlet::sleep(Duration::from_millis(5));
            // And again with subscribers.
            let signals = signal::notify(&[SIGTERM]).unwrap();
            send(SIGTERM);
            assert_eq!(signals.recv(), Ok(SIGTERM));
            // It has not received this one, and never will.
            send(SIGTERM);
            drop(signals);
            rustlet::sleep(Duration::from_millis(5));
            send(SIGTERM);
            rustlet::sleep(Duration::from_secs(60));
        });
    });
    died_of(&output, SIGTERM);
}

#[test]
fn a_signal_that_was_ignored_is_ignored_again() {
    alone("a_signal_that_was_ignored_is_ignored_again", || {
        // As `nohup` does.
        // SAFETY: no handler runs for a signal that is ignored.
        #[allow(unsafe_code, reason = "it can be ignored in no other way")]
        unsafe {
            libc::signal(libc::SIGHUP, libc::SIG_IGN)
        };
        let signals = signal::notify(&[SIGHUP]).unwrap();
        send(SIGHUP);
        assert_eq!(signals.recv(), Ok(SIGHUP));
        drop(signals);
        send(SIGHUP);
        // Another signal has passed through the dispatcher since.
        let other = signal::notify(&[SIGUSR1]).unwrap();
        send(SIGUSR1);
        assert_eq!(other.recv(), Ok(SIGUSR1));
    });
}

#[test]
fn a_handler_that_was_there_before_still_runs() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static CALLS: AtomicU32 = AtomicU32::new(0);
    extern "C" fn count(_: libc::c_int) {
        CALLS.fetch_add(1, Ordering::SeqCst);
    }
    alone("a_handler_that_was_there_before_still_runs", || {
        // SAFETY: the handler only counts.
        #[allow(unsafe_code, reason = "a handler can be set in no other way")]
        unsafe {
            libc::signal(libc::SIGUSR1, count as *const () as libc::sighandler_t)
        };
        let signals = signal::notify(&[SIGUSR1]).unwrap();
        send(SIGUSR1);
        assert_eq!(signals.recv(), Ok(SIGUSR1));
        assert_eq!(CALLS.load(Ordering::SeqCst), 1);
        drop(signals);
        send(SIGUSR1);
        while CALLS.load(Ordering::SeqCst) < 2 {
            std::thread::yield_now();
        }
    });
}

#[test]
fn ctrl_c_waits_without_blocking_the_worker() {
    alone("ctrl_c_waits_without_blocking_the_worker", || {
        one_worker(|| {
            for _ in 0..2 {
                let waiter = rustlet::spawn_local(signal::ctrl_c);
                for _ in 0..100 {
                    rustlet::yield_now();
                }
                assert!(!waiter.is_finished());
                send(SIGINT);
                waiter.join().unwrap().unwrap();
            }
        });
    });
}

#[test]
fn a_second_ctrl_c_ends_the_process() {
    if ignores(SIGINT) {
        println!(
            "not tested: SIGINT is ignored in this process, as in one that a shell starts in the background"
        );
        return;
    }
    let output = support::child("a_second_ctrl_c_ends_the_process", || {
        one_worker(|| {
            let waiter = rustlet::spawn_local(signal::ctrl_c);
            rustlet::yield_now();
            send(SIGINT);
            waiter.join().unwrap().unwrap();
            send(SIGINT);
            rustlet::sleep(Duration::from_secs(60));
        });
    });
    died_of(&output, SIGINT);
}

#[test]
fn runtimes_come_and_go() {
    alone("runtimes_come_and_go", || {
        let mut signals = None;
        for _ in 0..3 {
            let kept = signals.take();
            signals = Some(rustlet::run(move || {
                let signals = kept.unwrap_or_else(|| signal::notify(&[SIGUSR1]).unwrap());
                send(SIGUSR1);
                assert_eq!(signals.recv(), Ok(SIGUSR1));
                signals
            }));
        }
        let signals = signals.unwrap();
        send(SIGUSR1);
        assert_eq!(signals.recv(), Ok(SIGUSR1));
    });
}

#[test]
fn in_a_select() {
    alone("in_a_select", || {
        rustlet::run(|| {
            let signals = signal::notify(&[SIGUSR1]).unwrap();
            for _ in 0..100 {
                select! {
                    recv(signals) -> _ => panic!("none was sent"),
                    recv(after(Duration::from_micros(10))) -> _ => {}
                }
                send(SIGUSR1);
                select! {
                    recv(signals) -> signal => assert_eq!(signal, Ok(SIGUSR1)),
                    recv(never::<()>()) -> _ => unreachable!(),
                }
            }
        });
    });
}

#[test]
fn children_inherit_no_handlers() {
    alone("children_inherit_no_handlers", || {
        rustlet::run(|| {
            let signals = signal::notify(&[SIGTERM]).unwrap();
            let mut child = rustlet::process::Command::new("sleep")
                .arg("1000")
                .spawn()
                .unwrap();
            let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
            kill_process(pid, rustix::process::Signal::TERM).unwrap();
            assert_eq!(child.wait().unwrap().signal(), Some(15));
            assert!(signals.try_recv().is_err());
        });
    });
}

#[test]
fn names_and_numbers() {
    assert_eq!(SIGTERM.to_string(), "SIGTERM");
    assert_eq!(format!("{SIGTERM:?} {SIGINT:>8}"), "SIGTERM   SIGINT");
    let unknown = Signal::from_raw(1000);
    assert_eq!(format!("{unknown} {unknown:?}"), "signal 1000 Signal(1000)");
    assert_eq!((SIGKILL.as_raw(), SIGINT.as_raw()), (9, 2));
    assert!(SIGINT < SIGKILL && SIGINT != SIGTERM);
}
