//! `Child`: a started process, and waiting for its end.
//!
//! Any thread may use it; `wait`, `wait_timeout` and `wait_with_output` suspend.

use std::fmt;
use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::process::{ExitStatus, Output};
use std::sync::Arc;
use std::time::Duration;

use super::exit::Process;
use super::output_reader;
use super::pipe::{ChildStderr, ChildStdin, ChildStdout};
use crate::channel::Receiver;
use crate::retry::Mode;

/// A child process: [`std::process::Child`] for green threads, created by
/// [`Command::spawn`](super::Command::spawn).
///
/// [`wait`](Child::wait) and the pipes suspend only the calling green thread; on an OS thread they
/// block.
///
/// Dropping it lets the child run on, as in std, unless
/// [`kill_on_drop`](super::Command::kill_on_drop) was set. Unlike in std this leaves no zombie:
/// when the child ends, it is reaped by an OS thread that the process has while there is such a
/// child.
///
/// # Examples
///
/// ```
/// use rustlet::process::Command;
///
/// rustlet::run(|| {
///     let mut child = Command::new("sh").args(["-c", "exit 3"]).spawn()?;
///     assert_eq!(child.wait()?.code(), Some(3));
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
pub struct Child {
    /// Pipe to the child's standard input, if [`Stdio::piped`](super::Stdio::piped) was requested.
    pub stdin: Option<ChildStdin>,
    /// Pipe from the child's standard output, if requested.
    pub stdout: Option<ChildStdout>,
    /// Pipe from the child's standard error, if requested.
    pub stderr: Option<ChildStderr>,
    process: Arc<Process>,
    pub(super) kill_on_drop: bool,
}

impl Child {
    /// Kills the child (`SIGKILL`). Succeeds also if it has already ended. Does not wait;
    /// [`wait`](Child::wait) does.
    ///
    /// Once the child was reaped, no signal is sent, because its process ID may have been reused.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied), if it has changed its user.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::process::Command;
    /// use std::os::unix::process::ExitStatusExt;
    ///
    /// rustlet::run(|| {
    ///     let mut child = Command::new("sleep").arg("1000").spawn()?;
    ///     child.kill()?;
    ///     assert_eq!(child.wait()?.signal(), Some(9));
    ///     child.kill()
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn kill(&mut self) -> io::Result<()> {
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        self.process.kill()
    }

