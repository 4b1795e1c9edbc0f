//! The events of a simulated run. Their text has no number that is unique in the process, so it is
//! the same for the same run in every process.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::panic::Location;
use std::time::Duration;

use crate::sys::clock::{self, NEVER, Tick};

/// What has happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A thread runs for the first time.
    Starts {
        name: Option<Box<str>>,
        at: Option<&'static Location<'static>>,
    },
    /// It could go on at a switch point, and another thread runs.
    Interrupted {
        at: &'static Location<'static>,
    },
    Yields {
        at: Option<&'static Location<'static>>,
    },
    Waits {
        reason: &'static str,
        at: Option<&'static Location<'static>>,
        /// The deadline of the wait, or [`NEVER`].
        until: Tick,
    },
    /// The wait of a thread has reached its deadline.
    TimesOut,
    Ends,
    Panics {
        text: String,
    },
    /// A text of the program.
    Says {
        text: String,
    },
}

#[derive(Clone, Debug)]
struct Entry {
    moment: Tick,
    thread: u32,
    event: Event,
}

/// The events of a run, or the last ones.
#[derive(Debug)]
pub(crate) struct Events {
    start: Tick,
    entries: VecDeque<Entry>,
    most: usize,
    dropped: usize,
    is_closed: bool,
}

impl Events {
    /// Creates an empty list that keeps the last `most` events of a run that begins at `start`.
    pub(crate) fn new(start: Tick, most: usize) -> Events {
        Events {
            start,
            entries: VecDeque::new(),
            most,
            dropped: 0,
            is_closed: false,
        }
    }

    /// Returns when the run began.
    pub(crate) fn start(&self) -> Tick {
        self.start
    }

    pub(crate) fn push(&mut self, thread: u32, event: Event) {
        if self.is_closed {
            return;
        }
        if self.entries.len() == self.most {
            self.entries.pop_front();
            self.dropped += 1;
        }
        self.entries.push_back(Entry {
            moment: clock::now(),
            thread,
            event,
        });
    }

    /// Notes no further event.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Returns the last `count` events as text, one a line.
    pub(crate) fn last(&self, count: usize) -> String {
        let skipped = self.entries.len().saturating_sub(count);
        let mut text = String::new();
        if skipped + self.dropped > 0 {
            // Writing to a `String` cannot fail.
            let _written = writeln!(text, "… {} events before", skipped + self.dropped);
        }
        for entry in self.entries.iter().skip(skipped) {
            let moment = Duration::from_nanos(entry.moment.saturating_sub(self.start));
            let _written = write!(text, "{moment:?} #{} ", entry.thread);
            let _written = entry.event.write(&mut text, entry.moment);
            text.push('\n');
        }
        text
    }
}

/// Writes " at " and the place.
fn write_at(f: &mut impl fmt::Write, at: Option<&'static Location<'static>>) -> fmt::Result {
    match at {
        Some(at) => write!(f, " at {at}"),
        None => Ok(()),
    }
}

impl Event {
    fn write(&self, f: &mut String, moment: Tick) -> fmt::Result {
        match self {
            Event::Starts { name, at } => {
                f.write_str("starts")?;
                if let Some(name) = name {
                    write!(f, " as {name:?}")?;
                }
                if let Some(at) = at {
                    write!(f, ", spawned at {at}")?;
                }
                Ok(())
            }
            Event::Interrupted { at } => write!(f, "is interrupted at {at}"),
            Event::Yields { at } => {
                f.write_str("yields")?;
                write_at(f, *at)
            }
            Event::Waits { reason, at, until } => {
                write!(f, "waits in {reason}")?;
                write_at(f, *at)?;
                match *until {
                    NEVER => Ok(()),
                    until => {
                        let limit = Duration::from_nanos(until.saturating_sub(moment));
                        write!(f, ", for at most {limit:?}")
                    }
                }
            }
            Event::TimesOut => f.write_str("has waited until its deadline"),
            Event::Ends => f.write_str("ends"),
            Event::Panics { text } => write!(f, "panics: {text}"),
            Event::Says { text } => write!(f, "says: {text}"),
        }
    }
}
