#![allow(
    unsafe_code,
    reason = "a thread-local pointer to the worker, and an intrusive queue"
)]
//! The part of a worker that green threads see: the running thread, the run queue, the remote
//! queue.
//!
//! H1. `CURRENT_CONTEXT` of an OS thread points to a `WorkerContext` exactly while that thread is
//!     inside [`WorkerContext::enter`]; the `WorkerContext` outlives that call. A started green
//!     thread never leaves its OS thread, so a reference got on it stays good across suspensions.
//! H2. The run queue links only green threads in state `Ready` of this worker, each once; the
//!     scheduler's reference keeps each alive.
//! H3. `current` is set exactly while a green thread runs, by the worker, to that thread.
//! H4. `ambient` lists what the running green thread has entered, innermost first. Each entry is in
//!     the frame of a [`WorkerContext::with_ambient`] that has not returned. The list is set aside
//!     while the thread is suspended, so it is empty while no green thread runs.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::coop;
use super::remote::Remote;
use super::run_queue::RunQueue;
use crate::green::cancel::scopes::not_nested;
use crate::green::fiber::panic_count;
use crate::green::fiber::panic_count::SetAside;
use crate::green::ids::{Ids, os_thread};
use crate::green::{State, ThreadInner, ThreadRef};
use crate::sys::clock::Tick;
use crate::timeline::{self, flag};

thread_local! {
    static CURRENT_CONTEXT: Cell<*const WorkerContext> = const { Cell::new(ptr::null()) };
}

/// Bits of an address in user space; above them is the number of a worker (see
/// [`WorkerContext::owner_tag`]).
pub(crate) const ADDRESS_BITS: u32 = 48;

/// Returns a number for a worker, other than 0. After 65,535 workers the numbers repeat, which
/// costs a lock's waiter a needless check.
fn next_tag() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed) % 0xffff + 1;
    number << ADDRESS_BITS
}

/// State of the OS thread that one green thread enters for a while, such as the context of another
/// runtime. It must not be seen by other green threads, so it is left when that thread is suspended
/// and entered again when it continues.
pub(crate) trait Ambient {
    /// Enters it. Called alternately with `leave`.
    fn enter(&self);
    /// Leaves it.
    fn leave(&self);
}

/// An entry of the list of H4.
struct Entered<'a> {
    ambient: &'a dyn Ambient,
    outer: *const Entered<'static>,
}

/// Enters what is listed, outermost first.
fn enter_all(innermost: *const Entered<'static>) {
    // SAFETY: H4.
    if let Some(entered) = unsafe { innermost.as_ref() } {
        enter_all(entered.outer);
        entered.ambient.enter();
    }
}

/// A worker, as its green threads see it.
// Its address is a worker's name in the words of locks, beside four flags.
#[repr(align(16))]
pub(crate) struct WorkerContext {
    current: Cell<*const ThreadInner>,
    queue: RunQueue,
    /// The remaining budget, while the context is not entered.
    budget: Cell<i32>,
    /// How often the budget was used up by operations that may wait (of channels, sockets).
    pub(crate) exchanges: Cell<u32>,
    pub(crate) remote: &'static Remote,
    /// `remote`, or another address while a trace is recorded: see
    /// [`WorkerContext::wakes_directly`].
    direct: Cell<*const Remote>,
    /// The time when the worker last read the clock.
    pub(crate) now: Cell<Tick>,
    pub(crate) spare: crate::green::block::slab::Cache,
    pub(crate) ids: Ids,
    /// Pointers for layer 3: the worker itself (`owner`), and the part of it that code on the
    /// worker may query (`context`).
    pub(crate) owner: Cell<*const ()>,
    pub(crate) context: Cell<*const ()>,
    /// How many of the worker's threads wait for a lock.
    lock_waits: Cell<usize>,
    /// Set when a thread of the worker has begun a wait that may close a cycle of waits.
    pub(crate) suspicion: Cell<bool>,
    /// H4.
    ambient: Cell<*const Entered<'static>>,
    /// The number of this worker in the words of locks, in the bits above those of an address.
    tag: usize,
    /// How many wake-ups code on this worker has sent to other workers.
    wakeups_sent: Cell<usize>,
    /// How many wake-ups have arrived from other OS threads.
    wakeups_received: Cell<usize>,
    /// The ready thread whose scheduling latency is being measured, if there is one.
    sample: Cell<Option<Sample>>,
}

