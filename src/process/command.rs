//! `Command`: std's own, with the stream settings that it needs for our defaults.
//!
//! - **CO1** `theirs` is consistent between any two calls of the user: while a pool thread has it,
//!   the green thread waits, shielded. A caller that is cancelled before a pool thread has taken it
//!   takes it back.
//! - **CO2** std's command cannot forget a setting of a standard stream. So once `output` has set a
//!   stream that the user has not set, each later start sets it again before it begins.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::{self, CommandArgs, CommandEnvs, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use super::Child;
use crate::runtime::blocking;
use crate::shim::lock;

/// Builds and starts a child process: [`std::process::Command`] for green threads, with all its
/// methods.
///
/// The Unix-only methods are in [`CommandExt`](crate::os::unix::process::CommandExt).
///
/// # Examples
///
/// ```
/// use rustlet::process::Command;
///
/// rustlet::run(|| {
///     let mut command = Command::new("sh");
///     let status = command.args(["-c", "test $COLOUR = green"]).env("COLOUR", "green").status()?;
///     assert!(status.success());
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
pub struct Command {
    theirs: process::Command,
    /// The standard streams that the user has set.
    streams_set: [bool; 3],
    /// CO2: whether this crate has set the others.
    streams_defaulted: bool,
    /// It has closures that run in the child.
    has_hooks: bool,
    kill_on_drop: bool,
}

/// The streams that the user has not set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Defaults {
    Inherit,
    Collect,
}

impl Command {
    /// Creates a command that runs `program`, which is found in `PATH` unless it contains a slash.
    ///
    /// By default it has no arguments, and the environment, the working directory and the standard
    /// streams of this process.
    ///
    /// # Examples
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
            kill_on_drop: false,
        }
    }

    /// Adds one argument. No shell interprets it.
    ///
    /// # Examples
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
    /// # Examples
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

    /// Sets an environment variable of the child.
    ///
    /// # Examples
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

    /// Sets several environment variables of the child.
    ///
    /// # Examples
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

    /// Removes an environment variable, inherited or set before.
    ///
    /// # Examples
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

    /// Removes all environment variables, inherited or set before.
    ///
    /// # Examples
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

    /// Sets the child's working directory. Default: that of this process. Whether a relative
    /// program path is resolved from there depends on the system: use an absolute path.
    ///
    /// # Examples
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

    /// Sets the child's standard input. Default: that of this process, but empty for
    /// [`output`](Command::output).
    ///
    /// # Examples
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

    /// Sets the child's standard output. Default: that of this process, but a pipe for
    /// [`output`](Command::output).
    ///
    /// # Examples
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

    /// Sets the child's standard error. Default: that of this process, but a pipe for
    /// [`output`](Command::output).
    ///
    /// # Examples
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

    /// Sets whether the child is killed (`SIGKILL`) when its [`Child`] is dropped and it was not
    /// waited for, as in tokio. Default: `false`.
    ///
    /// With it, a [`timeout`](crate::timeout) around [`output`](Command::output),
    /// [`status`](Command::status) or [`Child::wait_with_output`] ends the child too. Processes
    /// that the child has started are not killed.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::process::Command;
    /// use rustlet::time::{Duration, timeout};
    ///
    /// rustlet::run(|| {
    ///     let mut command = Command::new("sleep");
    ///     command.arg("1000").kill_on_drop(true);
    ///     let late = timeout(Duration::from_millis(10), || command.status());
    ///     assert!(late.is_err());
    /// });
    /// ```
    pub fn kill_on_drop(&mut self, kill_on_drop: bool) -> &mut Command {
        self.kill_on_drop = kill_on_drop;
        self
    }

    /// Starts the child process.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound), [`PermissionDenied`](io::ErrorKind::PermissionDenied)
    /// and other errors that keep the program from running;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a NUL byte in a string.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread for about a millisecond; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// While it waits for a thread of the pool, the caller unwinds, and no child is started. After
    /// that the call completes, and the next wait unwinds.
    ///
    /// # Examples
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

    /// Starts the child, waits until it has ended, and returns what it has written to its standard
    /// output and error.
    ///
    /// # Errors
    ///
    /// The same as for [`spawn`](Command::spawn) and [`Child::wait_with_output`].
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; the child keeps running.
    ///
    /// # Examples
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

    /// Starts the child, waits until it has ended, and returns its status.
    ///
    /// # Errors
    ///
    /// The same as for [`spawn`](Command::spawn) and [`Child::wait`].
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; the child keeps running.
    ///
    /// # Examples
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

    /// Returns the program that was given to [`new`](Command::new).
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(rustlet::process::Command::new("ls").get_program(), "ls");
    /// ```
    #[must_use]
    pub fn get_program(&self) -> &OsStr {
        self.theirs.get_program()
    }

    /// Returns the arguments, without the program.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut command = rustlet::process::Command::new("ls");
    /// command.arg("-l");
    /// assert!(command.get_args().eq(["-l"]));
    /// ```
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.theirs.get_args()
    }

    /// Returns the variables that were set, with their values, and those that were removed, with
    /// `None`.
    ///
    /// # Examples
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

    /// Returns the working directory, if it was set.
    ///
    /// # Examples
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
        let spawned = if self.has_hooks {
            self.theirs.spawn()
        } else {
            self.spawn_elsewhere()
        };
        let mut child = Child::from(spawned?);
        child.kill_on_drop = self.kill_on_drop;
        Ok(child)
    }

    /// Sets the streams that the user has not set (CO2).
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

    /// Spawns on the pool (CO1); on an OS thread, in place.
    #[track_caller]
    fn spawn_elsewhere(&mut self) -> io::Result<process::Child> {
        let lent = LendGuard::new(&mut self.theirs);
        let slot = Arc::clone(&lent.slot);
        let spawned = blocking::run_shielded(move || lock(&slot).spawn());
        drop(lent);
        match spawned {
            Ok(spawned) => spawned,
            // No OS thread for it: a millisecond of the worker's time is better than no child.
            Err(_) => self.theirs.spawn(),
        }
    }

    /// Returns std's command, for settings of some systems only.
    pub(crate) fn theirs_mut(&mut self) -> &mut process::Command {
        &mut self.theirs
    }

    /// Returns std's command, to replace this process.
    pub(crate) fn theirs_for_exec(&mut self) -> &mut process::Command {
        self.set_streams(Defaults::Inherit);
        &mut self.theirs
    }

    /// Records that a closure was added that runs in the child.
    pub(crate) fn has_a_hook(&mut self) {
        self.has_hooks = true;
    }
}

/// CO1: std's command, while a pool thread may have it. It is returned on every path.
struct LendGuard<'a> {
    theirs: &'a mut process::Command,
    slot: Arc<Mutex<process::Command>>,
}

impl LendGuard<'_> {
    fn new(theirs: &mut process::Command) -> LendGuard<'_> {
        let command = std::mem::replace(theirs, process::Command::new(""));
        let slot = Arc::new(Mutex::new(command));
        LendGuard { theirs, slot }
    }
}

impl Drop for LendGuard<'_> {
    fn drop(&mut self) {
        std::mem::swap(self.theirs, &mut *lock(&self.slot));
    }
}

/// Formats the command as std does: roughly in shell syntax.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.theirs.fmt(f)
    }
}
