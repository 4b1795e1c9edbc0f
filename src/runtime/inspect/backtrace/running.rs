//! Backtraces of green threads that are running, from samples of their workers' OS threads.

use std::sync::atomic::Ordering;

use super::frames::Backtrace;
use super::tracer::Tracer;
use crate::green::fiber::suspended::Suspended;
use crate::green::{ThreadInner, WorkerContext};
use crate::runtime::scheduler::shared;
#[cfg(target_os = "linux")]
use crate::stack;
#[cfg(target_os = "linux")]
use crate::sys::signal::sampling;

/// Returns the backtrace of a thread, if it runs and its worker answers.
pub(in crate::runtime::inspect) fn trace_running(
    tracer: &mut Tracer,
    green: &ThreadInner,
) -> Option<Backtrace> {
    let runtimes = shared::runtimes();
    let runtime = runtimes
        .iter()
        .find(|runtime| runtime.group == green.group())?;
    let worker = runtime.worker_with(green.remote())?;
    let os_thread = runtime.workers[worker].os_thread.load(Ordering::Relaxed);
    let copy = copy(os_thread, green.id().get())?;
    let backtrace = Backtrace::of(tracer.frames_of(&copy));
    (!backtrace.frames().is_empty()).then_some(backtrace)
}

/// Returns the text of the backtrace of a thread that is running, a line for each frame; nothing if
/// its worker does not answer.
pub(in crate::runtime::inspect) fn running_frames(green: &ThreadInner) -> String {
    let tracer = Tracer::new().ok();
    let backtrace = tracer.and_then(|mut tracer| trace_running(&mut tracer, green));
    let frames = backtrace.iter().flat_map(Backtrace::frames);
    frames.map(|frame| format!("\n      {frame}")).collect()
}

/// Copies the stack of an OS thread, if it runs the green thread `id`.
#[cfg(target_os = "linux")]
fn copy(os_thread: i32, id: u64) -> Option<Suspended> {
    if os_thread == 0 {
        return None;
    }
    let sample = sampling::sample(os_thread, WorkerContext::running)?;
    // Between two steps the stack of a worker may be that of its user's event loop.
    let is_on_own_stack = stack::has_address(sample.top, sample.sp);
    (sample.green == id && is_on_own_stack).then(|| {
        let registers = (sample.pc, sample.sp, sample.fp, sample.lr);
        Suspended::interrupted(registers, sample.stack)
    })
}

#[cfg(not(target_os = "linux"))]
fn copy(_: i32, _: u64) -> Option<Suspended> {
    let _unused = (WorkerContext::running, Suspended::interrupted);
    None
}
