//! Writes a trace in the JSON format of Chrome's trace events, which Perfetto can open too.
//!
//! Each OS thread is a track; a step of a green thread is a slice on the track of its worker
//! (`"ph":"X"`). A wake-up is a slice of one nanosecond within the step that made it, and an arrow
//! (`"ph":"s"` and `"f"`) leads from there to the next step of the thread that was woken.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Write};
use std::panic::Location;

use super::links::{Link, links};
use crate::green::Reason;
use crate::sys::clock::Tick;
use crate::timeline::{Kind, Record, TraceData, flag, name_part};

/// The length of a slice that shows an event without a duration, in nanoseconds.
const INSTANT_SLICE_NS: Tick = 1;

/// Adds the names in the records to `names`, and returns it.
pub(super) fn all_names(data: &TraceData, mut names: HashMap<u64, String>) -> HashMap<u64, String> {
    let mut parts: Vec<_> = data
        .records
        .iter()
        .filter(|record| record.kind == Kind::Name && !names.contains_key(&record.thread))
        .map(|record| (record.thread, record.flags, name_part(record)))
        .collect();
    // Sorted, because a name may have been recorded twice.
    parts.sort_unstable();
    parts.dedup();
    let mut bytes: HashMap<u64, Vec<u8>> = HashMap::new();
    for (thread, _, (part, count)) in &parts {
        let name = bytes.entry(*thread).or_default();
        name.extend(&part[..*count]);
    }
    for (thread, name) in bytes {
        names.insert(thread, String::from_utf8_lossy(&name).into_owned());
    }
    names
}

/// Writes `data`. Returns the number of records that it has written.
pub(super) fn write(
    out: &mut dyn Write,
    mut data: TraceData,
    names: HashMap<u64, String>,
) -> io::Result<usize> {
    let names = all_names(&data, names);
    data.records.retain(|record| record.kind != Kind::Name);
    for record in &mut data.records {
        record.begin = data.scale.tick(record.begin);
        if record.kind != Kind::Wake {
            record.end = data.scale.tick(record.end).max(record.begin);
        }
    }
    // By time within each track, and a slice before the slices within it.
    data.records
        .sort_by_key(|record| (record.track, record.begin, u64::MAX - end(record)));
    let page = Page {
        links: links(&data.records),
        names,
        pid: std::process::id(),
        data: &data,
    };
    page.write(out)?;
    Ok(data.records.len())
}

/// Returns the time at which the slice for the record ends.
fn end(record: &Record) -> Tick {
    match record.kind {
        Kind::Wake | Kind::Spawn => record.begin + INSTANT_SLICE_NS,
        _ => record.end,
    }
}

struct Page<'a> {
    data: &'a TraceData,
    links: Vec<Link>,
    names: HashMap<u64, String>,
    pid: u32,
}

