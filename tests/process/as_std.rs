//! The promises of the documentation of `std::process`, with names that std has too.

use std::ffi::OsStr;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::enter;
use super::os::{CommandExt, ExitStatusExt};
use super::process::{self, Child, Command, Output, Stdio};
use super::thread;

/// An emulator makes a plain fork of `vfork`, so that the parent continues before the child has
/// reached its `exec`, and does not learn that it has failed. std behaves the same there.
fn starts_are_seen() -> bool {
    !crate::support::is_emulated()
}

fn sh(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

#[test]
fn a_child_says_how_it_ended() {
    enter(|| {
        assert!(sh("true").spawn().unwrap().wait().unwrap().success());
        let mut child = sh("exit 7").spawn().unwrap();
        let status = child.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (Some(7), None));
        assert_eq!(child.wait().unwrap(), status);
        assert_eq!(child.try_wait().unwrap(), Some(status));
        assert_eq!(sh("exit 1").status().unwrap().code(), Some(1));
        let status = sh("kill -TERM $$").status().unwrap();
        assert_eq!((status.code(), status.signal()), (None, Some(15)));
        assert_eq!(format!("{status}"), "signal: 15 (SIGTERM)");
    });
}

#[test]
fn a_killed_child_says_so_and_can_be_killed_again() {
    enter(|| {
        let mut child = sh("read a").stdin(Stdio::piped()).spawn().unwrap();
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        child.kill().unwrap();
    });
}

#[test]
fn a_program_that_cannot_be_run_is_an_error() {
    if !starts_are_seen() {
        return;
    }
    enter(|| {
        for start in [
            |command: &mut Command| command.spawn().map(drop),
            |command: &mut Command| command.output().map(drop),
            |command: &mut Command| command.status().map(drop),
        ] {
            let kind = |program: &str| start(&mut Command::new(program)).unwrap_err().kind();
            assert_eq!(kind("no-such-program-anywhere"), ErrorKind::NotFound);
            assert_eq!(kind("/no/such/program"), ErrorKind::NotFound);
            assert_eq!(kind("/etc"), ErrorKind::PermissionDenied);
            assert_eq!(kind("/etc/passwd"), ErrorKind::PermissionDenied);
            assert_eq!(kind("zero\0byte"), ErrorKind::InvalidInput);
            let error = start(sh("true").current_dir("/no/such/folder")).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(2));
        }
        // The command can be used as before.
        let mut command = Command::new("/no/such/program");
        command.arg("x").env("A", "b");
        assert!(command.spawn().is_err());
        assert_eq!(command.get_program(), "/no/such/program");
        assert!(command.get_args().eq(["x"]));
    });
}

#[test]
fn zero_bytes_are_refused_everywhere() {
    enter(|| {
        let refused = |command: &mut Command| {
            let error = command.spawn().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        };
        refused(Command::new("echo").arg("a\0b"));
        refused(Command::new("echo").args(["a", "\0"]));
        refused(Command::new("env").env("a\0b", "c"));
        refused(Command::new("env").env("a", "\0"));
        refused(Command::new("echo").current_dir("a\0b"));
    });
}

#[test]
fn output_collects_both_streams_and_gives_no_input() {
    enter(|| {
        let Output {
            status,
            stdout,
            stderr,
        } = sh("echo out; echo err >&2; cat; exit 3").output().unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(stdout, b"out\n");
        assert_eq!(stderr, b"err\n");
    });
}

#[test]
fn output_keeps_the_streams_that_the_user_has_set() {
    enter(|| {
        let mut command = sh("cat; echo out; echo err >&2");
        command.stderr(Stdio::null());
        command.stdin(io::pipe().unwrap().0);
        let output = command.output().unwrap();
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"");

        let (mut reader, writer) = io::pipe().unwrap();
        let mut command = sh("echo out");
        command.stdout(writer);
        assert_eq!(command.output().unwrap().stdout, b"");
        drop(command);
        let mut all = String::new();
        reader.read_to_string(&mut all).unwrap();
        assert_eq!(all, "out\n");
    });
}

