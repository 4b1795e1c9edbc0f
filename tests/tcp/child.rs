//! Cases that change the whole process, each in a child: the test binary runs itself with one test
//! and a variable set.

#![allow(unsafe_code, reason = "signals can be reset in no other way")]

use super::net::{Server, TcpListener, TcpStream};
use super::pair::echo;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{BufRead, BufReader, ErrorKind, IoSlice, Read, Write};
use std::process::{Child, Command, Stdio};

const IN_CHILD: &str = "RUSTLET_TEST_CHILD";

fn is_child() -> bool {
    std::env::var_os(IN_CHILD).is_some()
}

fn command(test: &str) -> Command {
    let path = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let mut command = crate::support::this_program();
    command
        .args(["--exact", &path, "--nocapture", "--test-threads=1"])
        .env(IN_CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

fn child(test: &str) -> Child {
    command(test).spawn().unwrap()
}

/// In a child: an echo server that may have `limit` descriptors. It ends with its standard input,
/// which its parent holds open.
fn serve_with(limit: u64) {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(limit),
            maximum: hard,
        },
    )
    .unwrap();
    std::thread::spawn(|| {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
        std::process::exit(0);
    });
    rustlet::run(|| {
        let server = Server::bind("127.0.0.1:0").unwrap();
        println!("\nport {}", server.local_addr().unwrap().port());
        server.serve(|stream| echo(&stream)).unwrap();
    });
}

fn port(child: &mut Child) -> u16 {
    BufReader::new(child.stdout.take().unwrap())
        .lines()
        .find_map(|line| line.unwrap().strip_prefix("port ")?.parse().ok())
        .expect("the child's port")
}

/// Returns a line for each of two episodes. There are more when serving the waiting clients takes
/// longer than a second: two are accepted in a row, and then there is no room again.
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "how long it took, for the number of lines"
)]
fn serve_says_once_an_episode_that_descriptors_have_run_out() {
    const LIMIT: u64 = 64;
    if is_child() {
        return serve_with(LIMIT);
    }
    let test = "serve_says_once_an_episode_that_descriptors_have_run_out";
    let began = std::time::Instant::now();
    let mut child = command(test).stderr(Stdio::piped()).spawn().unwrap();
    let port = port(&mut child);
    let connect = || std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut next = || {
        let mut rest = said.by_ref().map(Result::unwrap);
        rest.find(|line| line.starts_with("rustlet: ")).unwrap()
    };
    let mut lines = Vec::new();
    for _ in 0..2 {
        let clients: Vec<_> = (0..2 * LIMIT).map(|_| connect()).collect();
        lines.push(next());
        drop(clients);
        // There is room again.
        for _ in 0..3 {
            let mut client = connect();
            client.write_all(b"?").unwrap();
            client.read_exact(&mut [0]).unwrap();
        }
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    lines.extend(said.map(Result::unwrap));
    // At most one a second.
    let most = 1 + began.elapsed().as_secs() as usize;
    assert!((2..=most).contains(&lines.len()), "{lines:#?}");
    for line in lines {
        assert!(line.contains(&format!("127.0.0.1:{port}")), "{line}");
        assert!(line.contains("64 (`ulimit -n`)"), "{line}");
        assert!(line.contains("Too many open files"), "{line}");
    }
}

#[test]
fn serve_goes_on_when_descriptors_run_out() {
    const LIMIT: u64 = 64;
    const CLIENTS: usize = 2 * LIMIT as usize;
    if is_child() {
        return serve_with(LIMIT);
    }
    let mut child = child("serve_goes_on_when_descriptors_run_out");
    let port = port(&mut child);
    let connect = || std::net::TcpStream::connect(("127.0.0.1", port));
    // More than the child can hold at once. They are served in the order of their arrival.
    let clients: Vec<_> = (0..CLIENTS).map(|_| connect().unwrap()).collect();
    for mut client in clients {
        client.write_all(b"?").unwrap();
        let mut answer = [0];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"?");
    }
    assert!(child.try_wait().unwrap().is_none(), "the server has ended");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_closed_peer_does_not_kill_a_program_that_reset_sigpipe() {
    if is_child() {
        // SAFETY: setting a signal to its default installs no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        rustlet::run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            drop(listener.accept().unwrap());
            while (&client).write(b"x").is_ok() {}
            assert_eq!(
                (&client).write(b"x").unwrap_err().kind(),
                ErrorKind::BrokenPipe
            );
            let bufs = [IoSlice::new(b"x"), IoSlice::new(b"y")];
            let error = (&client).write_vectored(&bufs).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        });
        return;
    }
    let status = child("a_closed_peer_does_not_kill_a_program_that_reset_sigpipe")
        .wait_with_output()
        .unwrap()
        .status;
    assert!(status.success(), "{status}");
}

/// As for a server that inetd starts: the connection is its standard input.
#[test]
fn the_standard_descriptors_keep_their_flags() {
    use rustix::fs::{OFlags, fcntl_getfl};
    use std::os::fd::FromRawFd;

    if is_child() {
        // SAFETY: 0 is open, and no other code in this child uses standard input.
        let mut stream = unsafe { TcpStream::from_raw_fd(0) };
        assert!(!fcntl_getfl(&stream).unwrap().contains(OFlags::NONBLOCK));
        rustlet::run(move || {
            // A second green thread on the same worker continues while this one waits.
            let other = rustlet::spawn(|| 5);
            stream.read_exact(&mut [0]).unwrap();
            assert_eq!(other.join().unwrap(), 5);
            stream.write_all(b"y").unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            let back = std::net::TcpStream::from(stream);
            assert!(!fcntl_getfl(&back).unwrap().contains(OFlags::NONBLOCK));
        });
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    let test = "the_standard_descriptors_keep_their_flags";
    let path = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let mut child = crate::support::this_program()
        .args(["--exact", &path, "--test-threads=1"])
        .env(IN_CHILD, "1")
        .stdin(std::os::fd::OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    ours.write_all(b"x").unwrap();
    ours.read_exact(&mut [0]).unwrap();
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(child.wait().unwrap().success());
}
