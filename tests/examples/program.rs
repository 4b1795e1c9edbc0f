//! An example as a child process, which ends with its test, however that ends.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Only a broken example takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the path of the example `name`. `None` under emulation when it was not built for that
/// processor, with a message.
pub(crate) fn example(name: &str) -> Option<Command> {
    // target/debug/deps/examples-0123456789abcdef and target/debug/examples/NAME.
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let program = profile.join("examples").join(name);
    if !program.exists() && crate::support::is_emulated() {
        eprintln!("skipped: {} was not built", program.display());
        return None;
    }
    assert!(
        program.exists(),
        "{} was not built; `cargo test` does it, or `cargo build --examples`",
        program.display()
    );
    let mut command = crate::support::runner_of(&program);
    command.stdin(Stdio::null());
    Some(command)
}

/// Runs an example that ends by itself, and kills it after `PATIENCE`.
pub(crate) fn run(name: &str, args: &[&str]) -> Option<Output> {
    let mut command = example(name)?;
    command.args(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let pid = Pid::from_child(&child);
    let (ended, end) = channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            kill_process(pid, Signal::KILL).unwrap_or_default();
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(ended);
    watchdog.join().unwrap();
    Some(output)
}

/// Runs an example that ends by itself and succeeds, and returns what it printed.
pub(crate) fn output_of(name: &str, args: &[&str]) -> Option<String> {
    let output = run(name, args)?;
    let said = String::from_utf8(output.stdout).unwrap();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{said}{complained}",
        output.status
    );
    Some(said)
}

/// A running example that listens.
pub(crate) struct Server {
    child: Child,
    said: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it, and waits until it prints its address.
    pub(crate) fn start(name: &str, args: &[&str]) -> Option<Server> {
        let mut command = example(name)?;
        command.args(args).stdout(Stdio::piped());
        let mut child = Guarded(Some(command.spawn().unwrap()));
        let mut said = BufReader::new(child.0.as_mut().unwrap().stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let address = line
            .trim_end()
            .strip_prefix("listening on ")
            .and_then(|address| address.parse().ok())
            .unwrap_or_else(|| panic!("{name} said {line:?}"));
        Some(Server {
            child: child.0.take().unwrap(),
            said,
            address,
        })
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        // Tests send small pieces, and the answers come from another process: do not wait for
        // acknowledgements.
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Returns the answer to `bytes` until the server ends the connection.
    pub(crate) fn ask(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes.as_ref()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Returns the next line that the server prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        let length = self.said.read_line(&mut line).unwrap();
        assert_ne!(length, 0, "the server ended");
        line.trim_end().to_owned()
    }

    /// Sends Ctrl-C. Returns the remaining output of the server.
    pub(crate) fn interrupt(mut self) -> String {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::INT).unwrap();
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}\n{rest}");
        rest
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A child that is killed on drop, unless it was taken out.
struct Guarded(Option<Child>);

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end(child);
        }
    }
}

/// Also for a child that has ended, or was waited for: then both calls have no effect.
fn end(child: &mut Child) {
    drop(child.kill());
    drop(child.wait());
}

/// A temporary folder of one test, removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = format!("examples-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