/// A ready thread whose scheduling latency is being measured.
#[derive(Clone, Copy)]
struct Sample {
    /// When it became ready.
    since: Tick,
    /// How many threads will have been popped from the run queue when it is the next one.
    position: usize,
}

/// Of the wake-ups that a worker sends, one in this many is timed.
const WAKEUPS_PER_SAMPLE: usize = 16;

impl WorkerContext {
    pub(crate) fn new(remote: &'static Remote) -> WorkerContext {
        WorkerContext {
            current: Cell::new(ptr::null()),
            queue: RunQueue::new(),
            budget: Cell::new(coop::COOP_BUDGET),
            exchanges: Cell::new(0),
            remote,
            direct: Cell::new(remote),
            now: Cell::new(0),
            spare: crate::green::block::slab::Cache::new(),
            ids: Ids::new(),
            owner: Cell::new(ptr::null()),
            context: Cell::new(ptr::null()),
            lock_waits: Cell::new(0),
            suspicion: Cell::new(false),
            ambient: Cell::new(ptr::null()),
            tag: next_tag(),
            wakeups_sent: Cell::new(0),
            wakeups_received: Cell::new(0),
            sample: Cell::new(None),
        }
    }

    /// Identifies the caller's worker and thread in one word: the worker's number in the upper 16
    /// bits, and below them the address of the control block, 0 if no green thread runs. Two
    /// threads with the same worker never run at the same time.
    #[inline(always)]
    pub(crate) fn owner_tag(&self) -> usize {
        self.tag | self.current.get().addr()
    }

