#![allow(unsafe_code, reason = "manages control blocks and references to them")]
//! The control block of a green thread and counted references to it. The invariants G1 to G5 and
//! the table of states are in `mod.rs`.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

pub(crate) mod body;
mod debugger;
mod finish;
pub(super) mod origin;
mod reference;
pub(crate) mod slab;
mod spawn_record;
#[cfg(feature = "backtrace")]
mod turns;
mod wake;

pub(crate) use self::reference::ThreadRef;
pub(crate) use self::spawn_record::SpawnInfo;

use super::block::body::{Body, Outcome};
use super::block::origin::Origin;
use super::cancel::scopes::Scopes;
use super::completion::Completion;
use super::context::remote::Remote;
use super::context::remote_queue::WakeNode;
use super::fiber::Fiber;
use super::fiber::own_stack::OwnStack;
#[cfg(feature = "backtrace")]
use super::fiber::suspended::Suspended;
use super::reason::Reason;
use super::scope::member_list::Link;
use crate::stack::Stack;
use crate::sys::clock::{NEVER, Tick};
#[cfg(feature = "backtrace")]
use crate::sys::mem::Peek;

/// See the table in `mod.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    New,
    Ready,
    Running,
    Parked,
    Done,
}

/// Timer index of a thread that is in no timer heap.
pub(crate) const NO_TIMER: u32 = u32::MAX;

/// The scope that a thread belongs to, as the thread sees it.
pub(crate) trait OwningScope: fmt::Debug + Send + Sync {
    /// Lists a thread that is about to be published.
    fn list(&self, listed: ThreadRef);
    /// Notes that a thread of the scope has panicked.
    fn note_panic(&self, by: NonZeroU64);
    /// Notes that the thread `who`, whose result was not taken, has panicked.
    fn note_failure(&self, who: NonZeroU64, payload: Option<Box<dyn Any + Send>>);
    /// Notes that a thread has ended.
    fn leave(&self);
}

/// Fields that most threads do not need.
struct Rare {
    name: Option<Box<str>>,
    scope: Option<Arc<dyn OwningScope>>,
    /// The next thread in the list of the scope (ML1 in `member_list.rs`).
    scope_link: Link<ThreadInner>,
    own_stack: Option<OwnStack>,
}

/// The control block of a green thread.
#[repr(C, align(64))]
pub(crate) struct ThreadInner {
    // The first two cache lines hold the fields that one step of the thread touches.
    state: AtomicU8,
    reason: AtomicU8,
    pub(crate) pending: Cell<bool>,
    pub(crate) elapsed: Cell<bool>,
    /// Flags of causes that may end a wait of this thread: see `cancel/mod.rs`.
    pub(super) attention: AtomicU8,
    token: AtomicBool,
    /// Data about the spawn for placement.
    pub(crate) origin: Origin,
    pub(crate) timer: Cell<u32>,
    pub(super) refs: AtomicU32,
    deadline: AtomicU64,
    since: AtomicU64,
    subject: AtomicUsize,
    at: AtomicPtr<Location<'static>>,
    remote: AtomicPtr<Remote>,
    completion: Completion,
    fiber: UnsafeCell<Option<Fiber>>,
    #[cfg(feature = "backtrace")]
    turns: turns::Turns,
    // Cold from here on.
    wake_node: WakeNode,
    /// When the thread started, if it is timed.
    pub(crate) started_at: Cell<Tick>,
    /// The link of free lists.
    pub(super) free_next: Cell<*const ThreadInner>,
    pub(crate) cancel_count: Cell<u32>,
    /// The number of the raise that the thread unwinds with, or has unwound with while the payload
    /// is kept; otherwise 0.
    pub(super) unwind_number: Cell<u32>,
    /// The closure has ended, or never runs: only destructors are left, which no cancellation
    /// interrupts.
    pub(super) ending: Cell<bool>,
    /// How many times in a row the thread has yielded although it is cancelled: see `budget.rs`.
    pub(super) quiet_yields: Cell<u8>,
    /// The steps of a sampled thread so far (`Sample` in `runtime/placement/policy.rs`).
    pub(crate) sample: Cell<u32>,
    pub(super) scopes: Scopes,
    /// The slab that the block is part of; only `slab.rs` knows its type.
    pub(super) slab: Cell<*mut ()>,
    group: AtomicUsize,
    id: AtomicU64,
    spawned_at: AtomicPtr<Location<'static>>,
    locals: UnsafeCell<Option<Box<dyn Locals>>>,
    rare: UnsafeCell<Option<Box<Rare>>>,
    /// The top of the stack, for dumps; that of an earlier thread before the start.
    pub(super) stack_top: AtomicUsize,
    body: Body,
}

