//! A started child until it has been reaped: how its end is noticed and reported.
//!
//! - **EX1** The child is reaped once, by `try_wait` of std's handle, under the lock; std keeps the
//!   status, so later callers get the same, and `kill` does not hit a process that reuses the ID.
//! - **EX2** Until it is reaped, its process ID is not reused, even as a zombie: opening or waiting
//!   by ID is safe.
//! - **EX3** `end` becomes readable when the child has ended, and stays so. On Linux it is a pidfd;
//!   where there is none, it is a pipe whose other end is closed by a thread that waits for the end
//!   without reaping. This is the one place where the two differ.
//!
//! Any thread may use any of this at any time; `wait` suspends.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{self, ExitStatus};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::channel::{self, Receiver};
use crate::green::Reason;
use crate::ready_source;
use crate::retry::{self, Mode};
use crate::runtime::blocking;
use crate::runtime::io::source::{Interest, Source, SourceKind};
use crate::service_threads::poll_thread;
use crate::shim::lock;

/// A child, as its waiters see it.
pub(super) struct Process {
    child: Mutex<process::Child>,
    exit_source: OnceLock<Arc<Source>>,
    /// Replaces `exit_source` where there was no descriptor for it.
    exit_receiver: OnceLock<Receiver<()>>,
}

impl Process {
    /// Creates it from a child whose pipes have been taken out.
    pub(super) fn new(child: process::Child) -> Process {
        Process {
            child: Mutex::new(child),
            exit_source: OnceLock::new(),
            exit_receiver: OnceLock::new(),
        }
    }

    pub(super) fn id(&self) -> u32 {
        lock(&self.child).id()
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        lock(&self.child).kill()
    }

    /// Reaps the child if it has ended (EX1).
    pub(super) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        lock(&self.child).try_wait()
    }

    /// Waits for the end, and reaps. Returns `WouldBlock` if the time has passed.
    #[track_caller]
    pub(super) fn wait(&self, mode: Mode) -> io::Result<ExitStatus> {
        if let Some(status) = self.try_wait()? {
            return Ok(status);
        }
        let end = match self.exit_source() {
            Ok(end) => end,
            // No descriptors are left. This way needs none, but blocks a thread.
            Err(_) if mode.timeout.is_none() => return self.wait_blocked(),
            Err(error) => return Err(error),
        };
        let try_wait = |_: std::os::fd::BorrowedFd<'_>| {
            let status = self.try_wait()?;
            status.ok_or_else(retry::would_block)
        };
        match retry::read(end, Reason::Child, mode, try_wait, |_| false) {
            // The reactor may already watch too many.
            Err(error)
                if mode.timeout.is_none()
                    && error.raw_os_error() == Some(Errno::NOSPC.raw_os_error()) =>
            {
                self.wait_blocked()
            }
            result => result,
        }
    }

    #[cold]
    #[track_caller]
    fn wait_blocked(&self) -> io::Result<ExitStatus> {
        let number = self.id();
        loop {
            blocking::run(move || wait_for_exit(number))?;
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
        }
    }

    /// Returns the descriptor of EX3.
    pub(super) fn exit_source(&self) -> io::Result<&Arc<Source>> {
        if let Some(end) = self.exit_source.get() {
            return Ok(end);
        }
        // The lock: no thread reaps meanwhile (EX2) or opens a second one.
        let mut child = lock(&self.child);
        if self.exit_source.get().is_none() {
            let fd = match child.try_wait() {
                Ok(None) => by_platform::open(child.id())?,
                // Reaped, here or by other code: the ID may be reused.
                Ok(Some(_)) | Err(_) => OwnedFd::from(io::pipe()?.0),
            };
            // No other thread has set it, because of the lock.
            let _first = self
                .exit_source
                .set(Arc::new(Source::new(fd, SourceKind::Other)));
        }
        drop(child);
        self.exit_source.get().ok_or_else(|| {
            io::Error::other("the end of a child is not watched; this is a bug in rustlet")
        })
    }

    /// Returns a receiver that stays ready once the child has ended.
    pub(super) fn exited(&self) -> io::Result<Receiver<()>> {
        if let Ok(end) = self.exit_source() {
            return Ok(ready_source::receiver(Arc::clone(end), Interest::Read));
        }
        if let Some(exit_receiver) = self.exit_receiver.get() {
            return Ok(exit_receiver.clone());
        }
        // No descriptors are left. A thread needs none; it does not reap, so the ID is not reused
        // meanwhile.
        let number = self.id();
        let (latch, receiver) = channel::latch();
        start_thread(move || {
            wait_for_exit(number);
            latch.set();
        })?;
        Ok(self.exit_receiver.get_or_init(|| receiver).clone())
    }

    /// Called when no thread will wait any more: the child is reaped as soon as it ends.
    pub(super) fn abandon(self: Arc<Process>) {
        // An error says that there is no such child: other code has reaped it.
        if !matches!(self.try_wait(), Ok(None)) {
            return;
        }
        let Ok(end) = self.exit_source().cloned() else {
            return self.reap_later();
        };
        // If no poll thread can be started, the request stays for the next one.
        let _request = poll_thread::submit(end, Interest::Read, move || {
            if matches!(self.try_wait(), Ok(None)) {
                // A debugger is notified of the end first.
                self.reap_later();
            }
        });
    }

    /// Reaps with a thread: without a descriptor, or when a descriptor would not report the end.
    #[cold]
    fn reap_later(self: Arc<Process>) {
        // No descriptor and no thread: then it stays a zombie, as all do with std.
        let _started = start_thread(move || {
            wait_for_exit(self.id());
            let _status = self.try_wait();
        });
    }
}

