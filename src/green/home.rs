#![allow(
    unsafe_code,
    reason = "a thread-local pointer to the worker, and an intrusive queue"
)]
//! The part of a worker that green threads see: who runs, who is ready, where messages go.
//!
//! H1. `HOME` of an OS thread points to a `Home` exactly while that thread is inside [`Home::enter`]; the
//!     `Home` outlives that call. A started green thread never leaves its OS thread, so a reference got
//!     on it stays good across suspensions.
//! H2. The run queue links only green threads in state `Ready` of this home, each once; the scheduler's
//!     reference keeps each alive.
//! H3. `current` is set exactly while a green thread runs, by the worker, to that thread.

use std::cell::Cell;
use std::ptr;

use super::birth::Ids;
use super::mailbox::{Bell, Inbox};
use super::panic_count::{self, SetAside};
use super::queue::RunQueue;
use super::{Green, GreenRef, State};
use crate::sys::clock::Tick;
use crate::sys::event::EventFd;

/// Where messages for a worker go. Process-wide, recycled, never freed: a stale pointer to one is harmless.
#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) inbox: Inbox,
    pub(crate) bell: Bell<EventFd>,
}

impl super::mailbox::Line for EventFd {
    fn signal(&self) {
        EventFd::signal(self);
    }
}

static SPARE: std::sync::Mutex<Vec<&'static Mailbox>> = std::sync::Mutex::new(Vec::new());

impl Mailbox {
    /// One that nobody uses, with a line of its own.
    pub(crate) fn open() -> std::io::Result<&'static Mailbox> {
        let line = EventFd::new()?;
        let spare = crate::shim::lock(&SPARE).pop();
        let mailbox = spare.unwrap_or_else(|| {
            Box::leak(Box::new(Mailbox {
                inbox: Inbox::new(),
                bell: Bell::new(None),
            }))
        });
        mailbox.bell.set_line(Some(line));
        Ok(mailbox)
    }

    /// Gives it back. Messages that come later are dropped by whoever gets it next.
    pub(crate) fn close(&'static self) {
        drop(self.bell.set_line(None));
        self.bell.awake();
        for mail in self.inbox.take() {
            drop(Green::from_mail(mail));
        }
        crate::shim::lock(&SPARE).push(self);
    }
}

#[cold]
#[inline(never)]
fn spent_all(at: &'static std::panic::Location<'static>) {
    super::park::yield_now(at);
}

thread_local! {
    static HOME: Cell<*const Home> = const { Cell::new(ptr::null()) };
}

/// A number that no two OS threads have at the same time; never 0.
pub(crate) fn os_thread() -> usize {
    HOME.with(|home| ptr::from_ref(home).addr())
}

/// Which runtimes, by their group, are stepped by hand, and by which OS threads.
static BY_HAND: std::sync::Mutex<Vec<(usize, usize)>> = std::sync::Mutex::new(Vec::new());

/// The calling OS thread will step the threads of the runtime `group` by hand.
pub(crate) fn step_here(group: usize) {
    crate::shim::lock(&BY_HAND).push((group, os_thread()));
}

/// Whether a worker runs, or has green threads, on the calling OS thread.
pub(crate) fn has_worker() -> bool {
    let here = os_thread();
    Home::of_thread().is_some()
        || crate::shim::lock(&BY_HAND)
            .iter()
            .any(|&(_, at)| at == here)
}

/// Nobody steps them any more.
pub(crate) fn step_no_more(group: usize) {
    crate::shim::lock(&BY_HAND).retain(|&(by_hand, _)| by_hand != group);
}

/// Whether it is the calling OS thread that has to step them.
pub(super) fn is_stepped_here(group: usize) -> bool {
    crate::shim::lock(&BY_HAND).contains(&(group, os_thread()))
}

/// After so many operations that did not have to wait, the others get a turn.
const BUDGET: u32 = 128;

/// A worker, as its green threads see it.
// Its address is a worker's name in the words of locks, beside four flags.
#[repr(align(16))]
pub(crate) struct Home {
    current: Cell<*const Green>,
    queue: RunQueue,
    spent: Cell<u32>,
    pub(crate) mailbox: &'static Mailbox,
    /// The time when the worker last looked at the clock.
    pub(crate) now: Cell<Tick>,
    pub(crate) spare: super::blocks::Cache,
    pub(super) ids: Ids,
    /// What layer 3 keeps beside it.
    pub(crate) owner: Cell<*const ()>,
}

