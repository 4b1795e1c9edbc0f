//! The text form of [`Metrics`]: OpenMetrics 1.0, which Prometheus scrapes.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use super::{Metrics, WorkerMetrics};
use crate::runtime::scheduler::shared::stats::BOUNDS;

impl Metrics {
    /// Formats the metrics in the text format of
    /// [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/), which Prometheus
    /// scrapes.
    ///
    /// Every name begins with `rustlet_`. Metrics of a worker have the label `worker`, its index.
    /// Serve the text with the content type
    /// `application/openmetrics-text; version=1.0.0; charset=utf-8`, as the example `httpd` does.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = rustlet::Builder::new().workers(2).build()?;
    /// let text = runtime.metrics().to_openmetrics();
    /// assert!(text.contains("rustlet_workers 2\n"));
    /// assert!(text.contains("rustlet_worker_steps_total{worker=\"1\"} "));
    /// assert!(text.ends_with("# EOF\n"));
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn to_openmetrics(&self) -> String {
        let mut text = Text(String::new());
        self.write_threads(&mut text);
        self.write_workers(&mut text);
        self.write_latency(&mut text);
        self.write_pool(&mut text);
        self.write_stacks(&mut text);
        text.0 + "# EOF\n"
    }

    fn write_threads(&self, text: &mut Text) {
        text.gauge(
            "workers",
            "OS threads that run green threads.",
            self.workers,
        );
        text.gauge(
            "threads_alive",
            "Green threads that have not ended.",
            self.live,
        );
        text.counter(
            "threads_spawned",
            "Green threads that were spawned.",
            self.spawned,
        );
        text.counter(
            "threads_ended",
            "Green threads that have ended.",
            self.ended,
        );
    }

    fn write_workers(&self, text: &mut Text) {
        let mut family = |kind, name: &str, help, value: &dyn Fn(&WorkerMetrics) -> String| {
            text.family(kind, &format!("worker_{name}"), help);
            for worker in &self.per_worker {
                let total = if kind == "counter" { "_total" } else { "" };
                text.line(format_args!(
                    "worker_{name}{total}{{worker=\"{}\"}} {}",
                    worker.index,
                    value(worker)
                ));
            }
        };
        let mut counter = |name, help, value: fn(&WorkerMetrics) -> u64| {
            family("counter", name, help, &|worker| value(worker).to_string());
        };
        counter(
            "steps",
            "Times that a green thread was resumed or started.",
            |w| w.steps,
        );
        counter(
            "wakeups_sent",
            "Wake-ups sent to green threads of other workers.",
            |w| w.wakeups_sent,
        );
        counter(
            "wakeups_received",
            "Wake-ups received from other OS threads.",
            |w| w.wakeups_received,
        );
        counter("parks", "Times that the worker went to sleep.", |w| w.parks);
        counter("polls", "Times that the worker polled for I/O.", |w| {
            w.polls
        });
        counter(
            "steals",
            "Unstarted green threads taken from other workers.",
            |w| w.steals,
        );
        counter("timers_expired", "Timers that have expired.", |w| {
            w.timers_expired
        });
        let mut seconds = |name, help, value: fn(&WorkerMetrics) -> Duration| {
            family("counter", name, help, &|worker| {
                value(worker).as_secs_f64().to_string()
            });
        };
        seconds("busy_seconds", "Time that the worker was awake.", |w| {
            w.busy
        });
        seconds("idle_seconds", "Time that the worker slept.", |w| w.idle);
        let mut gauge = |name, help, value: fn(&WorkerMetrics) -> usize| {
            family("gauge", name, help, &|worker| value(worker).to_string());
        };
        gauge(
            "threads_alive",
            "Green threads that live on the worker.",
            |w| w.live,
        );
        gauge(
            "threads_unstarted",
            "Green threads queued there to start.",
            |w| w.unstarted,
        );
        gauge(
            "threads_ready",
            "Green threads that are ready to run.",
            |w| w.ready,
        );
        gauge("timers", "Timers that have not expired.", |w| w.timers);
    }

    fn write_latency(&self, text: &mut Text) {
        let name = "worker_scheduling_latency_seconds";
        let help = "Time that sampled green threads were ready before they ran.";
        text.family("histogram", name, help);
        for WorkerMetrics {
            index,
            scheduling_latency: latency,
            ..
        } in &self.per_worker
        {
            let mut below = 0;
            let bounds = BOUNDS.iter().map(|&(_, seconds)| seconds).chain(["+Inf"]);
            for (bound, bucket) in bounds.zip(&latency.buckets) {
                below += bucket.count;
                text.line(format_args!(
                    "{name}_bucket{{worker=\"{index}\",le=\"{bound}\"}} {below}"
                ));
            }
            let sum = latency.sum.as_secs_f64();
            text.line(format_args!(
                "{name}_count{{worker=\"{index}\"}} {}",
                latency.count
            ));
            text.line(format_args!("{name}_sum{{worker=\"{index}\"}} {sum}"));
        }
    }

    fn write_pool(&self, text: &mut Text) {
        text.gauge(
            "pool_threads",
            "OS threads for blocking calls.",
            self.blocking_threads,
        );
        text.gauge(
            "pool_idle_threads",
            "Those that wait for a call.",
            self.blocking_idle,
        );
        text.gauge(
            "pool_queued_calls",
            "Blocking calls that wait for a thread.",
            self.blocking_queued,
        );
        text.counter(
            "pool_calls",
            "Calls that were given to the pool.",
            self.blocking_calls,
        );
        text.gauge(
            "name_lookups_running",
            "Name look-ups in progress.",
            self.looking_up,
        );
        text.counter(
            "name_lookups",
            "Name look-ups that were given to the pool.",
            self.look_ups,
        );
    }

    fn write_stacks(&self, text: &mut Text) {
        let stacks = &self.stacks;
        let help = "Stacks of the process in use, or kept for the next green threads.";
        text.gauge("stacks", help, stacks.count);
        let help = "Address space of the stacks of the process.";
        text.gauge("stack_reserved_bytes", help, stacks.reserved);
        let help = "Memory of the stacks of the process.";
        text.gauge("stack_resident_bytes", help, stacks.resident);
        let help = "Most that a green thread of the process has used of its stack.";
        text.gauge("stack_deepest_bytes", help, stacks.deepest);
    }
}

struct Text(String);

impl Text {
    /// Writes the header of a metric family. The unit is taken from the end of its name.
    fn family(&mut self, kind: &str, name: &str, help: &str) {
        self.meta(format_args!("TYPE rustlet_{name} {kind}"));
        for unit in ["seconds", "bytes"] {
            if name.ends_with(unit) {
                self.meta(format_args!("UNIT rustlet_{name} {unit}"));
            }
        }
        self.meta(format_args!("HELP rustlet_{name} {help}"));
    }

    fn meta(&mut self, what: fmt::Arguments<'_>) {
        // Writing to a `String` cannot fail.
        let _written = writeln!(self.0, "# {what}");
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        let _written = writeln!(self.0, "rustlet_{line}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: usize) {
        self.family("gauge", name, help);
        self.line(format_args!("{name} {value}"));
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family("counter", name, help);
        self.line(format_args!("{name}_total {value}"));
    }
}