    /// Returns the process ID of the child. It is not reused before a wait has found that the child
    /// has ended. Never suspends.
    ///
    /// # Examples
    ///
    /// ```
    /// # rustlet::run(|| {
    /// let mut child = rustlet::process::Command::new("true").spawn()?;
    /// assert_ne!(child.id(), rustlet::process::id());
    /// child.wait().map(drop)
    /// # })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Closes the pipe to the child's standard input, if there is one, and waits until the child
    /// has ended. Later calls return the same status.
    ///
    /// # Errors
    ///
    /// Returns the error of the system call: none, unless `SIGCHLD` is ignored, so that the kernel
    /// reaps children itself.
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
    /// use rustlet::process::{Command, Stdio};
    ///
    /// rustlet::run(|| {
    ///     // It ends when its input does.
    ///     let mut child = Command::new("cat").stdin(Stdio::piped()).spawn()?;
    ///     assert!(child.wait()?.success());
    ///     assert!(child.wait()?.success());
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        drop(self.stdin.take());
        self.process.wait(Mode::default())
    }

    /// Waits like [`wait`](Child::wait), for at most `timeout`; [`Duration::MAX`] means no limit.
    /// Returns `None` if the child has not ended; it keeps running, and can be waited for again.
    ///
    /// # Errors
    ///
    /// The same as for [`wait`](Child::wait); on Linux also if there is no descriptor to watch the
    /// child with.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::process::Command;
    /// use std::time::Duration;
    ///
    /// rustlet::run(|| {
    ///     let mut child = Command::new("sleep").arg("1000").spawn()?;
    ///     assert!(child.wait_timeout(Duration::from_millis(1))?.is_none());
    ///     child.kill()?;
    ///     assert!(child.wait_timeout(Duration::MAX)?.is_some());
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn wait_timeout(&mut self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        drop(self.stdin.take());
        let mode = Mode {
            timeout: Some(timeout),
            nonblocking: false,
        };
        match self.process.wait(mode) {
            Ok(status) => Ok(Some(status)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the status of the child if it has ended. Leaves its standard input open. Does not
    /// wait.
    ///
    /// # Errors
    ///
    /// The same as for [`wait`](Child::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// # rustlet::run(|| {
    /// let mut child = rustlet::process::Command::new("sleep").arg("1000").spawn()?;
    /// assert!(child.try_wait()?.is_none());
    /// child.kill()?;
    /// child.wait()?;
    /// assert!(child.try_wait()?.is_some());
    /// # std::io::Result::Ok(())
    /// # })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        self.process.try_wait()
    }

    /// Returns a receiver that becomes ready when the child has ended, and stays ready: each `recv`
    /// returns `Ok(())`. Does not wait.
    ///
    /// It does not reap the child: [`wait`](Child::wait) returns the status, and no longer waits
    /// then. It leaves the standard input open.
    ///
    /// # Panics
    ///
    /// Panics if there is neither a descriptor nor an OS thread to watch the child with.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{after, select};
    /// use rustlet::process::Command;
    /// use std::time::Duration;
    ///
    /// rustlet::run(|| {
    ///     let mut child = Command::new("true").spawn()?;
    ///     select! {
    ///         recv(child.exited()) -> _ => {}
    ///         recv(after(Duration::from_secs(60))) -> _ => child.kill()?,
    ///     }
    ///     assert!(child.wait()?.success());
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn exited(&self) -> Receiver<()> {
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        match self.process.exited() {
            Ok(receiver) => receiver,
            Err(error) => panic!("exited: {error}"),
        }
    }

    /// Closes the pipe to the child's standard input, reads the other pipes to their ends, and
    /// waits until the child has ended. Both pipes are read at once, so the child may write to them
    /// in any order and any amount.
    ///
    /// A pipe ends when *all* processes that hold its other end have closed it, including
    /// grandchildren.
    ///
    /// # Errors
    ///
    /// The same as for [`wait`](Child::wait), and those of the reads, on which std panics.
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
    /// use rustlet::process::{Command, Stdio};
    ///
    /// rustlet::run(|| {
    ///     let mut command = Command::new("sh");
    ///     command.args(["-c", "echo one; echo two >&2"]);
    ///     command.stdout(Stdio::piped()).stderr(Stdio::piped());
    ///     let output = command.spawn()?.wait_with_output()?;
    ///     assert_eq!(output.stdout, b"one\n");
    ///     assert_eq!(output.stderr, b"two\n");
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let pipes = (
            self.stdout.take().map(ChildStdout::into_pipe),
            self.stderr.take().map(ChildStderr::into_pipe),
        );
        match &pipes {
            (Some(out), Some(err)) => output_reader::both([out, err], [&mut stdout, &mut stderr])?,
            (Some(out), None) => output_reader::to_end(out, &mut stdout)?,
            (None, Some(err)) => output_reader::to_end(err, &mut stderr)?,
            (None, None) => {}
        }
        drop(pipes);
        let status = self.wait()?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }
}

/// Takes over the child and its pipes.
impl From<std::process::Child> for Child {
    fn from(mut theirs: std::process::Child) -> Child {
        Child {
            stdin: theirs.stdin.take().map(ChildStdin::from),
            stdout: theirs.stdout.take().map(ChildStdout::from),
            stderr: theirs.stderr.take().map(ChildStderr::from),
            process: Arc::new(Process::new(theirs)),
            kill_on_drop: false,
        }
    }
}

/// The child keeps running, unless the command says
/// [`kill_on_drop`](super::Command::kill_on_drop), and is reaped when it ends.
impl Drop for Child {
    fn drop(&mut self) {
        if self.kill_on_drop {
            // A child that was reaped gets no signal.
            let _killed = self.process.kill();
        }
        Arc::clone(&self.process).abandon();
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .finish_non_exhaustive()
    }
}

// Shared state is consistent between any two calls, and std's type has these impls.
impl UnwindSafe for Child {}
impl RefUnwindSafe for Child {}
