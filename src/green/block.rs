#![allow(unsafe_code, reason = "the control block and its references")]
//! The control block of a green thread and counted references to it. The invariants G1 to G5 and the table
//! of states are in `mod.rs`.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::io;
use std::mem::{ManuallyDrop, offset_of};
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

mod finish;

use super::GreenRef;
use super::birth::{Birth, Rare, next_id};
use super::blocks;
use super::body::{Body, Outcome};
use super::cancel::{Limit, Scopes, within};
use super::completion::Completion;
use super::fiber::Fiber;
use super::home::{self, Home, Mailbox};
use super::mailbox::Mail;
use super::origin::Origin;
use super::reason::Reason;
use super::scope::ScopeState;
use crate::stack::Stack;
use crate::sys::clock::{NEVER, Tick};
use crate::sys::exit;

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

/// Runs a destructor of the user's whose panic has nowhere to go. Its message was printed; the
/// payload is leaked, because dropping it might panic again. The destructor runs to its end:
/// nothing cancels its waits.
pub(crate) fn contain(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| within(Limit::Shield, f))) {
        let _leaked = ManuallyDrop::new(payload);
    }
}

/// Far more references than there can be threads that add one at the same moment are left above it.
const MOST_REFS: u32 = u32::MAX / 2;

#[cold]
fn too_many_refs() -> ! {
    exit::abort(format_args!(
        "more than {MOST_REFS} handles to one thread: they are leaked somewhere, with mem::forget for example"
    ))
}

/// The mark of a thread that is in no timer heap.
pub(crate) const NO_TIMER: u32 = u32::MAX;

/// The control block.
#[repr(C, align(64))]
pub(crate) struct Green {
    // The first two cache lines are what a turn of the thread touches.
    state: AtomicU8,
    reason: AtomicU8,
    pub(crate) pending: Cell<bool>,
    pub(crate) elapsed: Cell<bool>,
    /// What may end a wait of it: see `cancel.rs`.
    pub(super) attention: AtomicU8,
    token: AtomicBool,
    /// What placement knows of it.
    pub(crate) origin: Origin,
    pub(crate) timer: Cell<u32>,
    pub(super) refs: AtomicU32,
    pub(crate) deadline: Cell<Tick>,
    since: AtomicU64,
    at: AtomicPtr<Location<'static>>,
    home: AtomicPtr<Mailbox>,
    completion: Completion,
    fiber: UnsafeCell<Option<Fiber>>,
    // Cold from here on.
    mail: Mail,
    /// When it started, if it is timed.
    pub(crate) started_at: Cell<Tick>,
    /// The link of free lists.
    pub(super) free_next: Cell<*const Green>,
    pub(crate) raises: Cell<u32>,
    /// The number of the raise that it unwinds with, or has unwound with and keeps the payload of; else 0.
    pub(super) raising: Cell<u32>,
    /// Its closure has ended, or never runs: what is left are destructors, which nothing cuts off.
    pub(super) ending: Cell<bool>,
    /// How many times in a row it has given way though it is cancelled: see `budget.rs`.
    pub(super) quiet_turns: Cell<u8>,
    pub(super) scopes: Scopes,
    pub(super) chunk: Cell<*mut blocks::Chunk>,
    group: AtomicUsize,
    id: AtomicU64,
    born_at: AtomicPtr<Location<'static>>,
    locals: UnsafeCell<Option<Box<dyn Locals>>>,
    rare: UnsafeCell<Option<Box<Rare>>>,
    body: Body,
}

// SAFETY: G2 to G5 say who touches which field when.
unsafe impl Send for Green {}
// SAFETY: as above.
unsafe impl Sync for Green {}

// Nothing of a block is left half done by an unwinding: handles to it are unwind safe, as std's.
impl std::panic::RefUnwindSafe for Green {}

/// The values of a thread's `thread_local!` keys, as `thread/local.rs` keeps them.
pub(crate) trait Locals: Any {
    /// Runs the destructors; a panic in one does not come out. May be called again.
    fn destroy(&self);
}

impl Green {
    pub(super) fn empty() -> Green {
        Green {
            mail: Mail::new(),
            free_next: Cell::new(ptr::null()),
            state: AtomicU8::new(State::Done as u8),
            reason: AtomicU8::new(0),
            pending: Cell::new(false),
            elapsed: Cell::new(false),
            timer: Cell::new(NO_TIMER),
            deadline: Cell::new(NEVER),
            raises: Cell::new(0),
            raising: Cell::new(0),
            ending: Cell::new(false),
            quiet_turns: Cell::new(0),
            scopes: Scopes::new(),
            fiber: UnsafeCell::new(None),
            home: AtomicPtr::new(ptr::null_mut()),
            since: AtomicU64::new(0),
            at: AtomicPtr::new(ptr::null_mut()),
            attention: AtomicU8::new(0),
            token: AtomicBool::new(false),
            origin: Origin(Cell::new(0)),
            started_at: Cell::new(0),
            refs: AtomicU32::new(0),
            completion: Completion::new(),
            chunk: Cell::new(ptr::null_mut()),
            group: AtomicUsize::new(0),
            id: AtomicU64::new(0),
            born_at: AtomicPtr::new(ptr::null_mut()),
            locals: UnsafeCell::new(None),
            rare: UnsafeCell::new(None),
            body: Body::empty(),
        }
    }

