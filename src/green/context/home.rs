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
use std::num::NonZeroU64;
use std::ptr;

use super::coop;
use super::queue::RunQueue;
use super::remote::Mailbox;
use crate::green::fiber::panic_count;
use crate::green::fiber::panic_count::SetAside;
use crate::green::ids::{Ids, os_thread};
use crate::green::{Green, GreenRef, State};
use crate::sys::clock::Tick;

thread_local! {
    static HOME: Cell<*const Home> = const { Cell::new(ptr::null()) };
}

/// A worker, as its green threads see it.
// Its address is a worker's name in the words of locks, beside four flags.
#[repr(align(16))]
pub(crate) struct Home {
    current: Cell<*const Green>,
    queue: RunQueue,
    /// What is left of its budget, while it is not entered.
    budget: Cell<i32>,
    pub(crate) mailbox: &'static Mailbox,
    /// The time when the worker last looked at the clock.
    pub(crate) now: Cell<Tick>,
    pub(crate) spare: crate::green::block::blocks::Cache,
    pub(crate) ids: Ids,
    /// What layer 3 keeps beside it: the worker itself, and the part of it that any of its code may ask.
    pub(crate) owner: Cell<*const ()>,
    pub(crate) context: Cell<*const ()>,
}

impl Home {
    pub(crate) fn new(mailbox: &'static Mailbox) -> Home {
        Home {
            current: Cell::new(ptr::null()),
            queue: RunQueue::new(),
            budget: Cell::new(coop::BUDGET),
            mailbox,
            now: Cell::new(0),
            spare: crate::green::block::blocks::Cache::new(),
            ids: Ids::new(),
            owner: Cell::new(ptr::null()),
            context: Cell::new(ptr::null()),
        }
    }

    /// Makes the calling OS thread this home's for the length of `f`.
    ///
    /// If that OS thread unwinds (a worker that is stepped by a destructor), its panics are set aside
    /// meanwhile: they are none of the green threads'.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Reset<'a> {
            home: &'a Home,
            outer: *const Home,
            outer_budget: i32,
            aside: Option<SetAside>,
        }
        impl Drop for Reset<'_> {
            fn drop(&mut self) {
                HOME.set(self.outer);
                self.home.budget.set(coop::exchange(self.outer_budget));
                if let Some(aside) = self.aside.take() {
                    panic_count::put_back(aside);
                }
            }
        }
        let aside = std::thread::panicking().then(panic_count::set_aside);
        let outer_budget = coop::exchange(self.budget.get());
        let _reset = Reset {
            home: self,
            outer: HOME.replace(self),
            outer_budget,
            aside,
        };
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
    pub(crate) fn moment(&self) -> Tick {
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

/// Which runtimes, by their group, are stepped by hand, and by which OS threads.
static BY_HAND: std::sync::Mutex<Vec<(usize, NonZeroU64)>> = std::sync::Mutex::new(Vec::new());

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
pub(crate) fn is_stepped_here(group: usize) -> bool {
    crate::shim::lock(&BY_HAND).contains(&(group, os_thread()))
}
