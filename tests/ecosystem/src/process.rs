//! Child processes with a deadline, and folders that are removed.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};

/// Only something broken takes this long.
const PATIENCE: Duration = Duration::from_secs(90);
/// The user `nobody`, for servers that refuse to run as root.
const NOBODY: u32 = 65534;

/// Returns the path of a program of another project. `None` with a message if it is not installed,
/// which only `.ci/run` does not allow.
pub fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    // Debian's servers of PostgreSQL.
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.map(|version| version.unwrap().path().join("bin")));
    }
    let found = folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    let is_needed = crate::folder().is_some();
    assert!(found.is_some() || !is_needed, "{name} is not installed");
    if found.is_none() {
        eprintln!("skipped: {name} is not installed");
    }
    found
}

/// A command that ends by itself after `PATIENCE`, even if this test is killed.
pub fn bounded(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    // In the foreground it passes a signal on once; otherwise twice, and the second one may come
    // when the program does not handle it any more.
    command.args(["--foreground", "--kill-after=5"]);
    command.arg(PATIENCE.as_secs().to_string()).arg(program);
    command.stdin(Stdio::null());
    command
}

/// An example of this package.
pub fn example(name: &str) -> Command {
    // target/debug/deps/programs-0123456789abcdef and target/debug/examples/NAME.
    let test = std::env::current_exe().unwrap();
    bounded(test.ancestors().nth(2).unwrap().join("examples").join(name))
}

/// Lets a command run as another user if this is root.
pub fn unprivileged(command: &mut Command) -> &mut Command {
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Runs a command to its end.
pub fn output(command: &mut Command) -> Output {
    let output = command.output();
    output.unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs a command that succeeds, and returns what it printed.
pub fn text(command: &mut Command) -> String {
    let output = output(command);
    let (said, complained) = (lossy(&output.stdout), lossy(&output.stderr));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{said}{complained}",
        output.status
    );
    said
}

pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// curl with these arguments; returns what it printed.
pub fn curl<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> String {
    text(bounded("curl").args(["-sS", "--max-time", "60"]).args(args))
}

/// A port that nothing listened on a moment ago, for servers that cannot let the system choose.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A child process that is ended when this is dropped.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    /// Asks it to end.
    signal: Signal,
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, lines) = channel();
        forward(child.stdout.take().unwrap(), sender.clone());
        forward(child.stderr.take().unwrap(), sender);
        Process {
            child,
            lines,
            signal: Signal::TERM,
        }
    }

    pub fn ends_by(mut self, signal: Signal) -> Process {
        self.signal = signal;
        self
    }

    /// Waits for a line that it prints, and returns what follows `text` there. `Err` has what it
    /// printed instead.
    pub fn find_line(&self, text: &str) -> Result<String, String> {
        let mut said = String::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            if let Some((_, rest)) = line.split_once(text) {
                return Ok(rest.trim_end().to_owned());
            }
            said.push_str(&line);
        }
        Err(said)
    }

    /// The same for a line that must come.
    pub fn line_after(&self, text: &str) -> String {
        self.find_line(text)
            .unwrap_or_else(|said| panic!("no line with {text:?} in:\n{said}"))
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// Asks it to end, which it does with success.
    pub fn end(mut self) {
        self.ask_to_end();
        let status = self.child.wait().unwrap();
        let said: String = self.lines.iter().collect();
        assert!(status.success(), "{status}:\n{said}");
    }

    fn ask_to_end(&self) {
        kill_process(Pid::from_child(&self.child), self.signal).unwrap_or_default();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.ask_to_end();
        drop(self.child.wait());
    }
}

fn forward(stream: impl Read + Send + 'static, lines: Sender<String>) {
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream
            .read_until(b'\n', &mut line)
            .is_ok_and(|length| length > 0)
        {
            // Read on when nobody listens any more: a full pipe would stop the process.
            drop(lines.send(lossy(&line)));
            line.clear();
        }
    });
}

/// An example that listens, and its address.
pub fn serve(name: &str, args: &[&str]) -> (Process, String) {
    let process = Process::start(example(name).args(args));
    let address = process.line_after("listening on ");
    (process, address)
}

/// A server of another project that must be told its port: `command` makes it from one, and
/// `ready` is in the line that it prints when it listens.
pub fn on_free_port(
    ready: &str,
    signal: Signal,
    command: impl Fn(&str) -> Command,
) -> (Process, u16) {
    let mut said = String::new();
    // Another process may take the port in between.
    for _ in 0..5 {
        let port = free_port();
        let process = Process::start(&mut command(&port.to_string())).ends_by(signal);
        match process.find_line(ready) {
            Ok(_) => return (process, port),
            Err(lines) => said = lines,
        }
    }
    panic!("it does not listen:\n{said}");
}

/// A temporary folder. Servers that run as another user may use it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn temporary() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        let name = format!("rustlet-ecosystem-{}-{number}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        fs::create_dir(&folder.0).unwrap();
        if geteuid().is_root() {
            chown(&folder.0, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        folder
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A certificate for `localhost` and its key, as PEM files in a folder.
pub fn certificate(folder: &Folder) -> (String, String) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = folder.write("key.pem", own.signing_key.serialize_pem());
    (folder.write("cert.pem", own.cert.pem()), key)
}

/// Sends `lines` to a server, and returns a line for each of them.
pub fn ask(address: &str, lines: &[&str]) -> Vec<String> {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for line in lines {
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
    let answers = BufReader::new(stream).lines().take(lines.len());
    answers.map(Result::unwrap).collect()
}