    /// A block for a new green thread without wishes, complete but for its closure. `home` is that of the calling OS thread.
    ///
    /// # Errors
    ///
    /// There is no memory for its block.
    #[inline]
    pub(crate) fn born(
        home: Option<&Home>,
        at: &'static Location<'static>,
        group: usize,
    ) -> io::Result<NonNull<Green>> {
        let block = blocks::take(home)?;
        // SAFETY: blocks are never null, and this one is ours alone (G1, G2).
        let green = unsafe { block.as_ref() };
        green.set_state(State::New);
        green.pending.set(false);
        green.elapsed.set(false);
        green.timer.set(NO_TIMER);
        green.deadline.set(NEVER);
        green.raises.set(0);
        green.raising.set(0);
        green.ending.set(false);
        green.quiet_turns.set(0);
        green.attention.store(0, Ordering::Relaxed);
        green.token.store(false, Ordering::Relaxed);
        green.origin.0.set(0);
        green.completion.reset();
        green.group.store(group, Ordering::Relaxed);
        let id = home.map_or_else(next_id, |home| home.ids.next());
        green.id.store(id.get(), Ordering::Relaxed);
        green
            .born_at
            .store(ptr::from_ref(at).cast_mut(), Ordering::Relaxed);
        green.note(Reason::None, at, home.map_or(0, |home| home.now.get()));
        Ok(block)
    }

    /// Gives it what it will run. Two references: the first is the scheduler's, the second the handle's.
    ///
    /// # Safety
    ///
    /// `block` is from [`Green::born`] or [`Green::born_so`], and has nothing to run yet. `F` and `T` outlive the thread (B3).
    #[inline]
    pub(crate) unsafe fn animate<F: FnOnce() -> T, T>(
        block: NonNull<Green>,
        closure: F,
    ) -> (GreenRef, GreenRef) {
        // SAFETY: ours alone.
        let green = unsafe { block.as_ref() };
        // SAFETY: B2, ours alone; B3 by the contract.
        unsafe { green.body.set(closure) };
        // Release: pairs with the Acquire of `try_ref`; a dump that gets a reference sees all that is above and in `born`.
        green.refs.store(2, Ordering::Release);
        (GreenRef::of(block), GreenRef::of(block))
    }

    /// As [`Green::animate`], for a thread from [`Green::born_so`]: if it is a scope's, the scope lists it.
    ///
    /// # Safety
    ///
    /// As [`Green::animate`].
    #[inline]
    pub(crate) unsafe fn animate_so<F: FnOnce() -> T, T>(
        block: NonNull<Green>,
        closure: F,
    ) -> (GreenRef, GreenRef) {
        // SAFETY: ours alone.
        let green = unsafe { block.as_ref() };
        // SAFETY: B2, ours alone; B3 by the contract.
        unsafe { green.body.set(closure) };
        let scope = green.scope();
        // Release: as in `animate`.
        green
            .refs
            .store(2 + u32::from(scope.is_some()), Ordering::Release);
        if let Some(scope) = scope {
            scope.list(GreenRef::of(block));
        }
        (GreenRef::of(block), GreenRef::of(block))
    }

    /// A number for the types of a body: another one for each closure.
    #[inline(always)]
    pub(crate) fn kind<F: FnOnce() -> T, T>() -> usize {
        Body::kind::<F, T>()
    }