/// Blocks until the child with this ID has ended, and does not reap it (EX2).
fn wait_for_exit(number: u32) {
    let Some(pid) = i32::try_from(number).ok().and_then(Pid::from_raw) else {
        return;
    };
    let without_reaping = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    // Any other error: there is no such child any more.
    while matches!(waitid(WaitId::Pid(pid), without_reaping), Err(Errno::INTR)) {}
}

fn start_thread(f: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new()
        .name("rustlet-child".into())
        .stack_size(128 * 1024)
        .spawn(f)
        .map(drop)
}

/// Implements EX3 with a thread and a pipe.
fn open_pipe(number: u32) -> io::Result<OwnedFd> {
    let (reader, writer) = io::pipe()?;
    start_thread(move || {
        wait_for_exit(number);
        drop(writer);
    })?;
    Ok(OwnedFd::from(reader))
}

#[cfg(all(target_os = "linux", not(rustlet_portable)))]
mod by_platform {
    use super::*;
    use rustix::process::{PidfdFlags, pidfd_open};

    pub(super) fn open(number: u32) -> io::Result<OwnedFd> {
        let pid = i32::try_from(number).ok().and_then(Pid::from_raw);
        match pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
            Some(Ok(pidfd)) => Ok(pidfd),
            Some(Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM))) => Err(error.into()),
            // Linux before 5.3, an emulator, a sandbox.
            Some(Err(_)) | None => open_pipe(number),
        }
    }
}

#[cfg(not(all(target_os = "linux", not(rustlet_portable))))]
mod by_platform {
    pub(super) use super::open_pipe as open;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn process(program: &str, argument: &str) -> Process {
        let mut command = process::Command::new(program);
        Process::new(command.arg(argument).spawn().unwrap())
    }

    /// Simulates a system without pidfds.
    fn watched_by_a_thread(program: &str, argument: &str) -> Process {
        let process = process(program, argument);
        let end = Source::new(open_pipe(process.id()).unwrap(), SourceKind::Other);
        assert!(process.exit_source.set(Arc::new(end)).is_ok());
        process
    }

    fn limited(timeout: Duration) -> Mode {
        Mode {
            timeout: Some(timeout),
            nonblocking: false,
        }
    }

    /// Waits until the end is reported. A moment may pass: another test's child has the pipe's
    /// other end, too, from its fork to its exec.
    fn until_readable(child: &Process) {
        let is_readable =
            || retry::is_ready(child.exit_source().unwrap().fd(), Interest::Read).unwrap();
        while !is_readable() {
            crate::green::park::yield_now(std::panic::Location::caller());
        }
        assert!(is_readable());
    }

    #[test]
    fn a_thread_does_what_a_pidfd_does() {
        let case = || {
            let child = watched_by_a_thread("sleep", "1000");
            let error = child.wait(limited(Duration::from_millis(1))).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            child.kill().unwrap();
            assert!(!child.wait(Mode::default()).unwrap().success());
            // After the thread has seen the end, too.
            until_readable(&child);
            let child = watched_by_a_thread("true", "");
            assert!(child.wait(limited(Duration::MAX)).unwrap().success());

            let child = Arc::new(watched_by_a_thread("sleep", "1000"));
            Arc::clone(&child).abandon();
            child.kill().unwrap();
            while child.try_wait().unwrap().is_none() {
                crate::green::park::yield_now(std::panic::Location::caller());
            }
        };
        case();
        crate::runtime::run(case);
    }

    #[test]
    fn the_end_of_a_reaped_child_is_no_question_for_its_number() {
        let child = process("true", "");
        while child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        until_readable(&child);
    }

    #[test]
    fn reaped_without_a_descriptor() {
        let child = Arc::new(process("sleep", "1000"));
        Arc::clone(&child).reap_later();
        child.kill().unwrap();
        assert!(!child.wait_blocked().unwrap().success());
    }
}
