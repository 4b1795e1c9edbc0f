//! `Command`: what to run, and how; std's own, and what it must be told to start with our defaults.
//!
//! - **CO1** `theirs` is whole between any two calls of the user: while a pool thread has it, the green thread waits, shielded. A caller that is
//!   cancelled before a pool thread has taken it takes it back.
//! - **CO2** std's command cannot forget a setting of a standard stream, so one that the user has not set is set anew before
//!   each start, once `output` has set it.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::{self, CommandArgs, CommandEnvs, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use super::Child;
use crate::runtime::blocking;
use crate::shim::lock;

/// A process to be started: [`std::process::Command`] for green threads, with all its methods.
///
/// Those that are only for Unix are in [`CommandExt`](crate::os::unix::process::CommandExt).
///
/// ```
/// use rustlet::process::Command;
///
/// rustlet::run(|| {
///     let status = Command::new("sh").arg("-c").arg("test $COLOUR = green").env("COLOUR", "green").status()?;
///     assert!(status.success());
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
pub struct Command {
    theirs: process::Command,
    /// Which of the three standard streams the user has set.
    streams_set: [bool; 3],
    /// CO2: which of them we have.
    streams_defaulted: bool,
    /// It has closures that run in the child.
    has_hooks: bool,
}

/// What the streams are that the user has not set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Defaults {
    Inherit,
    Collect,
}

impl Command {
    /// A command that runs `program`, found by `PATH` unless it has a slash: without arguments, with the environment, the
    /// working directory and the standard streams of this process.
    ///
    /// ```
    /// let command = rustlet::process::Command::new("ls");
    /// assert_eq!(command.get_program(), "ls");
    /// ```
    pub fn new<S: AsRef<OsStr>>(program: S) -> Command {
        Command {
            theirs: process::Command::new(program),
            streams_set: [false; 3],
            streams_defaulted: false,
            has_hooks: false,
        }
    }