    /// As [`Green::born`], for a thread that may have wishes.
    ///
    /// # Errors
    ///
    /// There is no memory for its block.
    pub(crate) fn born_so(birth: Birth) -> io::Result<NonNull<Green>> {
        let block = Green::born(Home::of_thread(), birth.at, birth.group)?;
        if birth.name.is_some() || birth.scope.is_some() || birth.own_stack.is_some() {
            // SAFETY: ours alone.
            let green = unsafe { block.as_ref() };
            let rare = Box::new(Rare {
                name: birth.name,
                scope: birth.scope,
                scope_link: Cell::new(ptr::null_mut()),
                own_stack: birth.own_stack,
            });
            // SAFETY: ours alone.
            unsafe { *green.rare.get() = Some(rare) };
        }
        Ok(block)
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

    /// Notes for dumps what it waits for.
    #[inline(always)]
    pub(crate) fn note(&self, reason: Reason, at: &'static Location<'static>, since: Tick) {
        self.reason.store(reason as u8, Ordering::Relaxed);
        self.at
            .store(ptr::from_ref(at).cast_mut(), Ordering::Relaxed);
        self.since.store(since, Ordering::Relaxed);
    }

    /// Where its messages go; null before its start and after its end.
    #[inline(always)]
    pub(crate) fn home(&self) -> *const Mailbox {
        self.home.load(Ordering::Relaxed)
    }

    /// Whether it has a stack.
    #[inline(always)]
    pub(crate) fn has_started(&self) -> bool {
        // SAFETY: G5, the caller is its worker.
        unsafe { (*self.fiber.get()).is_some() }
    }

    /// Binds it to `mailbox`'s worker: from here on it can be woken, and it is never stolen.
    #[inline]
    pub(crate) fn adopt(&self, mailbox: &'static Mailbox) {
        self.home
            .store(ptr::from_ref(mailbox).cast_mut(), Ordering::SeqCst);
        // Pairs with the fences of `give_token` and `cancel`: they see the home, or we see what they set.
        fence(Ordering::SeqCst);
    }

    /// Whether it came with a stack of its own, instead of a credit for one of the usual size.
    pub(crate) fn has_own_stack(&self) -> bool {
        // SAFETY: G4.
        unsafe { (*self.rare.get()).as_ref() }.is_some_and(|rare| rare.own_stack.is_some())
    }

    /// Takes the stack out that was taken for it at spawn.
    #[inline(always)]
    pub(crate) fn take_own_stack(&self) -> Option<Stack> {
        // SAFETY: G2, the caller is its worker.
        let rare = unsafe { (*self.rare.get()).as_ref() }?;
        rare.own_stack.as_ref().and_then(|own| own.stack.take())
    }

    /// Gives it a stack. False: the stack is unusable.
    #[inline(always)]
    pub(crate) fn set_up(&self, stack: Stack) -> bool {
        if !stack.is_inhabited() {
            return self.set_up_fresh(stack);
        }
        // SAFETY: just seen; stacks that are inhabited stay with their worker (S7).
        let fiber = unsafe { Fiber::again(stack) };
        // SAFETY: G5.
        unsafe { *self.fiber.get() = Some(fiber) };
        true
    }

    #[cold]
    fn set_up_fresh(&self, stack: Stack) -> bool {
        let fiber = Fiber::new(stack, |started| {
            let Some(home) = Home::of_thread() else {
                panic!("rustlet: a green thread runs outside its worker; this is a bug in rustlet");
            };
            let green = home.current();
            // SAFETY: G5.
            if let Some(fiber) = unsafe { (*green.fiber.get()).as_ref() } {
                started.attach(fiber);
            }
            green.live();
        });
        let usable = fiber.is_some();
        // SAFETY: G5.
        unsafe { *self.fiber.get() = fiber };
        usable
    }

    /// The storage of its locals. The caller runs on it and lets go before anything else of it runs.
    pub(crate) fn locals(&self) -> *mut Option<Box<dyn Locals>> {
        self.locals.get()
    }

    /// Runs it until it waits (false) or has ended (true).
    ///
    /// # Safety
    ///
    /// F1: the caller is its worker, and it is set up and not running.
    #[inline(always)]
    pub(crate) unsafe fn resume(&self) -> bool {
        self.set_state(State::Running);
        // SAFETY: G5.
        match unsafe { (*self.fiber.get()).as_ref() } {
            // SAFETY: by the contract.
            Some(fiber) => unsafe { fiber.resume() },
            None => true,
        }
    }

    /// It will run soon: asks for the lines of its stack that its turn will touch.
    #[inline(always)]
    pub(super) fn prefetch_stack(&self) {
        // SAFETY: G5.
        if let Some(fiber) = unsafe { (*self.fiber.get()).as_ref() } {
            fiber.prefetch();
        }
    }

    /// Switches from it to its worker.
    ///
    /// # Safety
    ///
    /// F2: the caller runs on it.
    #[inline(always)]
    pub(crate) unsafe fn suspend(&self) {
        // SAFETY: G5.
        if let Some(fiber) = unsafe { (*self.fiber.get()).as_ref() } {
            // SAFETY: by the contract.
            unsafe { fiber.suspend() };
        }
    }

    /// The worker, when it has ended: its stack.
    ///
    /// # Safety
    ///
    /// `resume` has said that it has ended.
    #[inline]
    pub(crate) unsafe fn bury(&self) -> Option<Stack> {
        self.set_state(State::Done);
        self.home.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: G5, it has ended.
        let fiber = unsafe { (*self.fiber.get()).take() }?;
        // SAFETY: by the contract.
        Some(unsafe { fiber.into_stack() })
    }

    // --- from anywhere ---

    /// Unwinds it from its present or next wait; if it has not started, it never runs.
    pub(crate) fn cancel(&self) {
        self.note_cancelled();
        // Pairs with the fence of `adopt`.
        fence(Ordering::SeqCst);
        self.wake();
    }

    /// Ends its present wait, or its next.
    #[inline]
    pub(crate) fn wake(&self) {
        let home = self.home.load(Ordering::Acquire);
        // SAFETY: mailboxes are never freed.
        let Some(mailbox) = (unsafe { home.as_ref() }) else {
            return;
        };
        match Home::of_thread() {
            Some(here) if ptr::eq(here.mailbox, mailbox) => here.wake(self),
            _ => self.post(mailbox),
        }
    }

    #[cold]
    fn post(&self, mailbox: &'static Mailbox) {
        if self.mail.claim() {
            let message = self.to_ref().into_raw();
            // SAFETY: within the block.
            let mail = unsafe { message.byte_add(offset_of!(Green, mail)) };
            // SAFETY: claimed just now (M1); the reference goes with it (M2).
            unsafe { mailbox.inbox.push(mail.cast()) };
            mailbox.bell.ring();
        }
    }

    /// The thread of a message that came out of an inbox, with the reference that came with it.
    pub(super) fn from_mail(mail: NonNull<Mail>) -> GreenRef {
        // SAFETY: it is that field of a block.
        let green = unsafe { mail.byte_sub(offset_of!(Green, mail)) };
        // SAFETY: M2, `post` put that reference there.
        unsafe { GreenRef::from_raw(green.cast()) }
    }

    /// `Thread::unpark`: a token that `park` takes.
    #[inline]
    pub(crate) fn give_token(&self) {
        self.token.store(true, Ordering::Release);
        match Home::of_thread() {
            // Its own worker calls: nothing happens at the same time.
            Some(here) if ptr::eq(here.mailbox, self.home()) => here.wake(self),
            _ => {
                // Pairs with the fence of `adopt`.
                fence(Ordering::SeqCst);
                self.wake();
            }
        }
    }

    #[inline]
    pub(crate) fn take_token(&self) -> bool {
        // A read-modify-write: it sees every token given before the wake-up that brought us here.
        self.token.load(Ordering::Relaxed) && self.token.swap(false, Ordering::Acquire)
    }

    pub(crate) fn completion(&self) -> &Completion {
        &self.completion
    }

    /// The result of a thread that has ended.
    ///
    /// # Safety
    ///
    /// C2: the caller is the handle and has seen `DONE`; `T` is that of `animate`.
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

    pub(crate) fn born_at(&self) -> Option<&'static Location<'static>> {
        // SAFETY: as in `at`.
        unsafe { self.born_at.load(Ordering::Relaxed).as_ref() }
    }

    /// Whether it is the calling OS thread that has to step it, by hand: also before it is taken in, and has a home.
    pub(crate) fn is_stepped_here(&self) -> bool {
        home::is_stepped_here(self.group())
    }

    /// The scope that it is a thread of.
    #[inline]
    pub(super) fn scope(&self) -> Option<&ScopeState> {
        // SAFETY: G4.
        let rare = unsafe { (*self.rare.get()).as_ref() }?;
        rare.scope.as_deref()
    }

    /// Its link in the list of its scope (RF1 in `reference.rs`).
    #[inline]
    pub(super) fn scope_link(&self) -> &Cell<*mut Green> {
        // SAFETY: G4.
        match unsafe { (*self.rare.get()).as_ref() } {
            Some(rare) => &rare.scope_link,
            None => unreachable!("only threads of a scope are in its list"),
        }
    }

    /// A further reference. The caller has one, or runs on the thread.
    #[inline]
    pub(crate) fn to_ref(&self) -> GreenRef {
        // As in Arc: who forgets them again and again must not get the count around to 0.
        if self.refs.fetch_add(1, Ordering::Relaxed) > MOST_REFS {
            too_many_refs();
        }
        GreenRef::of(NonNull::from(self))
    }

    /// A reference, unless there is none any more: for the registry.
    pub(super) fn try_ref(&self) -> Option<GreenRef> {
        // Acquire: pairs with the Release of `animate`.
        self.refs
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |refs| {
                (refs > 0).then(|| refs + 1)
            })
            .ok()?;
        Some(GreenRef::of(NonNull::from(self)))
    }

    /// The last reference is gone.
    pub(super) fn recycle(&self) {
        // SAFETY: nobody else has it (G1).
        if unsafe { (*self.rare.get()).is_some() } {
            self.drop_rare();
        }
        blocks::give(NonNull::from(self));
    }

    #[cold]
    fn drop_rare(&self) {
        // SAFETY: nobody else has it (G1).
        drop(unsafe { (*self.rare.get()).take() });
    }
}
