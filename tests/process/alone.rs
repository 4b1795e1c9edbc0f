//! Cases that change the whole process, each in a child of its own.

use std::io::{Read, Write};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustlet::os::unix::process::CommandExt;
use rustlet::process::{Command, Stdio};

use crate::support;

fn name(test: &str) -> String {
    format!("{}::{test}", module_path!().split_once("::").unwrap().1)
}

fn limit(resource: Resource, current: u64) {
    let maximum = getrlimit(resource).maximum;
    let current = Some(current);
    setrlimit(resource, Rlimit { current, maximum }).unwrap();
}

#[test]
fn a_wait_needs_no_descriptor() {
    let output = support::child(&name("a_wait_needs_no_descriptor"), || {
        limit(Resource::Nofile, 100);
        for run in [|case: fn()| case(), |case: fn()| rustlet::run(case)] {
            run(|| {
                let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
                let open: Vec<_> =
                    std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
                assert!(!open.is_empty());
                let error = child.wait_timeout(Duration::from_millis(1)).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(24));
                let (exited, again) = (child.exited(), child.exited());
                child.kill().unwrap();
                assert_eq!(exited.recv(), Ok(()));
                assert!(!child.wait().unwrap().success());
                assert_eq!(again.recv(), Ok(()));
                let dropped = Command::new("true").spawn();
                drop(open);
                drop(dropped);
            });
        }
    });
    support::succeeded(&output);
}

#[test]
fn exit_ends_the_process_from_a_green_thread() {
    let test = name("exit_ends_the_process_from_a_green_thread");
    let output = support::child(&test, || {
        rustlet::run(|| {
            rustlet::spawn(rustlet::park);
            rustlet::spawn(|| rustlet::process::exit(23))
                .join()
                .unwrap();
        });
    });
    assert_eq!(output.status.code(), Some(23));
}

/// As under a parent that ignores SIGCHLD: the system reaps, and no process learns how a child
/// ended.
#[test]
fn where_the_ends_of_children_are_ignored_a_wait_is_an_error() {
    let test = name("where_the_ends_of_children_are_ignored_a_wait_is_an_error");
    let output = support::child(&test, || {
        // SAFETY: no handler runs for a signal that is ignored.
        #[allow(unsafe_code, reason = "it can be ignored in no other way")]
        unsafe {
            libc::signal(libc::SIGCHLD, libc::SIG_IGN)
        };
        for run in [|case: fn()| case(), |case: fn()| rustlet::run(case)] {
            run(|| {
                let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
                assert_eq!(child.try_wait().unwrap(), None);
                let exited = child.exited();
                // Its input is closed, it ends, and there is no status.
                assert_eq!(child.wait().unwrap_err().raw_os_error(), Some(10));
                assert_eq!(exited.recv(), Ok(()));
                let mut command = Command::new("echo");
                let child = command.arg("x").stdout(Stdio::piped()).spawn().unwrap();
                assert_eq!(
                    child.wait_with_output().unwrap_err().raw_os_error(),
                    Some(10)
                );
            });
        }
    });
    support::succeeded(&output);
}

/// In a process of its own, because a failed one leaves changes behind, for example to `SIGPIPE`.
#[test]
fn exec_takes_the_place_or_says_why_not() {
    let test = name("exec_takes_the_place_or_says_why_not");
    let output = support::child(&test, || {
        let error = Command::new("/no/such/program").exec();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        rustlet::run(|| {
            // This setting differs from the default of `output`.
            let mut command = Command::new("sh");
            command.args(["-c", "echo replaced >&2"]);
            assert_eq!(command.output().unwrap().stderr, b"replaced\n");
            panic!("not replaced: {}", command.exec());
        });
    });
    assert!(support::succeeded(&output).ends_with("replaced\n"));
}

#[test]
fn standard_descriptors_keep_their_flags_and_work() {
    use rustix::fs::{OFlags, fcntl_getfl};
    use std::os::fd::{FromRawFd, OwnedFd};

    let test = name("standard_descriptors_keep_their_flags_and_work");
    const IN_CHILD: &str = "RUSTLET_TEST_STANDARD";
    if std::env::var_os(IN_CHILD).is_some() {
        rustlet::run(|| {
            // SAFETY: 0 is open, and no other code in this process uses it.
            #[allow(unsafe_code, reason = "a descriptor by its number")]
            let stdin = unsafe { OwnedFd::from_raw_fd(0) };
            let mut stdin = rustlet::process::ChildStdout::from(stdin);
            assert!(!fcntl_getfl(&stdin).unwrap().contains(OFlags::NONBLOCK));
            let other = rustlet::spawn(|| 5);
            stdin.read_exact(&mut [0]).unwrap();
            assert_eq!(other.join().unwrap(), 5);
            assert_eq!(stdin.read(&mut [0]).unwrap(), 0);
            assert!(!fcntl_getfl(&stdin).unwrap().contains(OFlags::NONBLOCK));
        });
        return;
    }
    let mut child = support::this_program()
        .args(["--exact", &test, "--test-threads=1"])
        .env(IN_CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"x").unwrap();
    assert!(child.wait().unwrap().success());
}