impl Page<'_> {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{{\"displayTimeUnit\":\"ns\",")?;
        let lost = self.data.lost;
        writeln!(
            out,
            "\"otherData\":{{\"recorded by\":\"rustlet\",\"lost records\":\"{lost}\"}},"
        )?;
        writeln!(out, "\"traceEvents\":[")?;
        self.write_tracks(out)?;
        for (index, record) in self.data.records.iter().enumerate() {
            self.write_record(out, record, self.links[index])?;
        }
        self.write_arrows(out)?;
        // JSON allows no comma after the last event.
        writeln!(
            out,
            "{{\"ph\":\"M\",\"pid\":{},\"name\":\"process_labels\",\"args\":{{\"labels\":\"{lost} records lost\"}}}}",
            self.pid
        )?;
        writeln!(out, "]}}")
    }

    /// Writes the names of the process and of its OS threads, workers first.
    fn write_tracks(&self, out: &mut dyn Write) -> io::Result<()> {
        let pid = self.pid;
        writeln!(
            out,
            "{{\"ph\":\"M\",\"pid\":{pid},\"name\":\"process_name\",\"args\":{{\"name\":\"rustlet\"}}}},"
        )?;
        for (index, track) in self.data.tracks.iter().enumerate() {
            let tid = track.os_thread;
            let name = text(&track.name);
            let place = if track.is_worker {
                index
            } else {
                index + 10_000
            };
            writeln!(
                out,
                "{{\"ph\":\"M\",\"pid\":{pid},\"tid\":{tid},\"name\":\"thread_name\",\"args\":{{\"name\":{name}}}}},"
            )?;
            writeln!(
                out,
                "{{\"ph\":\"M\",\"pid\":{pid},\"tid\":{tid},\"name\":\"thread_sort_index\",\"args\":{{\"sort_index\":{place}}}}},"
            )?;
        }
        Ok(())
    }

    fn write_record(&self, out: &mut dyn Write, record: &Record, link: Link) -> io::Result<()> {
        let thread = record.thread;
        let mut args = Args::new();
        let (category, name) = match record.kind {
            Kind::Step => {
                self.describe_step(&mut args, record, link);
                ("thread", self.name(thread).into_owned())
            }
            Kind::Wake => {
                let waker = self.waker(record);
                args.number("thread", thread).text("by", &waker);
                if record.other != 0 {
                    args.number("waker", record.other);
                }
                args.text("waited_in", Reason::from_u8(record.reason).text());
                let name = self.name(thread);
                let name = match record.other {
                    0 => format!("{waker}: wake {name}"),
                    _ => format!("wake {name}"),
                };
                ("wake", name)
            }
            Kind::Spawn => {
                args.number("thread", thread).place("at", record.at.get());
                if record.other != 0 {
                    args.number("spawner", record.other);
                }
                ("spawn", format!("spawn {}", self.name(thread)))
            }
            Kind::Sleep => ("worker", "sleep".to_owned()),
            Kind::Poll => ("worker", "poll".to_owned()),
            Kind::Trim => ("worker", "trim stacks".to_owned()),
            Kind::Call => {
                args.number("thread", thread);
                ("pool", format!("call for {}", self.name(thread)))
            }
            Kind::Name => return Ok(()),
        };
        let head = self.head(record, "X", record.begin);
        let name = text(&name);
        let length = micros(end(record) - record.begin);
        writeln!(
            out,
            "{{{head},\"dur\":{length},\"cat\":\"{category}\",\"name\":{name},\"args\":{{{}}}}},",
            args.0
        )
    }

    fn describe_step(&self, args: &mut Args, record: &Record, link: Link) {
        args.number("thread", record.thread);
        let reason = Reason::from_u8(record.reason);
        if record.flags & flag::FIRST != 0 {
            args.text("began", "here");
        }
        if let Some(since) = link.ready_since {
            args.micros("ready_for_us", record.begin.saturating_sub(since));
        }
        if let Some(cause) = link.cause.map(|cause| &self.data.records[cause]) {
            match cause.kind {
                Kind::Spawn => args.place("spawned_at", cause.at.get()),
                _ => args.text("woken_by", &self.waker(cause)),
            };
        }
        if record.flags & flag::OPEN != 0 {
            args.text("then", "still runs");
        } else if record.flags & flag::LAST != 0 {
            args.text("then", "ends");
        } else {
            let verb = if reason == Reason::Yield {
                ""
            } else {
                "waits in "
            };
            args.text("then", &format!("{verb}{}", reason.text()));
            args.place("at", record.at.get());
            if let Some(object) = self.object(reason, record.other) {
                args.text("for", &object);
            }
        }
    }

    /// Returns a name for the cause of a wake-up.
    fn waker(&self, wake: &Record) -> Cow<'_, str> {
        let reason = Reason::from_u8(wake.reason);
        if wake.other != 0 {
            return self.name(wake.other);
        }
        if wake.flags & flag::TIMER != 0 {
            return "timer".into();
        }
        if wake.flags & flag::REMOTE != 0 {
            return "another OS thread".into();
        }
        match reason {
            Reason::Read | Reason::Write | Reason::Accept | Reason::Connect => {
                let object = self.object(reason, wake.end).unwrap_or_default();
                format!("I/O {object}").trim_end().to_owned().into()
            }
            Reason::Readiness => "I/O".into(),
            _ => "worker".into(),
        }
    }

    /// Describes the object of a wait.
    fn object(&self, reason: Reason, subject: u64) -> Option<String> {
        match (reason, subject) {
            (_, 0) => None,
            (Reason::Read | Reason::Write | Reason::Accept | Reason::Connect, _) => {
                Some(format!("descriptor {}", subject - 1))
            }
            (Reason::Join, thread) => Some(self.name(thread).into_owned()),
            (Reason::Mutex | Reason::RwLock | Reason::Send | Reason::Receive, address) => {
                Some(format!("{address:#x}"))
            }
            _ => None,
        }
    }

    fn name(&self, thread: u64) -> Cow<'_, str> {
        match self.names.get(&thread) {
            Some(name) => name.as_str().into(),
            None => format!("thread {thread}").into(),
        }
    }

    /// Writes an arrow from each cause to its step.
    fn write_arrows(&self, out: &mut dyn Write) -> io::Result<()> {
        for (number, link) in self.links.iter().enumerate() {
            let Some(cause) = link.cause else { continue };
            let cause = &self.data.records[cause];
            let step = &self.data.records[number];
            let category = if cause.kind == Kind::Spawn {
                "spawn"
            } else {
                "wake"
            };
            let from = self.head(cause, "s", cause.begin);
            let to = self.head(step, "f", step.begin);
            let both = format!("\"cat\":\"{category}\",\"name\":\"{category}\",\"id\":{number}");
            writeln!(out, "{{{from},{both}}},\n{{{to},\"bp\":\"e\",{both}}},")?;
        }
        Ok(())
    }

    fn head(&self, record: &Record, kind: &str, at: Tick) -> String {
        let tracks = &self.data.tracks;
        let tid = tracks
            .get(record.track as usize)
            .map_or(0, |track| track.os_thread);
        let pid = self.pid;
        format!(
            "\"ph\":\"{kind}\",\"pid\":{pid},\"tid\":{tid},\"ts\":{}",
            micros(at)
        )
    }
}

