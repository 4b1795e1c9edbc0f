//! The trace of a process that a signal ends.

use rustix::process::{Signal, getpid, kill_process};
use rustlet::runtime::Builder;
use rustlet::signal::{self, SIGTERM};
use rustlet::{park, yield_now};

use super::{End, from_environment, named};

/// Runs a thread that is in the trace, and then `end`, in a child process. Asserts that the trace
/// is whole. There is one worker: another one could end the step of the thread after it has been
/// joined, and after the trace was written.
fn check(test: &str, end: End, body: fn()) {
    let test = format!("ending::{test}");
    let file = from_environment(&test, end, || {
        let runtime = Builder::new().workers(1).build().unwrap();
        runtime.run(|| {
            named("traced", 0, yield_now).join().unwrap();
            body();
        });
    });
    // In the child there is none.
    let file = file.unwrap();
    assert!(file.any(|slice| slice.name == "traced" && slice.is("then", "ends")));
}

/// Sends a signal to this process.
fn send(signal: Signal) {
    kill_process(getpid(), signal).unwrap();
}

fn receive_and_wait(signal: Signal) {
    send(signal);
    park();
}

#[test]
fn a_trace_is_written_at_ctrl_c() {
    check("a_trace_is_written_at_ctrl_c", End::Signal(2), || {
        receive_and_wait(Signal::INT);
    });
}

#[test]
fn a_trace_is_written_when_a_service_is_stopped() {
    let test = "a_trace_is_written_when_a_service_is_stopped";
    check(test, End::Signal(15), || receive_and_wait(Signal::TERM));
}

#[test]
fn a_trace_is_written_when_the_terminal_is_closed() {
    let test = "a_trace_is_written_when_the_terminal_is_closed";
    check(test, End::Signal(1), || receive_and_wait(Signal::HUP));
}

/// While the only worker computes.
#[test]
fn a_trace_is_written_when_no_worker_waits() {
    let test = "a_trace_is_written_when_no_worker_waits";
    check(test, End::Signal(15), || {
        send(Signal::TERM);
        loop {
            std::hint::spin_loop();
        }
    });
}

#[test]
fn a_trace_is_written_at_an_abort() {
    let test = "a_trace_is_written_at_an_abort";
    check(test, End::Signal(6), || std::process::abort());
}

/// Its handler runs on the alternate stack.
#[test]
fn a_trace_is_written_when_a_stack_overflows() {
    #[expect(unconditional_recursion, reason = "on purpose")]
    fn recurse(depth: u64) -> u64 {
        std::hint::black_box([depth; 64])[7] + recurse(depth + 1)
    }
    let test = "a_trace_is_written_when_a_stack_overflows";
    check(test, End::Signal(6), || assert!(recurse(0) > 0));
}

/// The signal does not end the process: its effect is the program's business.
#[test]
fn a_signal_that_the_program_handles_is_left_to_it() {
    let test = "a_signal_that_the_program_handles_is_left_to_it";
    check(test, End::Exit(3), || {
        let signals = signal::notify(&[SIGTERM]).unwrap();
        for _ in 0..3 {
            send(Signal::TERM);
            signals.recv().unwrap();
        }
        rustlet::process::exit(3);
    });
}

/// When the last subscriber is gone, the signal has the effect from before the first.
#[test]
fn a_trace_is_written_when_a_signal_is_no_longer_handled() {
    let test = "a_trace_is_written_when_a_signal_is_no_longer_handled";
    check(test, End::Signal(15), || {
        let signals = signal::notify(&[SIGTERM]).unwrap();
        send(Signal::TERM);
        signals.recv().unwrap();
        drop(signals);
        receive_and_wait(Signal::TERM);
    });
}

/// The process does not abort by itself when the handler returns.
#[test]
fn a_trace_is_written_when_an_abort_is_sent() {
    let test = "a_trace_is_written_when_an_abort_is_sent";
    check(test, End::Signal(6), || {
        signal_hook::low_level::raise(signal_hook::consts::SIGABRT).unwrap();
        rustlet::process::exit(3);
    });
}

/// The signal comes while `Trace::finish` writes the file.
#[test]
fn a_signal_does_not_cut_off_a_trace_that_is_being_written() {
    const YIELDS: usize = 5_000;
    let test = "ending::a_signal_does_not_cut_off_a_trace_that_is_being_written";
    let file = from_environment(test, End::Signal(15), || {
        let pattern = std::env::var("RUSTLET_TRACE").unwrap();
        let path = pattern.replace("%p", &std::process::id().to_string());
        let trace = rustlet::trace::start(&path).unwrap();
        let empty = std::fs::metadata(&path).unwrap().len();
        let runtime = Builder::new().workers(1).build().unwrap();
        runtime.run(|| {
            let yields = || (0..YIELDS).for_each(|_| yield_now());
            named("traced", 0, yields).join().unwrap();
        });
        std::thread::spawn(move || {
            while std::fs::metadata(&path).unwrap().len() <= empty {
                std::hint::spin_loop();
            }
            send(Signal::TERM);
        });
        trace.finish().unwrap();
        loop {
            std::thread::park();
        }
    });
    let file = file.unwrap();
    assert!(file.any(|slice| slice.name == "traced" && slice.is("then", "ends")));
}