    /// Makes this the calling OS thread's context while `f` runs.
    ///
    /// If that OS thread unwinds (a worker that is stepped by a destructor), its panics are set
    /// aside meanwhile: they do not belong to the green threads.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Reset<'a> {
            cx: &'a WorkerContext,
            outer: *const WorkerContext,
            outer_budget: i32,
            aside: Option<SetAside>,
        }
        impl Drop for Reset<'_> {
            fn drop(&mut self) {
                CURRENT_CONTEXT.set(self.outer);
                self.cx.budget.set(coop::exchange(self.outer_budget));
                if let Some(aside) = self.aside.take() {
                    panic_count::put_back(aside);
                }
            }
        }
        let aside = std::thread::panicking().then(panic_count::set_aside);
        let outer_budget = coop::exchange(self.budget.get());
        let _reset = Reset {
            cx: self,
            outer: CURRENT_CONTEXT.replace(self),
            outer_budget,
            aside,
        };
        f()
    }

    /// Returns the context of the calling green thread; `None` on an OS thread and in the worker's
    /// own code.
    #[inline(always)]
    pub(crate) fn get() -> Option<&'static WorkerContext> {
        WorkerContext::of_thread().filter(|cx| !cx.current.get().is_null())
    }

    /// Returns the context of the calling OS thread, whether a green thread runs or the worker's
    /// own code.
    #[inline(always)]
    pub(crate) fn of_thread() -> Option<&'static WorkerContext> {
        let cx = CURRENT_CONTEXT.get();
        // SAFETY: H1.
        unsafe { cx.as_ref() }
    }

    /// Returns the running green thread. Only called by green threads.
    #[inline(always)]
    pub(crate) fn current(&self) -> &ThreadInner {
        debug_assert!(!self.current.get().is_null());
        // SAFETY: H3.
        unsafe { &*self.current.get() }
    }

    /// Returns the number of the running green thread; 0 if none runs.
    pub(crate) fn current_id(&self) -> u64 {
        // SAFETY: H3.
        unsafe { self.current.get().as_ref() }.map_or(0, |green| green.id().get())
    }

    /// Calls `f` within `ambient`, which is left while `f` is suspended.
    #[cfg_attr(
        not(feature = "tokio"),
        allow(dead_code, reason = "what only tokio's futures enter")
    )]
    pub(crate) fn with_ambient<R>(&self, ambient: &dyn Ambient, f: impl FnOnce() -> R) -> R {
        struct Leave<'a> {
            cx: &'a WorkerContext,
            entered: &'a Entered<'a>,
        }
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                let innermost = self.cx.ambient.replace(self.entered.outer);
                if innermost != ptr::from_ref(self.entered).cast() {
                    // A coroutine of another crate was suspended in `f`.
                    not_nested();
                }
                if self.entered.outer.is_null() {
                    self.cx.current().note_ambient(false);
                }
                self.entered.ambient.leave();
            }
        }
        let entered = Entered {
            ambient,
            outer: self.ambient.get(),
        };
        ambient.enter();
        self.current().note_ambient(true);
        self.ambient.set(ptr::from_ref(&entered).cast());
        let _leave = Leave {
            cx: self,
            entered: &entered,
        };
        f()
    }

    /// Returns whether the running thread has entered something that it must leave before it is
    /// suspended. Then its `needs_attention` is true.
    pub(crate) fn has_ambient(&self) -> bool {
        !self.ambient.get().is_null()
    }

    /// Calls `f`, which suspends the running thread, without what the thread has entered: leaves it
    /// before, and enters it again when the thread continues.
    pub(crate) fn without_ambient<R>(&self, f: impl FnOnce() -> R) -> R {
        let innermost = self.ambient.replace(ptr::null());
        let mut next = innermost;
        // SAFETY: H4.
        while let Some(entered) = unsafe { next.as_ref() } {
            entered.ambient.leave();
            next = entered.outer;
        }
        let result = f();
        enter_all(innermost);
        self.ambient.set(innermost);
        result
    }

    /// Returns the running green thread as an address to compare with; null if none runs.
    pub(crate) fn current_ptr(&self) -> *const ThreadInner {
        self.current.get()
    }

    /// Sets the green thread that is about to run, or null. Called by the worker.
    #[inline(always)]
    pub(crate) fn set_current(&self, green: *const ThreadInner) {
        self.current.set(green);
    }

    /// Puts a thread of this worker at the end of the run queue.
    #[inline(always)]
    pub(crate) fn make_ready(&self, green: &ThreadInner) {
        green.set_state(State::Ready);
        self.queue.push(green);
    }

    /// Takes the thread that has been ready longest.
    #[inline(always)]
    pub(crate) fn pop_ready(&self) -> Option<&'static ThreadInner> {
        self.queue.pop()
    }

    /// Returns the time for a record: the last reading of the clock, advanced a little at each
    /// call, so that two records differ.
    #[inline(always)]
    pub(crate) fn moment(&self) -> Tick {
        let moment = self.now.get() + 1;
        self.now.set(moment);
        moment
    }

    /// Calls `f`, which waits for a lock and does not unwind.
    #[inline]
    pub(crate) fn waiting_for_lock<R>(f: impl FnOnce() -> R) -> R {
        let Some(cx) = WorkerContext::get() else {
            return f();
        };
        cx.lock_waits.set(cx.lock_waits.get() + 1);
        cx.suspicion.set(true);
        let result = f();
        cx.lock_waits.set(cx.lock_waits.get() - 1);
        result
    }

    /// Returns whether threads of this worker wait for locks.
    pub(crate) fn has_lock_waits(&self) -> bool {
        self.lock_waits.get() > 0
    }

    /// Returns the number of ready threads.
    #[inline(always)]
    pub(crate) fn ready(&self) -> usize {
        self.queue.len()
    }

    /// Frees memory that a burst of threads has left behind. Returns true if a later call may free
    /// more.
    pub(crate) fn trim(&self) -> bool {
        self.queue.shrink();
        self.spare.trim()
    }

    /// Returns whether the threads of `remote` may be woken directly: it is this worker's, and no
    /// trace is recorded.
    #[inline(always)]
    pub(crate) fn wakes_directly(&self, remote: *const Remote) -> bool {
        ptr::eq(self.direct.get(), remote)
    }

    /// Makes the wake-ups of this worker's threads go through [`WorkerContext::wake_traced`].
    pub(crate) fn trace(&self) {
        // Not null, which is the `remote` of a thread that has not started.
        self.direct.set(ptr::dangling());
    }

    /// Wakes a thread of this worker, and records what woke it if a trace is recorded.
    #[cold]
    pub(crate) fn wake_traced(&self, green: &ThreadInner) {
        if !timeline::is_on() {
            self.direct.set(self.remote);
        } else if green.state() == State::Parked {
            let timer = if green.elapsed.get() { flag::TIMER } else { 0 };
            green.record_wake(self.current_id(), timer);
        }
        self.wake(green);
    }

    /// Wakes a thread of this worker.
    #[inline]
    pub(crate) fn wake(&self, green: &ThreadInner) {
        match green.state() {
            State::Parked => self.make_ready(green),
            State::Running | State::Ready => green.pending.set(true),
            State::New | State::Done => {}
        }
    }

    /// Delivers the wake-ups that have arrived from other OS threads.
    pub(crate) fn drain_remote(&self) {
        if self.remote.queue.is_empty() {
            return;
        }
        let posted_at = self.remote.take_posted_at();
        let before = self.queue.len();
        let mut received = 0;
        for wake_node in self.remote.queue.take() {
            let green: ThreadRef = ThreadInner::from_wake_node(wake_node);
            // Skips a wake-up for a thread that has ended in the meantime, or for an earlier user
            // of this `Remote`.
            if ptr::eq(green.remote(), self.remote) {
                self.wake(&green);
                received += 1;
            }
        }
        self.wakeups_received
            .set(self.wakeups_received.get() + received);
        if posted_at != 0 && self.queue.len() > before {
            self.sample(posted_at, before);
        }
    }

    // --- for metrics ---

    /// Counts a wake-up that code on this worker sends to another worker. Returns whether the
    /// wake-up is timed.
    pub(crate) fn count_wakeup(&self) -> bool {
        let sent = self.wakeups_sent.get();
        self.wakeups_sent.set(sent + 1);
        sent.is_multiple_of(WAKEUPS_PER_SAMPLE)
    }

    /// Returns how many wake-ups were sent to other workers, and how many have arrived from other
    /// OS threads.
    pub(crate) fn wakeups(&self) -> (usize, usize) {
        (self.wakeups_sent.get(), self.wakeups_received.get())
    }

    /// Returns how many times a thread has been taken out of the run queue. It wraps.
    #[inline(always)]
    pub(crate) fn popped(&self) -> usize {
        self.queue.popped()
    }

    /// Begins to measure the scheduling latency of the thread that became ready last, just now,
    /// unless another one is being measured.
    pub(crate) fn sample_last(&self, now: Tick) {
        if let Some(index) = self.queue.len().checked_sub(1) {
            self.sample(now, index);
        }
    }

    /// Begins to measure the latency of the thread at `index` in the run queue, ready since then.
    fn sample(&self, since: Tick, index: usize) {
        if self.sample.get().is_none() {
            let position = self.queue.popped().wrapping_add(index);
            self.sample.set(Some(Sample { since, position }));
        }
    }

    /// Returns how many threads run before the one whose scheduling latency is measured; `None` if
    /// there is no such thread.
    #[inline(always)]
    pub(crate) fn before_sample(&self) -> Option<usize> {
        let sample = self.sample.get()?;
        Some(sample.position.wrapping_sub(self.queue.popped()))
    }

    /// Ends the measurement. Returns since when the thread has been ready, if it is the next to
    /// run.
    pub(crate) fn end_sample(&self) -> Option<Tick> {
        let sample = self.sample.take()?;
        (sample.position == self.queue.popped()).then_some(sample.since)
    }
}

