//! `Command::kill_on_drop`.

use std::io::Read;
use std::time::Duration;

use rustlet::process::{Child, Command, Stdio};
use rustlet::{CancelToken, Elapsed, timeout};

use crate::on_one_worker;

/// A child that holds its standard output until it ends.
fn sleeper(kill_on_drop: bool) -> Command {
    let mut command = Command::new("sleep");
    command.arg("1000").stdout(Stdio::piped());
    command.kill_on_drop(kill_on_drop);
    command
}

fn everywhere(case: fn()) {
    on_one_worker(case);
    rustlet::run(case);
    case();
}

/// Returns when the child has ended.
fn wait_for_exit(child: &mut Child) -> impl FnMut() + use<> {
    let mut output = child.stdout.take().unwrap();
    move || assert_eq!(output.read(&mut [0]).unwrap(), 0)
}

#[test]
fn a_dropped_child_is_killed() {
    everywhere(|| {
        let mut child = sleeper(true).spawn().unwrap();
        let mut end = wait_for_exit(&mut child);
        drop(child);
        end();
    });
}

#[test]
fn a_dropped_child_lives_by_default() {
    everywhere(|| {
        for command in [&mut sleeper(false), sleeper(true).kill_on_drop(false)] {
            let mut child = command.spawn().unwrap();
            let mut output = child.stdout.take().unwrap();
            let number = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
            drop(child);
            let lives = timeout(Duration::from_millis(5), || output.read(&mut [0]).unwrap());
            assert_eq!(lives, Err(Elapsed));
            rustix::process::kill_process(number, rustix::process::Signal::KILL).unwrap();
            assert_eq!(output.read(&mut [0]).unwrap(), 0);
        }
    });
}

#[test]
fn a_child_that_was_waited_for_is_not_killed() {
    everywhere(|| {
        let mut child = Command::new("true").kill_on_drop(true).spawn().unwrap();
        assert!(child.wait().unwrap().success());
        // Its number may be that of another process by now; no signal is sent.
        drop(child);
    });
}

/// The child of a call that is cut short ends, too.
#[test]
fn a_call_that_is_cut_short_kills() {
    everywhere(|| {
        let (mut reader, writer) = rustlet::io::pipe().unwrap();
        let mut command = Command::new("sleep");
        command.arg("1000").kill_on_drop(true);
        command.stderr(Stdio::from(writer));
        // The child has started when the token is cancelled, or is not started at all.
        let token = CancelToken::new();
        let canceller = token.clone();
        let thread = rustlet::spawn(move || canceller.cancel());
        assert!(token.run_until_cancelled(|| command.output()).is_none());
        thread.join().unwrap();
        let late = timeout(Duration::from_millis(5), || command.status());
        assert!(late.is_err());
        // The command holds its end of the pipe for further children.
        drop(command);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    });
}