    /// Adds an argument; one, whatever it contains: no shell looks at it.
    ///
    /// ```
    /// let mut command = rustlet::process::Command::new("ls");
    /// command.arg("-l").arg("name with blanks");
    /// assert_eq!(command.get_args().len(), 2);
    /// ```
    pub fn arg<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.theirs.arg(arg);
        self
    }

    /// Adds several arguments.
    ///
    /// ```
    /// let mut command = rustlet::process::Command::new("ls");
    /// command.args(["-l", "-a"]);
    /// assert_eq!(command.get_args().len(), 2);
    /// ```
    pub fn args<I, S>(&mut self, args: I) -> &mut Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.theirs.args(args);
        self
    }

    /// Sets a variable of the child's environment.
    ///
    /// ```
    /// # rustlet::run(|| {
    /// let output = rustlet::process::Command::new("env").env("MOOD", "good").output()?;
    /// assert!(String::from_utf8_lossy(&output.stdout).contains("MOOD=good"));
    /// # std::io::Result::Ok(())
    /// # })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn env<K, V>(&mut self, key: K, val: V) -> &mut Command
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.theirs.env(key, val);
        self
    }

    /// Sets several variables of the child's environment.
    ///
    /// ```
    /// let mut command = rustlet::process::Command::new("env");
    /// command.envs([("A", "1"), ("B", "2")]);
    /// assert_eq!(command.get_envs().count(), 2);
    /// ```
    pub fn envs<I, K, V>(&mut self, vars: I) -> &mut Command
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.theirs.envs(vars);
        self
    }

    /// Keeps a variable of this process, or one that was set before, from the child.
    ///
    /// ```
    /// let mut command = rustlet::process::Command::new("env");
    /// command.env_remove("HOME");
    /// assert!(command.get_envs().eq([("HOME".as_ref(), None)]));
    /// ```
    pub fn env_remove<K: AsRef<OsStr>>(&mut self, key: K) -> &mut Command {
        self.theirs.env_remove(key);
        self
    }

    /// Keeps all variables of this process, and those that were set before, from the child.
    ///
    /// ```
    /// # rustlet::run(|| {
    /// let output = rustlet::process::Command::new("/usr/bin/env").env_clear().output()?;
    /// assert_eq!(output.stdout, b"");
    /// # std::io::Result::Ok(())
    /// # })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn env_clear(&mut self) -> &mut Command {
        self.theirs.env_clear();
        self
    }

    /// Sets the child's working directory. Whether a relative path of the program is seen from there is up to the system: make it absolute.
    ///
    /// ```
    /// # rustlet::run(|| {
    /// let output = rustlet::process::Command::new("pwd").current_dir("/").output()?;
    /// assert_eq!(output.stdout, b"/\n");
    /// # std::io::Result::Ok(())
    /// # })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn current_dir<P: AsRef<Path>>(&mut self, dir: P) -> &mut Command {
        self.theirs.current_dir(dir);
        self
    }

    /// Sets what the child's standard input is. If it is not set: that of this process, but nothing for [`output`](Command::output).
    ///
    /// ```
    /// use rustlet::process::{Command, Stdio};
    ///
    /// rustlet::run(|| {
    ///     let mut first = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn()?;
    ///     let second = Command::new("cat").stdin(first.stdout.take().unwrap()).output()?;
    ///     assert_eq!(second.stdout, b"hello\n");
    ///     first.wait().map(drop)
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn stdin<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.streams_set[0] = true;
        self.theirs.stdin(cfg);
        self
    }

    /// Sets what the child's standard output is. If it is not set: that of this process, but a pipe for [`output`](Command::output).
    ///
    /// ```
    /// # rustlet::run(|| {
    /// use rustlet::process::{Command, Stdio};
    /// assert!(Command::new("echo").arg("unheard").stdout(Stdio::null()).status()?.success());
    /// # std::io::Result::Ok(())
    /// # })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn stdout<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.streams_set[1] = true;
        self.theirs.stdout(cfg);
        self
    }

    /// Sets what the child's standard error is. If it is not set: that of this process, but a pipe for [`output`](Command::output).
    ///
    /// ```
    /// # rustlet::run(|| {
    /// use rustlet::process::{Command, Stdio};
    /// assert!(!Command::new("ls").arg("/no/such/file").stderr(Stdio::null()).status()?.success());
    /// # std::io::Result::Ok(())
    /// # })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn stderr<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.streams_set[2] = true;
        self.theirs.stderr(cfg);
        self
    }

    /// Starts the child.
    ///
    /// Suspends for the millisecond or so that this takes. Once it has begun it is waited for, and a cancellation is raised at the next wait;
    /// while it waits for a thread of the pool, a cancellation unwinds the caller, and no child is started.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound), [`PermissionDenied`](io::ErrorKind::PermissionDenied) and whatever else keeps a
    /// program from being run; [`InvalidInput`](io::ErrorKind::InvalidInput) for a zero byte in a text.
    ///
    /// ```
    /// # rustlet::run(|| {
    /// use rustlet::process::Command;
    /// assert!(Command::new("true").spawn()?.wait()?.success());
    /// let error = Command::new("/no/such/program").spawn().unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// # std::io::Result::Ok(())
    /// # })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn spawn(&mut self) -> io::Result<Child> {
        self.start(Defaults::Inherit)
    }

    /// Starts the child, waits for its end, and gives what it has written to its standard output and error.
    ///
    /// Suspends. Cancelled meanwhile, the caller unwinds, and the child goes on.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Command::spawn) and [`Child::wait_with_output`].
    ///
    /// ```
    /// # rustlet::run(|| {
    /// let output = rustlet::process::Command::new("echo").arg("hello").output()?;
    /// assert_eq!(output.stdout, b"hello\n");
    /// # std::io::Result::Ok(())
    /// # })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn output(&mut self) -> io::Result<Output> {
        self.start(Defaults::Collect)?.wait_with_output()
    }

    /// Starts the child and waits for its end.
    ///
    /// Suspends. Cancelled meanwhile, the caller unwinds, and the child goes on.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Command::spawn) and [`Child::wait`].
    ///
    /// ```
    /// # rustlet::run(|| {
    /// assert_eq!(rustlet::process::Command::new("false").status()?.code(), Some(1));
    /// # std::io::Result::Ok(())
    /// # })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.start(Defaults::Inherit)?.wait()
    }

    /// The program, as [`new`](Command::new) was given it.
    ///
    /// ```
    /// assert_eq!(rustlet::process::Command::new("ls").get_program(), "ls");
    /// ```
    #[must_use]
    pub fn get_program(&self) -> &OsStr {
        self.theirs.get_program()
    }

    /// The arguments, without the program.
    ///
    /// ```
    /// let mut command = rustlet::process::Command::new("ls");
    /// command.arg("-l");
    /// assert!(command.get_args().eq(["-l"]));
    /// ```
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.theirs.get_args()
    }

    /// The variables that were set, with their values, and those that were removed, with `None`.
    ///
    /// ```
    /// let mut command = rustlet::process::Command::new("ls");
    /// command.env("TERM", "dumb").env_remove("TZ");
    /// let envs: Vec<_> = command.get_envs().collect();
    /// assert_eq!(envs, [("TERM".as_ref(), Some("dumb".as_ref())), ("TZ".as_ref(), None)]);
    /// ```
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.theirs.get_envs()
    }

    /// The working directory, if it was set.
    ///
    /// ```
    /// let mut command = rustlet::process::Command::new("ls");
    /// assert_eq!(command.get_current_dir(), None);
    /// command.current_dir("/bin");
    /// assert_eq!(command.get_current_dir(), Some("/bin".as_ref()));
    /// ```
    #[must_use]
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.theirs.get_current_dir()
    }

    #[track_caller]
    fn start(&mut self, defaults: Defaults) -> io::Result<Child> {
        self.set_streams(defaults);
        if self.has_hooks {
            return self.theirs.spawn().map(Child::from);
        }
        self.spawn_elsewhere().map(Child::from)
    }

    /// CO2.
    fn set_streams(&mut self, defaults: Defaults) {
        if defaults == Defaults::Inherit && !self.streams_defaulted {
            return;
        }
        self.streams_defaulted = true;
        let stream = |of_output: fn() -> Stdio| match defaults {
            Defaults::Inherit => Stdio::inherit(),
            Defaults::Collect => of_output(),
        };
        let [stdin, stdout, stderr] = self.streams_set;
        if !stdin {
            self.theirs.stdin(stream(Stdio::null));
        }
        if !stdout {
            self.theirs.stdout(stream(Stdio::piped));
        }
        if !stderr {
            self.theirs.stderr(stream(Stdio::piped));
        }
    }

    /// CO1. On an OS thread, in place.
    #[track_caller]
    fn spawn_elsewhere(&mut self) -> io::Result<process::Child> {
        let lent = Lent::new(&mut self.theirs);
        let slot = Arc::clone(&lent.slot);
        let spawned = blocking::run_shielded(move || lock(&slot).spawn());
        drop(lent);
        match spawned {
            Ok(spawned) => spawned,
            // No OS thread for it; rather a millisecond of the worker's than no child.
            Err(_) => self.theirs.spawn(),
        }
    }

    /// Std's, to set what only some systems have.
    pub(crate) fn theirs_mut(&mut self) -> &mut process::Command {
        &mut self.theirs
    }

    /// As [`theirs_mut`](Command::theirs_mut), to run in the place of this process.
    pub(crate) fn theirs_for_exec(&mut self) -> &mut process::Command {
        self.set_streams(Defaults::Inherit);
        &mut self.theirs
    }

    /// A closure was added that is to run in the child.
    pub(crate) fn has_a_hook(&mut self) {
        self.has_hooks = true;
    }
}

/// CO1: std's command, while a pool thread may have it. It comes back on every way out.
struct Lent<'a> {
    theirs: &'a mut process::Command,
    slot: Arc<Mutex<process::Command>>,
}

impl Lent<'_> {
    fn new(theirs: &mut process::Command) -> Lent<'_> {
        let command = std::mem::replace(theirs, process::Command::new(""));
        let slot = Arc::new(Mutex::new(command));
        Lent { theirs, slot }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        std::mem::swap(self.theirs, &mut *lock(&self.slot));
    }
}

/// As std's: in the words of a shell, more or less.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.theirs.fmt(f)
    }
}