/// Formats nanoseconds as microseconds, the unit of the format.
fn micros(nanos: Tick) -> String {
    format!("{}.{:03}", nanos / 1000, nanos % 1000)
}

/// The arguments of an event, as JSON.
struct Args(String);

impl Args {
    fn new() -> Args {
        Args(String::new())
    }

    fn field(&mut self, name: &str, value: &str) -> &mut Args {
        let comma = if self.0.is_empty() { "" } else { "," };
        self.0 += &format!("{comma}\"{name}\":{value}");
        self
    }

    fn number(&mut self, name: &str, value: u64) -> &mut Args {
        self.field(name, &value.to_string())
    }

    fn micros(&mut self, name: &str, nanos: Tick) -> &mut Args {
        self.field(name, &micros(nanos))
    }

    fn text(&mut self, name: &str, value: &str) -> &mut Args {
        self.field(name, &text(value))
    }

    fn place(&mut self, name: &str, place: Option<&Location<'_>>) -> &mut Args {
        match place {
            Some(place) => self.text(name, &place.to_string()),
            None => self,
        }
    }
}

/// Formats a text as a JSON string.
fn text(value: &str) -> String {
    let mut json = String::with_capacity(value.len() + 2);
    json.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c.is_control() => json += &format!("\\u{:04x}", u32::from(c)),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_times_are_valid_json() {
        assert_eq!(text("a\"b\\c\nd\u{7f}é"), r#""a\"b\\c\u000ad\u007fé""#);
        assert_eq!(micros(0), "0.000");
        assert_eq!(micros(1_234_567), "1234.567");
    }
}