// SAFETY: G2 to G5 define which thread accesses which field when.
unsafe impl Send for ThreadInner {}
// SAFETY: as above.
unsafe impl Sync for ThreadInner {}

// An unwinding leaves no block in an inconsistent state: handles to it are unwind safe, like std's.
impl std::panic::RefUnwindSafe for ThreadInner {}

/// The values of a thread's `thread_local!` keys, as `thread/local.rs` keeps them.
pub(crate) trait Locals: Any {
    /// Runs the destructors and discards their panics. May be called again.
    fn destroy(&self);
}

impl ThreadInner {
    pub(super) fn empty() -> ThreadInner {
        ThreadInner {
            wake_node: WakeNode::new(),
            free_next: Cell::new(ptr::null()),
            state: AtomicU8::new(State::Done as u8),
            reason: AtomicU8::new(0),
            pending: Cell::new(false),
            elapsed: Cell::new(false),
            timer: Cell::new(NO_TIMER),
            deadline: AtomicU64::new(NEVER),
            cancel_count: Cell::new(0),
            unwind_number: Cell::new(0),
            ending: Cell::new(false),
            quiet_yields: Cell::new(0),
            sample: Cell::new(0),
            scopes: Scopes::new(),
            fiber: UnsafeCell::new(None),
            #[cfg(feature = "backtrace")]
            turns: turns::Turns::new(),
            remote: AtomicPtr::new(ptr::null_mut()),
            since: AtomicU64::new(0),
            subject: AtomicUsize::new(0),
            at: AtomicPtr::new(ptr::null_mut()),
            attention: AtomicU8::new(0),
            token: AtomicBool::new(false),
            origin: Origin(Cell::new(0)),
            started_at: Cell::new(0),
            refs: AtomicU32::new(0),
            completion: Completion::new(),
            slab: Cell::new(ptr::null_mut()),
            group: AtomicUsize::new(0),
            id: AtomicU64::new(0),
            spawned_at: AtomicPtr::new(ptr::null_mut()),
            locals: UnsafeCell::new(None),
            rare: UnsafeCell::new(None),
            stack_top: AtomicUsize::new(0),
            body: Body::empty(),
        }
    }

    // --- state, by the worker ---