impl Home {
    pub(crate) fn new(mailbox: &'static Mailbox) -> Home {
        Home {
            current: Cell::new(ptr::null()),
            queue: RunQueue::new(),
            spent: Cell::new(0),
            mailbox,
            now: Cell::new(0),
            spare: super::blocks::Cache::new(),
            ids: Ids::new(),
            owner: Cell::new(ptr::null()),
        }
    }

    /// Makes the calling OS thread this home's for the length of `f`.
    ///
    /// If that OS thread unwinds (a worker that is stepped by a destructor), its panics are set aside
    /// meanwhile: they are none of the green threads'.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Reset(*const Home, Option<SetAside>);
        impl Drop for Reset {
            fn drop(&mut self) {
                HOME.set(self.0);
                if let Some(aside) = self.1.take() {
                    panic_count::put_back(aside);
                }
            }
        }
        let aside = std::thread::panicking().then(panic_count::set_aside);
        let _reset = Reset(HOME.replace(self), aside);
        f()
    }

    /// The home of the green thread that calls; none on an OS thread (and in the worker's own code).
    #[inline(always)]
    pub(crate) fn get() -> Option<&'static Home> {
        Home::of_thread().filter(|home| !home.current.get().is_null())
    }

    /// The home of the calling OS thread, whether a green thread runs or the worker's own code.
    #[inline(always)]
    pub(crate) fn of_thread() -> Option<&'static Home> {
        let home = HOME.get();
        // SAFETY: H1.
        unsafe { home.as_ref() }
    }

    /// Who runs. Only called by green threads.
    #[inline(always)]
    pub(crate) fn current(&self) -> &Green {
        debug_assert!(!self.current.get().is_null());
        // SAFETY: H3.
        unsafe { &*self.current.get() }
    }

    /// Who runs, as an address to compare with; null if nobody does.
    pub(crate) fn current_ptr(&self) -> *const Green {
        self.current.get()
    }

    /// One operation that did not have to wait: after many of them, the others get a turn.
    #[inline(always)]
    pub(crate) fn spend(&self, at: &'static std::panic::Location<'static>) {
        let spent = self.spent.get().wrapping_add(1);
        self.spent.set(spent);
        if spent.is_multiple_of(BUDGET) {
            spent_all(at);
        }
    }

    /// As [`Home::spend`], for an operation that must come to its end: a cancellation is not raised.
    pub(super) fn spend_shielded(&self, at: &'static std::panic::Location<'static>) {
        let spent = self.spent.get().wrapping_add(1);
        self.spent.set(spent);
        if spent.is_multiple_of(BUDGET) {
            super::park::give_way(self, at);
        }
    }

    /// The worker: `green` is about to run, or none does any more.
    #[inline(always)]
    pub(crate) fn set_current(&self, green: *const Green) {
        self.current.set(green);
    }

    /// Puts a thread of this home at the end of the run queue.
    #[inline(always)]
    pub(crate) fn make_ready(&self, green: &Green) {
        green.set_state(State::Ready);
        self.queue.push(green);
    }

    /// Takes the thread that has been ready longest.
    #[inline(always)]
    pub(crate) fn pop_ready(&self) -> Option<&'static Green> {
        self.queue.pop()
    }

    /// The time for a note: that of the last look at the clock, and a little more each time, so that whoever
    /// compares two notes sees that there were two.
    #[inline(always)]
    pub(super) fn moment(&self) -> Tick {
        let moment = self.now.get() + 1;
        self.now.set(moment);
        moment
    }

    /// How many are ready.
    #[inline(always)]
    pub(crate) fn ready(&self) -> usize {
        self.queue.len()
    }

    /// Gives back memory that a crowd has left. True: a later call may give back more.
    pub(crate) fn trim(&self) -> bool {
        self.queue.shrink();
        self.spare.trim()
    }

    /// Wakes a thread of this home.
    #[inline]
    pub(crate) fn wake(&self, green: &Green) {
        match green.state() {
            State::Parked => self.make_ready(green),
            State::Running | State::Ready => green.pending.set(true),
            State::New | State::Done => {}
        }
    }

    /// Delivers the messages that have come.
    pub(crate) fn collect(&self) {
        if self.mailbox.inbox.is_empty() {
            return;
        }
        for mail in self.mailbox.inbox.take() {
            let green: GreenRef = Green::from_mail(mail);
            // A message for a thread that ended in the meantime, or that was for an earlier user of this mailbox.
            if ptr::eq(green.home(), self.mailbox) {
                self.wake(&green);
            }
        }
    }
}