#[test]
fn a_command_can_be_used_again_with_the_same_defaults() {
    enter(|| {
        let mut command = sh("exit 4");
        assert_eq!(command.output().unwrap().status.code(), Some(4));
        let mut child: Child = command.spawn().unwrap();
        assert!(child.stdin.is_none() && child.stdout.is_none() && child.stderr.is_none());
        assert_eq!(child.wait().unwrap().code(), Some(4));
        assert_eq!(command.status().unwrap().code(), Some(4));
        assert_eq!(command.output().unwrap().status.code(), Some(4));
    });
}

#[test]
fn pipes_carry_what_is_written() {
    enter(|| {
        let mut child = sh("read line; echo $line; read line; echo $line >&2")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"foo\n").unwrap();
        let (mut out, mut err) = ([0; 4], String::new());
        child.stdout.as_mut().unwrap().read_exact(&mut out).unwrap();
        assert_eq!(&out, b"foo\n");
        // Also through a shared reference.
        (&stdin).write_all(b"bar\n").unwrap();
        stdin.flush().unwrap();
        let stderr = child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut err).unwrap();
        assert_eq!(err, "bar\n");
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn waiting_closes_the_standard_input() {
    enter(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert!(child.stdin.is_some());
        assert!(child.wait().unwrap().success());
        assert!(child.stdin.is_none());

        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.as_ref().unwrap().write_all(b"last").unwrap();
        assert!(child.try_wait().unwrap().is_none() && child.stdin.is_some());
        assert_eq!(child.wait_with_output().unwrap().stdout, b"last");
    });
}

#[test]
fn huge_output_on_both_pipes_does_not_hang() {
    enter(|| {
        // Each pipe is filled several times over, first one, then the other.
        let script = "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero";
        let output = sh(script).output().unwrap();
        assert!(output.status.success());
        assert_eq!((output.stdout.len(), output.stderr.len()), (2_000_000, 1_000_000));
        let script = "head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero";
        let output = sh(script).output().unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (1_000_000, 1_000_000));
    });
}