    #[inline(always)]
    pub(crate) fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            0 => State::New,
            1 => State::Ready,
            2 => State::Running,
            3 => State::Parked,
            _ => State::Done,
        }
    }

    #[inline(always)]
    pub(crate) fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// Records the reason and place of the wait, for dumps.
    #[inline(always)]
    pub(crate) fn note(&self, reason: Reason, at: &'static Location<'static>, since: Tick) {
        self.reason.store(reason as u8, Ordering::Relaxed);
        self.at
            .store(ptr::from_ref(at).cast_mut(), Ordering::Relaxed);
        self.since.store(since, Ordering::Relaxed);
    }

    /// Like [`ThreadInner::note`], for a wait that begins.
    #[inline(always)]
    pub(crate) fn note_wait(
        &self,
        reason: Reason,
        at: &'static Location<'static>,
        subject: usize,
        since: Tick,
    ) {
        self.note(reason, at, since);
        self.subject.store(subject, Ordering::Relaxed);
    }

    /// Returns the object of the current or last wait: the address of a lock's word or of a channel
    /// or a scope, the number of the joined thread, or a descriptor or the number of a call on the
    /// pool, plus one, depending on the reason; 0 if the wait does not say. A select that waits for
    /// channels only has any other number.
    pub(crate) fn subject(&self) -> usize {
        self.subject.load(Ordering::Relaxed)
    }

    /// Returns whether the thread waits for a lock or the end of a thread.
    #[inline]
    pub(crate) fn may_be_deadlocked(&self) -> bool {
        self.state() == State::Parked
            && matches!(self.reason(), Reason::Join | Reason::Mutex | Reason::RwLock)
    }

    /// Sets the end of the wait that begins, or [`NEVER`] when the wait is over.
    #[inline(always)]
    pub(crate) fn set_deadline(&self, deadline: Tick) {
        self.deadline.store(deadline, Ordering::Relaxed);
    }

    /// Returns when the present wait ends at the latest; [`NEVER`] if it has no limit.
    #[inline(always)]
    pub(crate) fn deadline(&self) -> Tick {
        self.deadline.load(Ordering::Relaxed)
    }

    /// Returns whether a deadline ends the wait.
    #[inline(always)]
    pub(crate) fn is_limited(&self) -> bool {
        self.deadline() != NEVER
    }

    /// Returns the address of the top of the stack of a thread that has started.
    pub(crate) fn stack_top(&self) -> usize {
        self.stack_top.load(Ordering::Relaxed)
    }

    /// Returns the destination of the thread's wake-ups; null before its start and after its end.
    #[inline(always)]
    pub(crate) fn remote(&self) -> *const Remote {
        self.remote.load(Ordering::Relaxed)
    }

    /// Returns whether the thread has a stack.
    #[inline(always)]
    pub(crate) fn has_started(&self) -> bool {
        // SAFETY: G5, the caller is its worker.
        unsafe { (*self.fiber.get()).is_some() }
    }

    /// Binds the thread to `remote`'s worker: from here on it can be woken, and it is never stolen.
    #[inline]
    pub(crate) fn attach(&self, remote: &'static Remote) {
        self.remote
            .store(ptr::from_ref(remote).cast_mut(), Ordering::SeqCst);
        // Pairs with the fences of `give_token` and `cancel`: either they see `remote`, or this
        // thread sees what they set.
        fence(Ordering::SeqCst);
    }

    /// Returns whether the thread was spawned with a stack of its own, instead of a credit for one
    /// of the usual size.
    pub(crate) fn has_own_stack(&self) -> bool {
        // SAFETY: G4.
        unsafe { (*self.rare.get()).as_ref() }.is_some_and(|rare| rare.own_stack.is_some())
    }

    /// Takes the stack that was reserved for the thread at spawn.
    #[inline(always)]
    pub(crate) fn take_own_stack(&self) -> Option<Stack> {
        // SAFETY: G2, the caller is its worker.
        let rare = unsafe { (*self.rare.get()).as_ref() }?;
        rare.own_stack.as_ref().and_then(|own| own.stack.take())
    }

    /// Returns the storage of the thread's locals. The caller runs on the thread and gives the
    /// pointer up before any other code of the thread runs.
    pub(crate) fn locals(&self) -> *mut Option<Box<dyn Locals>> {
        self.locals.get()
    }

    /// Runs the thread until it waits (false) or has ended (true).
    ///
    /// # Safety
    ///
    /// F1: the caller is the thread's worker, and the thread is set up and not running.
    #[inline(always)]
    pub(crate) unsafe fn resume(&self) -> bool {
        self.set_state(State::Running);
        #[cfg(feature = "backtrace")]
        self.turns.begin();
        // SAFETY: G5.
        let has_ended = match unsafe { (*self.fiber.get()).as_ref() } {
            // SAFETY: by the contract.
            Some(fiber) => unsafe { fiber.resume() },
            None => true,
        };
        #[cfg(feature = "backtrace")]
        self.turns.end(has_ended);
        has_ended
    }

    /// Copies the stack of the thread if it is suspended since `moment`, without holding it up. May
    /// be called from any OS thread.
    #[cfg(feature = "backtrace")]
    pub(crate) fn copy_stack(&self, peek: &mut Peek, moment: Tick) -> Option<Suspended> {
        let suspension = self.turns.suspended()?;
        if self.since() != moment {
            return None;
        }
        // Only the kernel follows the address.
        let copy = Suspended::read(peek, self.fiber.get().addr())?;
        // TU2.
        self.turns.is_still(suspension).then_some(copy)
    }

    /// Prefetches the cache lines of the stack that the next step will touch.
    #[inline(always)]
    pub(super) fn prefetch_stack(&self) {
        // SAFETY: G5.
        if let Some(fiber) = unsafe { (*self.fiber.get()).as_ref() } {
            fiber.prefetch();
        }
    }

    /// Switches from the thread to its worker.
    ///
    /// # Safety
    ///
    /// F2: the caller runs on the thread.
    #[inline(always)]
    pub(crate) unsafe fn suspend(&self) {
        // SAFETY: G5.
        if let Some(fiber) = unsafe { (*self.fiber.get()).as_ref() } {
            // SAFETY: by the contract.
            unsafe { fiber.suspend() };
        }
    }

    /// Takes the stack of a thread that has ended. Called by the worker.
    ///
    /// # Safety
    ///
    /// `resume` has returned true.
    #[inline]
    pub(crate) unsafe fn reap(&self) -> Option<Stack> {
        self.set_state(State::Done);
        self.remote.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: G5, it has ended.
        let fiber = unsafe { (*self.fiber.get()).take() }?;
        // SAFETY: by the contract.
        Some(unsafe { fiber.into_stack() })
    }

    // --- from anywhere ---

    #[inline]
    pub(crate) fn take_token(&self) -> bool {
        // A read-modify-write: it sees every token given before the wake-up that led here.
        self.token.load(Ordering::Relaxed) && self.token.swap(false, Ordering::Acquire)
    }

    pub(crate) fn completion(&self) -> &Completion {
        &self.completion
    }

    /// Takes the result of a thread that has ended.
    ///
    /// # Safety
    ///
    /// C2: the caller is the handle and has seen `DONE`; `T` is that of `init_body`.
    pub(crate) unsafe fn take_result<T>(&self) -> Outcome<T> {
        // SAFETY: by the contract.
        unsafe { self.body.take_result() }
    }

    pub(crate) fn id(&self) -> NonZeroU64 {
        NonZeroU64::new(self.id.load(Ordering::Relaxed)).unwrap_or(NonZeroU64::MIN)
    }

    pub(crate) fn name(&self) -> Option<&str> {
        // SAFETY: G4.
        let rare = unsafe { (*self.rare.get()).as_ref() }?;
        rare.name.as_deref()
    }

    pub(crate) fn group(&self) -> usize {
        self.group.load(Ordering::Relaxed)
    }

    pub(crate) fn reason(&self) -> Reason {
        Reason::from_u8(self.reason.load(Ordering::Relaxed))
    }

    pub(crate) fn since(&self) -> Tick {
        self.since.load(Ordering::Relaxed)
    }

    pub(crate) fn at(&self) -> Option<&'static Location<'static>> {
        // SAFETY: it points to a location, which is static, or is null.
        unsafe { self.at.load(Ordering::Relaxed).as_ref() }
    }

    pub(crate) fn spawned_at(&self) -> Option<&'static Location<'static>> {
        // SAFETY: as in `at`.
        unsafe { self.spawned_at.load(Ordering::Relaxed).as_ref() }
    }
}
