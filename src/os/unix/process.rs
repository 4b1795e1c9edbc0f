#![allow(
    unsafe_code,
    reason = "closures that run in a child are unsafe, as in std"
)]
//! Unix-only APIs of [`process`](crate::process): [`std::os::unix::process`].
//!
//! Any thread may use it. Nothing here suspends.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt as _;

pub use std::os::unix::process::{ExitStatusExt, parent_id};

use crate::process::Command;

mod sealed {
    #[expect(unnameable_types, reason = "seals the trait, as std does")]
    pub trait Sealed {}
    impl Sealed for crate::process::Command {}
}

/// Unix-only methods of [`Command`]: the trait of this name of [`std::os::unix::process`], for our
/// `Command`.
///
/// # Examples
///
/// ```
/// use rustlet::os::unix::process::CommandExt;
///
/// let mut command = rustlet::process::Command::new("true");
/// command.process_group(0);
/// ```
pub trait CommandExt: sealed::Sealed {
    /// Sets the child's user ID (`setuid`). Unless groups are given, the supplementary ones are
    /// dropped. Default: unchanged.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::os::unix::process::CommandExt;
    ///
    /// rustlet::process::Command::new("id").uid(1000).status()?;
    /// # std::io::Result::Ok(())
    /// ```
    fn uid(&mut self, id: u32) -> &mut Command;

    /// Sets the child's group ID (`setgid`). Default: unchanged.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::os::unix::process::CommandExt;
    ///
    /// rustlet::process::Command::new("id").gid(1000).status()?;
    /// # std::io::Result::Ok(())
    /// ```
    fn gid(&mut self, id: u32) -> &mut Command;

    /// Adds a closure that the child runs between `fork` and `exec`, after those that were added
    /// before. If it fails with an error of the system, the spawn does.
    ///
    /// A command with such a closure is started by the thread that calls `spawn`, not on the pool:
    /// properties of the parent *thread* (`PR_SET_PDEATHSIG`) then belong to the worker, which
    /// lives as long as its runtime. The worker is blocked meanwhile, for about a millisecond;
    /// longer in a process with very much memory.
    ///
    /// # Safety
    ///
    /// The closure may do only what is safe in a copy of the process in which no other thread runs:
    /// no allocation, no lock, and no call of rustlet.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::os::unix::process::CommandExt;
    ///
    /// rustlet::run(|| {
    ///     let mut command = rustlet::process::Command::new("true");
    ///     // SAFETY: the closure does nothing.
    ///     unsafe { command.pre_exec(|| Ok(())) };
    ///     assert!(command.status()?.success());
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Command
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static;

    /// Adds a closure; the old name of [`pre_exec`](CommandExt::pre_exec).
    ///
    /// # Safety
    ///
    /// As [`pre_exec`](CommandExt::pre_exec).
    ///
    /// # Examples
    ///
    /// ```
    /// # #![allow(deprecated)]
    /// use rustlet::os::unix::process::CommandExt;
    ///
    /// let mut command = rustlet::process::Command::new("true");
    /// // SAFETY: the closure does nothing.
    /// unsafe { command.before_exec(|| Ok(())) };
    /// ```
    #[deprecated(note = "use `pre_exec` instead")]
    unsafe fn before_exec<F>(&mut self, f: F) -> &mut Command
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static,
    {
        // SAFETY: the caller promises the same.
        unsafe { self.pre_exec(f) }
    }

    /// Replaces this process by the program, without a fork: all its threads, green ones too, end
    /// without destructors. Returns, with the reason, only if that fails; the working directory,
    /// the standard streams and so on may have been changed by then.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::os::unix::process::CommandExt;
    ///
    /// let error = rustlet::process::Command::new("ls").exec();
    /// panic!("no ls: {error}");
    /// ```
    #[must_use]
    fn exec(&mut self) -> io::Error;

    /// Sets `argv[0]` of the program. Default: the program's name.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::os::unix::process::CommandExt;
    ///
    /// rustlet::run(|| {
    ///     let mut shell = rustlet::process::Command::new("sh");
    ///     let output = shell.arg0("poet").args(["-c", "echo $0"]).output()?;
    ///     assert_eq!(output.stdout, b"poet\n");
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    fn arg0<S>(&mut self, arg: S) -> &mut Command
    where
        S: AsRef<OsStr>;

    /// Puts the child into a process group; 0 creates one of its own, which a Ctrl-C in the
    /// terminal does not reach. Default: the group of this process.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::os::unix::process::CommandExt;
    ///
    /// rustlet::run(|| {
    ///     assert!(rustlet::process::Command::new("true").process_group(0).status()?.success());
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    fn process_group(&mut self, pgroup: i32) -> &mut Command;
}

impl CommandExt for Command {
    fn uid(&mut self, id: u32) -> &mut Command {
        self.theirs_mut().uid(id);
        self
    }

    fn gid(&mut self, id: u32) -> &mut Command {
        self.theirs_mut().gid(id);
        self
    }

    unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Command
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static,
    {
        self.has_a_hook();
        let theirs = self.theirs_mut();
        // SAFETY: the caller promises what std's requires.
        unsafe { theirs.pre_exec(f) };
        self
    }

    fn exec(&mut self) -> io::Error {
        self.theirs_for_exec().exec()
    }

    fn arg0<S>(&mut self, arg: S) -> &mut Command
    where
        S: AsRef<OsStr>,
    {
        self.theirs_mut().arg0(arg);
        self
    }

    fn process_group(&mut self, pgroup: i32) -> &mut Command {
        self.theirs_mut().process_group(pgroup);
        self
    }
}
