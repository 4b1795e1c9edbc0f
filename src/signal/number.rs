//! `Signal`: a signal's number, with its name.

use std::fmt;

use signal_hook::consts;
use signal_hook::low_level::signal_name;

/// A Unix signal, by number.
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
    /// The signal with this number, whether or not the system has one.
    ///
    /// ```
    /// assert_eq!(rustlet::signal::Signal::from_raw(9), rustlet::signal::SIGKILL);
    /// ```
    #[must_use]
    pub const fn from_raw(number: i32) -> Signal {
        Signal(number)
    }

    /// Its number.
    ///
    /// ```
    /// assert_eq!(rustlet::signal::SIGINT.as_raw(), 2);
    /// ```
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

/// Its number.
impl From<Signal> for i32 {
    fn from(signal: Signal) -> i32 {
        signal.0
    }
}

/// Its name, such as `SIGTERM`, or `signal 40`.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match signal_name(self.0) {
            Some(name) => f.pad(name),
            None => f.pad(&format!("signal {}", self.0)),
        }
    }
}

/// Its name, such as `SIGTERM`, or `Signal(40)`.
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
    SIGABRT: "The process has aborted itself.";
    SIGALRM: "The timer of `alarm` has run out.";
    SIGBUS: "Memory that cannot be reached.";
    SIGCHLD: "A child has ended, stopped or gone on.";
    SIGCONT: "Go on, after a stop.";
    SIGFPE: "Arithmetic went wrong. Cannot be subscribed to.";
    SIGHUP: "The terminal has gone; to daemons: read the configuration again.";
    SIGILL: "An instruction that there is not. Cannot be subscribed to.";
    SIGINT: "Ctrl-C.";
    SIGIO: "A descriptor has become ready.";
    SIGKILL: "Ends the process. Cannot be subscribed to.";
    SIGPIPE: "A write to a pipe that nobody reads. Rust programs ignore it from the start.";
    SIGPROF: "The profiling timer has run out.";
    SIGQUIT: "Ctrl-Backslash: end, with a core dump.";
    SIGSEGV: "Memory that is not there. Cannot be subscribed to.";
    SIGSTOP: "Stops the process. Cannot be subscribed to.";
    SIGSYS: "A system call that there is not.";
    SIGTERM: "Please end.";
    SIGTRAP: "A breakpoint.";
    SIGTSTP: "Ctrl-Z: please stop.";
    SIGTTIN: "A read from the terminal, in the background.";
    SIGTTOU: "A write to the terminal, in the background.";
    SIGURG: "Urgent data on a socket.";
    SIGUSR1: "For users to give a meaning to.";
    SIGUSR2: "For users to give a meaning to.";
    SIGVTALRM: "The timer of the process's own time has run out.";
    SIGWINCH: "The terminal has another size.";
    SIGXCPU: "The limit on processor time is reached.";
    SIGXFSZ: "The limit on the size of files is reached.";
}
