//! A server that hangs explains itself: `httpd` with many connections, of which one holds the lock
//! of the log and waits in a write, because no process reads the log.

use super::program::{Folder, example};
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Only a broken example takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Raises the limit of open files as far as it goes; children inherit it. Returns how many
/// connections there is room for.
fn connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap_or_default();
    match getrlimit(Resource::Nofile).current {
        Some(files) if files < 2_100 => 100,
        _ => 1_000,
    }
}

/// A child that is killed on drop.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Creates a FIFO that is full, and keeps it open.
fn full_fifo(path: &std::path::Path) -> File {
    mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let options = File::options()
        .read(true)
        .write(true)
        .custom_flags(nonblock)
        .open(path);
    let mut fifo = options.unwrap();
    let page = [b'\n'; 4096];
    loop {
        match fifo.write(&page) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return fifo,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_thousand_connections_wait_for_a_lock_and_a_signal_says_for_which() {
    let Some(mut httpd) = example("httpd") else {
        return;
    };
    let many = connections();
    let folder = Folder::new();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("page"), "hello").unwrap();
    let log = folder.path().join("log");
    let mut fifo = full_fifo(&log);

    httpd.args(["--workers", "2", "--idle-timeout", "600000", "--log"]);
    httpd
        .args([&log, &root])
        .arg("127.0.0.1:0")
        .env("RUSTLET_DUMP", "SIGQUIT");
    let child = httpd.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = Killed(child.unwrap());
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line.trim_end().strip_prefix("listening on ").expect(&line);
    let said = Arc::new(Mutex::new(String::new()));
    let stderr = BufReader::new(child.0.stderr.take().unwrap());
    let log_lines = Arc::clone(&said);
    let reader = std::thread::spawn(move || {
        for line in stderr.lines() {
            *log_lines.lock().unwrap() += &(line.unwrap() + "\n");
        }
    });

    let mut clients: Vec<TcpStream> = (0..many)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    for client in &mut clients {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
            .write_all(b"GET /page HTTP/1.1\r\nHost: test\r\n\r\n")
            .unwrap();
    }
    let waiting = format!("holds locks that {} threads wait for", many - 1);
    let start = Instant::now();
    let text = loop {
        kill_process(Pid::from_child(&child.0), Signal::QUIT).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let text = said.lock().unwrap().clone();
        // The dump with the holder is whole when another one has begun.
        let last = text.rfind("\nrustlet: ").map(|end| &text[..end]);
        if let Some(at) = last.and_then(|text| text.find(&waiting)) {
            let begin = text[..at].rfind("rustlet: ").unwrap_or(0);
            let end = text[at..]
                .find("\nrustlet: ")
                .map_or(text.len(), |end| at + end);
            break text[begin..end].to_owned();
        }
        assert!(start.elapsed() < PATIENCE, "{text}");
    };
    // By hand: `--nocapture` shows what a user sees.
    println!("{text}");
    let line = |what: &str| {
        let lines = text.lines().enumerate();
        let mut found = lines.filter(|(_, line)| line.contains(what));
        found
            .next()
            .unwrap_or_else(|| panic!("no {what} in:\n{text}"))
    };
    let (holder, about_holder) = line(&waiting);
    assert!(
        about_holder.contains(", waits in write at "),
        "{about_holder}"
    );
    assert!(about_holder.contains("on descriptor "), "{about_holder}");
    assert!(
        about_holder.contains(log.to_str().unwrap()),
        "{about_holder}"
    );
    let (waiters, about_waiters) = line(&format!("{} green threads, ", many - 1));
    assert!(
        about_waiters.contains("wait in Mutex::lock at examples/httpd/main.rs:"),
        "{about_waiters}"
    );
    assert!(
        about_waiters.contains("held by green thread"),
        "{about_waiters}"
    );
    assert!(holder < waiters, "{text}");

    // When the log is read, everything goes on.
    let reads = std::thread::spawn(move || {
        let mut lines = 0;
        let mut bytes = [0; 4096];
        while lines < many {
            match fifo.read(&mut bytes) {
                Ok(count) => lines += bytes[..count].iter().filter(|&&byte| byte == b'p').count(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
        fifo
    });
    for client in &mut clients {
        let mut answer = [0; 15];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }
    drop(reads.join().unwrap());
    drop(child);
    reader.join().unwrap();
}