#[test]
fn writes_and_reads_of_any_size_arrive() {
    enter(|| {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let bytes: Vec<u8> = (0..600_000_u32).map(|n| (n % 251) as u8).collect();
        let sent = bytes.clone();
        let writer = thread::spawn(move || {
            // More than a pipe holds, in one write: all of it is taken.
            assert_eq!(stdin.write(&sent[..300_000]).unwrap(), 300_000);
            let parts = [
                IoSlice::new(&sent[300_000..300_010]),
                IoSlice::new(&[]),
                IoSlice::new(&sent[300_010..599_999]),
                IoSlice::new(&sent[599_999..]),
            ];
            let mut written = stdin.write_vectored(&parts).unwrap();
            assert!(written > 10);
            written += 300_000;
            stdin.write_all(&sent[written..]).unwrap();
        });
        let mut stdout = child.stdout.take().unwrap();
        let (mut one, mut two) = ([0; 3], [0; 5]);
        let mut parts = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        let count = stdout.read_vectored(&mut parts).unwrap();
        let mut all = [&one[..], &two[..]].concat();
        all.truncate(count);
        stdout.read_to_end(&mut all).unwrap();
        assert!(all == bytes, "{} bytes have arrived", all.len());
        writer.join().unwrap();
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn a_write_to_a_child_that_does_not_read_is_a_broken_pipe() {
    enter(|| {
        let mut child = sh("exec 0</dev/null; echo closed; read a")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 7]).unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Children of other tests may hold the other end for the moment between their fork and
        // their exec.
        let error = loop {
            match stdin.write_all(b"x") {
                Ok(()) => thread::yield_now(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let error = stdin.write_vectored(&[IoSlice::new(b"x")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        child.wait().unwrap();
    });
}

#[test]
fn a_child_that_closes_its_pipes_lives_on() {
    enter(|| {
        let mut child = sh("exec >/dev/null 2>/dev/null; read a; exit 5")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut nothing = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut nothing).unwrap();
        child.stderr.take().unwrap().read_to_end(&mut nothing).unwrap();
        assert!(nothing.is_empty());
        assert_eq!(child.try_wait().unwrap(), None);
        assert_eq!(child.wait().unwrap().code(), Some(5));
    });
}

#[test]
fn a_pipe_is_handed_from_child_to_child() {
    enter(|| {
        let mut first = sh("printf abc").stdout(Stdio::piped()).spawn().unwrap();
        let stdout = first.stdout.take().unwrap();
        let mut second = Command::new("cat");
        second.stdin(stdout).stdout(Stdio::piped());
        let mut second = second.spawn().unwrap();
        let third = Command::new("cat").stdin(second.stdout.take().unwrap()).output().unwrap();
        assert_eq!(third.stdout, b"abc");
        assert!(first.wait().unwrap().success() && second.wait().unwrap().success());

        // The other way round: the output of one child becomes the input of another.
        let mut last = Command::new("cat");
        last.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut last = last.spawn().unwrap();
        let stdin = last.stdin.take().unwrap();
        assert!(sh("printf def").stdout(stdin).status().unwrap().success());
        assert_eq!(last.wait_with_output().unwrap().stdout, b"def");
    });
}

#[test]
fn descriptors_go_out_in_blocking_mode_and_come_back() {
    use rustix::fs::{OFlags, fcntl_getfl};
    enter(|| {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        assert!(stdout.as_raw_fd() > 2 && stdout.as_fd().as_raw_fd() == stdout.as_raw_fd());
        let fd = OwnedFd::from(stdout);
        assert!(!fcntl_getfl(&fd).unwrap().contains(OFlags::NONBLOCK));
        let mut stdout = process::ChildStdout::from(fd);
        let stdin = OwnedFd::from(child.stdin.take().unwrap());
        assert!(!fcntl_getfl(&stdin).unwrap().contains(OFlags::NONBLOCK));
        process::ChildStdin::from(stdin).write_all(b"hi").unwrap();
        let mut all = String::new();
        stdout.read_to_string(&mut all).unwrap();
        assert_eq!(all, "hi");
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn the_environment_is_what_was_asked_for() {
    enter(|| {
        let vars = |command: &mut Command| {
            let output = command.output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let mut env = Command::new("/usr/bin/env");
        assert_eq!(vars(env.env_clear().env("A", "1")), "A=1\n");
        assert_eq!(vars(env.envs([("B", "2")]).env_remove("A")), "B=2\n");
        let said = vars(Command::new("/usr/bin/env").env("RUSTLET_TEST_A", "x").env_remove("PATH"));
        assert!(said.contains("RUSTLET_TEST_A=x\n") && !said.contains("\nPATH="));
        let mut pwd = sh("pwd");
        assert_eq!(vars(pwd.current_dir("/")), "/\n");
        assert_eq!(pwd.get_current_dir(), Some("/".as_ref()));
    });
}

#[test]
fn a_command_tells_what_it_was_told() {
    enter(|| {
        let mut command = Command::new("prog");
        command.arg("a b").args(["c", "d"]).env("K", "v").env_remove("L");
        assert_eq!(command.get_program(), "prog");
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["a b", "c", "d"]);
        assert_eq!(command.get_args().len(), 3);
        let envs: Vec<_> = command.get_envs().collect();
        let os = OsStr::new;
        assert_eq!(envs, [(os("K"), Some(os("v"))), (os("L"), None)]);
        assert_eq!(command.get_current_dir(), None);
        let std = {
            #[allow(unused_qualifications, reason = "in one setting it is the same")]
            let mut command = std::process::Command::new("prog");
            command.arg("a b").args(["c", "d"]).env("K", "v").env_remove("L");
            command
        };
        assert_eq!(format!("{command:?}"), format!("{std:?}"));
        assert_eq!(format!("{command:#?}"), format!("{std:#?}"));
    });
}

#[test]
fn debug_output() {
    enter(|| {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        assert_eq!(
            format!("{child:?}"),
            "Child { stdin: Some(ChildStdin { .. }), stdout: Some(ChildStdout { .. }), stderr: Some(ChildStderr { .. }), .. }"
        );
        child.wait().unwrap();
        assert_eq!(format!("{:?}", Stdio::null()), "Stdio { .. }");
    });
}

#[test]
fn auto_traits_are_those_of_std() {
    fn command<T: Send + Sync + Unpin>() {}
    fn child<T: Send + Sync + Unpin + std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    command::<Command>();
    child::<Child>();
    child::<process::ChildStdin>();
    child::<process::ChildStdout>();
    child::<process::ChildStderr>();
    child::<Stdio>();
    assert_ne!(process::id(), 0);
    let _: process::ExitCode = process::ExitCode::SUCCESS;
}

#[test]
fn closures_run_in_the_child_before_the_program() {
    enter(|| {
        let mut command = sh("true");
        // SAFETY: it only converts a number to an error.
        #[allow(unsafe_code, reason = "unsafe in std too")]
        unsafe {
            command.pre_exec(|| Err(io::Error::from_raw_os_error(42)))
        };
        assert_eq!(command.spawn().unwrap_err().raw_os_error(), Some(42));
        assert_eq!(command.output().unwrap_err().raw_os_error(), Some(42));

        let mut command = Command::new("pwd");
        command.stdout(Stdio::piped());
        // SAFETY: a system call that may be made after a fork.
        #[allow(unsafe_code, reason = "unsafe in std too")]
        unsafe {
            command.pre_exec(|| Ok(rustix::process::chdir("/")?))
        };
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(output.stdout, b"/\n");
    });
}

#[test]
fn a_panic_in_the_child_aborts_the_child_only() {
    enter(|| {
        let mut command = sh("true");
        command.stderr(Stdio::null());
        // SAFETY: std promises that a panic in there aborts, without an allocation.
        #[allow(unsafe_code, reason = "unsafe in std too")]
        unsafe {
            command.pre_exec(|| panic!("{}", "crash now!"))
        };
        let signal = command.status().unwrap().signal();
        assert!(matches!(signal, Some(4..=6 | 11)), "{signal:?}");
    });
}

#[test]
fn groups_users_and_names() {
    enter(|| {
        let output = sh("echo $0").arg0("called-so").output().unwrap();
        assert_eq!(output.stdout, b"called-so\n");
        let mut child = sh("read a").stdin(Stdio::piped()).process_group(0).spawn().unwrap();
        let pid = rustix::process::Pid::from_raw(child.id() as i32);
        if starts_are_seen() {
            assert_eq!(rustix::process::getpgid(pid).unwrap(), pid.unwrap());
        }
        child.wait().unwrap();
        // The own user and group may always be set.
        let user = rustix::process::getuid().as_raw();
        let group = rustix::process::getgid().as_raw();
        let output = Command::new("id").arg("-u").uid(user).gid(group).output();
        // Dropping supplementary groups takes a privilege.
        match output {
            Ok(output) => assert_eq!(output.stdout, format!("{user}\n").as_bytes()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied),
        }
    });
}

#[test]
fn children_of_several_threads_at_once() {
    enter(|| {
        let threads: Vec<_> = (0..10)
            .map(|code| {
                thread::spawn(move || {
                    let output = sh(&format!("echo {code}; exit {code}")).output().unwrap();
                    assert_eq!(output.stdout, format!("{code}\n").as_bytes());
                    output.status.code()
                })
            })
            .collect();
        for (code, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap(), Some(code as i32));
        }
    });
}