/// The runtimes that are stepped by their users, by group, and the OS threads that step them.
static STEPPED: std::sync::Mutex<Vec<(usize, NonZeroU64)>> = std::sync::Mutex::new(Vec::new());

/// Registers the calling OS thread as the one that steps the threads of the runtime `group`.
pub(crate) fn note_stepped_here(group: usize) {
    crate::shim::lock(&STEPPED).push((group, os_thread()));
}

/// Returns whether a worker runs, or has green threads, on the calling OS thread.
pub(crate) fn has_worker() -> bool {
    let here = os_thread();
    WorkerContext::of_thread().is_some()
        || crate::shim::lock(&STEPPED)
            .iter()
            .any(|&(_, at)| at == here)
}

/// Returns whether an OS thread steps the threads of some runtime by hand.
pub(crate) fn any_stepped() -> bool {
    !crate::shim::lock(&STEPPED).is_empty()
}

/// Removes the registration of the runtime `group`.
pub(crate) fn forget_stepped(group: usize) {
    crate::shim::lock(&STEPPED).retain(|&(stepped, _)| stepped != group);
}

/// Returns whether the calling OS thread steps the threads of the runtime `group`.
pub(crate) fn is_stepped_here(group: usize) -> bool {
    crate::shim::lock(&STEPPED).contains(&(group, os_thread()))
}
