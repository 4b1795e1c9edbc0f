//! `Signal`: a signal's number, with its name.

use std::fmt;

use signal_hook::consts;
use signal_hook::low_level::signal_name;

/// A Unix signal, identified by its number.
///
/// # Examples
///
/// ```
/// use rustlet::signal::{SIGTERM, Signal};
///
/// assert_eq!(SIGTERM.to_string(), "SIGTERM");
/// assert_eq!(Signal::from_raw(15), SIGTERM);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

impl Signal {
    /// Creates the signal with this number, whether or not the system has one.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(rustlet::signal::Signal::from_raw(9), rustlet::signal::SIGKILL);
    /// ```
    #[must_use]
    pub const fn from_raw(number: i32) -> Signal {
        Signal(number)
    }

    /// Returns the number.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(rustlet::signal::SIGINT.as_raw(), 2);
    /// ```
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

/// Returns the number.
impl From<Signal> for i32 {
    fn from(signal: Signal) -> i32 {
        signal.0
    }
}

/// Formats the name, such as `SIGTERM`, or `signal 40`.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match signal_name(self.0) {
            Some(name) => f.pad(name),
            None => f.pad(&format!("signal {}", self.0)),
        }
    }
}

/// Formats the name, such as `SIGTERM`, or `Signal(40)`.
impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match signal_name(self.0) {
            Some(name) => f.write_str(name),
            None => f.debug_tuple("Signal").field(&self.0).finish(),
        }
    }
}

macro_rules! signals {
    ($($name:ident: $what:literal;)*) => {
        $(#[doc = $what] pub const $name: Signal = Signal(consts::$name);)*
    };
}

signals! {
    SIGABRT: "Abort, raised by `abort`.";
    SIGALRM: "Timer of `alarm` expired.";
    SIGBUS: "Bus error: inaccessible memory.";
    SIGCHLD: "Child ended, stopped or continued.";
    SIGCONT: "Continue after a stop.";
    SIGFPE: "Arithmetic error. Cannot be subscribed to.";
    SIGHUP: "Terminal closed; asks daemons to reload their configuration.";
    SIGILL: "Illegal instruction. Cannot be subscribed to.";
    SIGINT: "Ctrl-C.";
    SIGIO: "I/O possible on a descriptor.";
    SIGKILL: "Kills the process. Cannot be subscribed to.";
    SIGPIPE: "Write to a pipe without readers. Rust programs ignore it by default.";
    SIGPROF: "Profiling timer expired.";
    SIGQUIT: "Ctrl-Backslash: quit with a core dump.";
    SIGSEGV: "Invalid memory access. Cannot be subscribed to.";
    SIGSTOP: "Stops the process. Cannot be subscribed to.";
    SIGSYS: "Invalid system call.";
    SIGTERM: "Please end.";
    SIGTRAP: "A breakpoint.";
    SIGTSTP: "Ctrl-Z: please stop.";
    SIGTTIN: "Terminal read by a background process.";
    SIGTTOU: "Terminal write by a background process.";
    SIGURG: "Urgent data on a socket.";
    SIGUSR1: "User-defined signal 1.";
    SIGUSR2: "User-defined signal 2.";
    SIGVTALRM: "Virtual timer expired.";
    SIGWINCH: "Terminal window size changed.";
    SIGXCPU: "CPU time limit exceeded.";
    SIGXFSZ: "File size limit exceeded.";
}
