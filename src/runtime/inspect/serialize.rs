//! `Serialize` for dumps, metrics and reports, behind the feature `serde`.
//!
//! Fields keep their names. A place in the source is a text, `src/main.rs:3:5`; a duration is a
//! number of seconds; the number of a thread is a number; an enum is a text in snake case, and one
//! with data is an object with the text in `kind`.

use std::panic::Location;
use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::channel_words::ChannelState;
use super::dump::{Dump, WorkerInfo};
use super::registry::{ThreadInfo, ThreadState, WaitsFor};
use super::report::{Report, ReportKind};
use crate::green::thread::ThreadId;
use crate::runtime::metrics::{Bucket, Histogram, Metrics, StackMetrics, WorkerMetrics};

/// A place in the source as a text.
struct SourceLocation(&'static Location<'static>);

impl Serialize for SourceLocation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

fn source_location(at: Option<&'static Location<'static>>) -> Option<SourceLocation> {
    at.map(SourceLocation)
}

/// Implements `Serialize` for a struct: the fields of an object, by name, and their values.
macro_rules! object {
    ($type:ident($this:ident) { $($name:ident: $value:expr,)* }) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $this = self;
                let count = [$(stringify!($name)),*].len();
                let mut object = serializer.serialize_struct(stringify!($type), count)?;
                $(object.serialize_field(stringify!($name), &$value)?;)*
                object.end()
            }
        }
    };
}

object!(Dump(dump) {
    workers: dump.workers,
    threads: dump.threads,
});

object!(WorkerInfo(worker) {
    runtime: worker.runtime,
    index: worker.index,
    os_thread: worker.os_thread,
    runs: worker.runs,
    since: seconds(worker.since),
    sleeps: worker.sleeps,
    live: worker.live,
    ready: worker.ready,
    unstarted: worker.unstarted,
    os_state: worker.os_state,
});

object!(ThreadInfo(thread) {
    id: thread.id,
    name: thread.name,
    spawned_at: source_location(thread.spawned_at),
    state: thread.state,
    waits_in: thread.waits_in,
    waits_at: source_location(thread.waits_at),
    since: seconds(thread.since),
    limit: thread.limit.map(seconds),
    waits_for: thread.waits_for,
    stack_used: thread.stack_used,
    stack_size: thread.stack_size,
    worker: thread.worker,
});

object!(ChannelState(state) {
    len: state.len,
    capacity: state.capacity,
    senders_waiting: state.senders_waiting,
    receivers_waiting: state.receivers_waiting,
});

object!(Report(report) {
    kind: report.kind(),
    text: report.to_string(),
});

object!(Metrics(metrics) {
    workers: metrics.workers,
    live: metrics.live,
    spawned: metrics.spawned,
    ended: metrics.ended,
    live_per_worker: metrics.live_per_worker,
    per_worker: metrics.per_worker,
    blocking_threads: metrics.blocking_threads,
    blocking_idle: metrics.blocking_idle,
    blocking_queued: metrics.blocking_queued,
    blocking_calls: metrics.blocking_calls,
    looking_up: metrics.looking_up,
    look_ups: metrics.look_ups,
    stacks: metrics.stacks,
});

object!(WorkerMetrics(worker) {
    index: worker.index,
    steps: worker.steps,
    busy: seconds(worker.busy),
    idle: seconds(worker.idle),
    live: worker.live,
    unstarted: worker.unstarted,
    ready: worker.ready,
    timers: worker.timers,
    timers_expired: worker.timers_expired,
    wakeups_sent: worker.wakeups_sent,
    wakeups_received: worker.wakeups_received,
    parks: worker.parks,
    polls: worker.polls,
    steals: worker.steals,
    scheduling_latency: worker.scheduling_latency,
});

object!(StackMetrics(stacks) {
    count: stacks.count,
    reserved: stacks.reserved,
    resident: stacks.resident,
    deepest: stacks.deepest,
});

object!(Histogram(histogram) {
    buckets: histogram.buckets,
    count: histogram.count,
    sum: seconds(histogram.sum),
});

object!(Bucket(bucket) {
    up_to: bucket.up_to.map(seconds),
    count: bucket.count,
});

impl Serialize for ThreadId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.get())
    }
}

impl Serialize for ThreadState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            ThreadState::Unstarted => "unstarted",
            ThreadState::Ready => "ready",
            ThreadState::Running => "running",
            ThreadState::Waiting => "waiting",
        })
    }
}

impl Serialize for ReportKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            ReportKind::Stuck => "stuck",
            ReportKind::PoolJam => "pool_jam",
            ReportKind::Deadlock => "deadlock",
            ReportKind::Leftover => "leftover",
            ReportKind::DeepStack => "deep_stack",
            ReportKind::OutOfDescriptors => "out_of_descriptors",
        })
    }
}

impl Serialize for WaitsFor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const NAME: &str = "WaitsFor";
        let begin = |kind: &'static str, fields: usize| -> Result<S::SerializeStruct, S::Error> {
            let mut object = serializer.serialize_struct(NAME, fields + 1)?;
            object.serialize_field("kind", kind)?;
            Ok(object)
        };
        let object = match self {
            WaitsFor::LockOf { id, name } => {
                let mut object = begin("lock_of", 2)?;
                object.serialize_field("id", id)?;
                object.serialize_field("name", name)?;
                object
            }
            WaitsFor::LockOfOsThread => begin("lock_of_os_thread", 0)?,
            WaitsFor::LockOfReaders { last } => {
                let mut object = begin("lock_of_readers", 1)?;
                object.serialize_field("last", last)?;
                object
            }
            WaitsFor::EndOf { id, name } => {
                let mut object = begin("end_of", 2)?;
                object.serialize_field("id", id)?;
                object.serialize_field("name", name)?;
                object
            }
            WaitsFor::Descriptor { fd, text } => {
                let mut object = begin("descriptor", 2)?;
                object.serialize_field("fd", fd)?;
                object.serialize_field("text", text)?;
                object
            }
            WaitsFor::Channel { address, state } => {
                let mut object = begin("channel", 2)?;
                object.serialize_field("address", address)?;
                object.serialize_field("state", state)?;
                object
            }
            WaitsFor::QueuedCall { ahead } => {
                let mut object = begin("queued_call", 1)?;
                object.serialize_field("ahead", ahead)?;
                object
            }
            WaitsFor::RunningCall {
                os_thread,
                os_state,
            } => {
                let mut object = begin("running_call", 2)?;
                object.serialize_field("os_thread", os_thread)?;
                object.serialize_field("os_state", os_state)?;
                object
            }
        };
        object.end()
    }
}
