//! Classifies the errors of `accept` for a server, and reports shortages.
//!
//! Used by the accepting thread of a server alone.

use std::io::{self, Write};

use rustix::io::Errno;

use super::TcpListener;
use crate::runtime::ReportKind;
use crate::runtime::current::reporter_of_caller;
use crate::sys::{clock, limits};

/// Reports on stderr that a server cannot accept because descriptors or memory have run out: once
/// for each episode.
///
/// An episode ends when two connections in a row are accepted. (A server that is just at its limit
/// accepts one whenever another one ends: still the same episode.)
#[derive(Default)]
pub(super) struct Shortage {
    is_reported: bool,
    accepted: u32,
    /// When the last report was made, if there was one.
    last: Option<clock::Tick>,
}

impl Shortage {
    /// Minimum time between two reports, in nanoseconds. A shortage that lasts longer is reported
    /// late, not never.
    const MIN_REPORT_GAP_NS: clock::Tick = 1_000_000_000;

    pub(super) fn accepted(&mut self) {
        self.accepted = self.accepted.saturating_add(1);
        if self.accepted >= 2 {
            self.is_reported = false;
        }
    }

    /// Returns whether the failure of an attempt made at `now` is reported.
    fn is_to_be_reported(&mut self, now: clock::Tick) -> bool {
        self.accepted = 0;
        let is_early = self
            .last
            .is_some_and(|last| now.saturating_sub(last) < Shortage::MIN_REPORT_GAP_NS);
        if self.is_reported || is_early {
            return false;
        }
        self.is_reported = true;
        self.last = Some(now);
        true
    }

    pub(super) fn failed(&mut self, listener: &TcpListener, error: &io::Error) {
        if AcceptError::of(error) != AcceptError::Backoff {
            return;
        }
        if !self.is_to_be_reported(clock::now()) {
            return;
        }
        let server = match listener.local_addr() {
            Ok(addr) => format!("the server on {addr}"),
            Err(_) => "a server".into(),
        };
        let what = match Errno::from_io_error(error) {
            Some(Errno::MFILE) => {
                let limit = match limits::descriptors() {
                    Some(limit) => limit.to_string(),
                    None => "unlimited".into(),
                };
                format!("file descriptors, of which the process may have {limit} (`ulimit -n`)")
            }
            Some(Errno::NFILE) => {
                "file descriptors of the whole system (`sysctl fs.file-max`)".into()
            }
            _ => "memory for sockets".to_owned(),
        };
        let text = format!(
            "rustlet: {server} is out of {what}: {error}; clients wait until connections end"
        );
        if let Some(reporter) = reporter_of_caller().filter(|reporter| !reporter.is_default()) {
            return reporter.report(ReportKind::OutOfDescriptors, &text);
        }
        // A closed stderr is no reason to stop serving; a full one is waited for.
        let _unheard = writeln!(crate::io::stderr(), "{text}");
    }
}

/// The meaning of an error of `accept` for later calls.
#[derive(Debug, PartialEq)]
pub(super) enum AcceptError {
    /// That connection is gone; the next call may succeed. Also errors after which an immediate
    /// retry makes sense.
    Transient,
    /// A resource has run out and may become available again.
    Backoff,
    Fatal,
}

impl AcceptError {
    /// The groups are those of the Linux manual, accept(2). EPERM is a firewall's refusal of one
    /// connection.
    pub(super) fn of(error: &io::Error) -> AcceptError {
        let Some(errno) = Errno::from_io_error(error) else {
            return AcceptError::Fatal;
        };
        match errno {
            Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => AcceptError::Backoff,
            Errno::CONNABORTED
            | Errno::CONNRESET
            | Errno::PERM
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::TIMEDOUT
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::INTR
            | Errno::AGAIN => AcceptError::Transient,
            #[cfg(target_os = "linux")]
            Errno::NONET => AcceptError::Transient,
            _ => AcceptError::Fatal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted() {
        let outlook = |errno: Errno| AcceptError::of(&errno.into());
        assert_eq!(outlook(Errno::MFILE), AcceptError::Backoff);
        assert_eq!(outlook(Errno::CONNABORTED), AcceptError::Transient);
        assert_eq!(outlook(Errno::INVAL), AcceptError::Fatal);
        assert_eq!(outlook(Errno::BADF), AcceptError::Fatal);
    }

    #[test]
    fn an_episode_is_reported_once() {
        const GAP: clock::Tick = Shortage::MIN_REPORT_GAP_NS;
        let mut shortage = Shortage::default();
        assert!(shortage.is_to_be_reported(5));
        assert!(!shortage.is_to_be_reported(6));
        assert!(!shortage.is_to_be_reported(10 * GAP));
        // Just at its limit: one connection ends, one comes.
        shortage.accepted();
        assert!(!shortage.is_to_be_reported(20 * GAP));
        shortage.accepted();
        shortage.accepted();
        assert!(shortage.is_to_be_reported(21 * GAP));
        // Over, and back at once: reported late, if it lasts.
        shortage.accepted();
        shortage.accepted();
        assert!(!shortage.is_to_be_reported(22 * GAP - 1));
        assert!(shortage.is_to_be_reported(22 * GAP));
        assert!(!shortage.is_to_be_reported(24 * GAP));
    }
}
