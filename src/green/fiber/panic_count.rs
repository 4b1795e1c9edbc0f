#![allow(
    unsafe_code,
    reason = "coroutines that are resumed by several OS threads"
)]
//! Makes [`std::thread::panicking`] exact for each green thread.
//!
//! std counts the panics in flight for each OS thread. A green thread that is suspended in a
//! destructor while it unwinds would leave its worker's count raised, and every other green thread
//! of that worker would seem to panic. So the count moves with the green thread: it is taken off
//! when the thread is suspended ([`set_aside`]) and put back when it resumes ([`put_back`]).
//!
//! Stable Rust has no call for that. A *token* does it: a coroutine that only unwinds and is
//! suspended in the middle. Starting its unwinding adds one to the count of the OS thread that
//! resumes it, finishing it takes one off, and the two may happen on different OS threads. The
//! worker finishes tokens until `panicking()` is false, and starts as many later.
//!
//! The first started tokens come from a *helper*: an OS thread that runs no code of the user's, so
//! its own count does not matter. It starts tokens when there are none, finishes them when there
//! are many or none has been needed for a while, and ends when its own count is 0 again. A program
//! in which no thread waits while it unwinds never starts it.
//!
//! If the helper cannot be started (no OS thread or no memory), the count stays raised: the thread
//! is suspended *unsettled*. Until it resumes, other green threads of the worker may seem to panic,
//! and their cancellations wait; [`is_exact`] returns false. A thread that seems to panic is
//! suspended unsettled too, because only the sum of the counts is known. So this state lasts, even
//! when OS threads and memory are available again, until no panic of a green thread of this worker
//! is in flight.
//!
//! - **PC1** A token's frames are those of [`run`], of std's `catch_unwind` and of the unwinder.
//!   They hold nothing that belongs to an OS thread: the exception is on the heap, and no function
//!   whose frame lasts across a suspension uses a thread-local ([`unwind_once`] calls functions
//!   that do, which begin and end on one OS thread). So a token may be resumed by any OS thread.
//! - **PC2** A token is in one of the lists, under the lock, or belongs to the one function that
//!   took it out. So it is resumed by one OS thread at a time, and the lock orders the resumes.
//! - **PC3** `idle` tokens are suspended outside of an unwinding, `started` ones inside.
//! - **PC4** Tokens are freed only by the helper, and only when no count is set aside. So there are
//!   always tokens to put back a count that was set aside.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::panicking;
use std::time::Duration;

use super::own_stack::OwnStack;
use super::{Fiber, Started};
use crate::stack::StackSize;
use crate::sys::os_threads::OwnThread;

/// The helper starts at most this many tokens at a time.
const MAX_STARTS_PER_BATCH: usize = 16;
/// The helper finishes tokens when more than this many are started.
const MAX_STARTED: usize = 48;
/// There are never more tokens than this.
const MAX_TOKENS: usize = 64;
/// The largest count that is set aside. No nesting of panics is that deep, so a larger count has
/// other causes.
const MAX_DEPTH: u32 = 64;
/// Started tokens are finished, and the helper ends, when none was needed for this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// The state of a token's coroutine.
struct Core {
    fiber: Fiber,
    ends: Cell<bool>,
}

/// A coroutine that carries one panic count; see the module documentation.
struct Token {
    core: Box<Core>,
    /// The right to the stack that the fiber has.
    _right: OwnStack,
}

// SAFETY: PC1, PC2.
unsafe impl Send for Token {}

thread_local! {
    /// The token that is being resumed for the first time.
    static NEW_TOKEN: Cell<*const Core> = const { Cell::new(ptr::null()) };
}

/// Suspends the token in the middle of its unwinding, when it is dropped.
struct Suspends<'a>(&'a Core);

impl Drop for Suspends<'_> {
    #[inline(never)]
    fn drop(&mut self) {
        // SAFETY: F2, called on the token's stack.
        unsafe { self.0.fiber.suspend() };
    }
}

/// Unwinds as far as this function, and is suspended on the way.
#[inline(never)]
fn unwind_once(core: &Core) {
    // The payload belongs to this module, and is empty.
    let _caught = catch_unwind(AssertUnwindSafe(|| {
        let _suspends = Suspends(core);
        start_unwinding();
    }));
}

/// PC1: it uses std's thread-local, and returns before the token is suspended.
#[inline(never)]
fn start_unwinding() {
    resume_unwind(Box::new(()));
}

/// PC1: like [`start_unwinding`].
#[inline(never)]
fn new_core() -> *const Core {
    NEW_TOKEN.get()
}

/// The body of a token's coroutine.
fn run(started: &Started<'_>) {
    // SAFETY: set by `Token::new`, whose core outlives the coroutine.
    let core = unsafe { &*new_core() };
    started.attach(&core.fiber);
    loop {
        // SAFETY: F2, called on the token's stack.
        unsafe { core.fiber.suspend() };
        if core.ends.get() {
            return;
        }
        unwind_once(core);
    }
}

impl Token {
    /// Creates an idle token. Returns `None` if there is no memory for its stack.
    fn new() -> Option<Token> {
        let right = OwnStack::take(StackSize::from_usable(0)).ok()?;
        let fiber = Fiber::new(right.stack.take()?, run)?;
        let core = Box::new(Core {
            fiber,
            ends: Cell::new(false),
        });
        NEW_TOKEN.set(&raw const *core);
        let token = Token {
            core,
            _right: right,
        };
        token.resume();
        Some(token)
    }

    /// Resumes the token until its next suspension: starts the unwinding of an idle token, or
    /// finishes it.
    fn resume(&self) {
        // SAFETY: PC1 and PC2; it ends only in `end`.
        let ended = unsafe { self.core.fiber.resume() };
        debug_assert!(!ended, "only `end` ends a token");
    }

    /// Frees the stack of an idle token.
    fn end(self) {
        self.core.ends.set(true);
        // SAFETY: PC1 and PC2.
        let ended = unsafe { self.core.fiber.resume() };
        debug_assert!(ended, "its loop is over");
        // SAFETY: it has ended.
        drop(unsafe { self.core.fiber.into_stack() });
    }
}

#[derive(Default)]
struct Tokens {
    idle: Vec<Token>,
    started: Vec<Token>,
    /// How many tokens there are.
    made: usize,
    /// How many counts are set aside.
    set_aside: usize,
    has_helper: bool,
    /// How many threads wait for a started token.
    wants_started: usize,
    /// How many threads wait for an idle token.
    wants_idle: usize,
    /// How often the helper could not get a token.
    refused: u64,
    /// How often a token was taken.
    taken: u64,
}

static TOKENS: Mutex<Tokens> = Mutex::new(Tokens {
    idle: Vec::new(),
    started: Vec::new(),
    made: 0,
    set_aside: 0,
    has_helper: false,
    wants_started: 0,
    wants_idle: 0,
    refused: 0,
    taken: 0,
});
/// Signalled when the helper has work.
static WORK_ADDED: Condvar = Condvar::new();
/// Signalled when a list has grown.
static TOKENS_ADDED: Condvar = Condvar::new();

fn lock() -> MutexGuard<'static, Tokens> {
    TOKENS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait(on: &Condvar, tokens: MutexGuard<'static, Tokens>) -> MutexGuard<'static, Tokens> {
    on.wait(tokens).unwrap_or_else(PoisonError::into_inner)
}

/// Takes a started token, and counts it as a count that is set aside. Returns `None` if there is no
/// helper.
fn take_started() -> Option<Token> {
    let mut tokens = lock();
    let refused = tokens.refused;
    loop {
        if let Some(token) = tokens.started.pop() {
            tokens.taken += 1;
            tokens.set_aside += 1;
            return Some(token);
        }
        if !tokens.has_helper {
            let helper = std::thread::Builder::new().name("rustlet-panics".into());
            let help = || {
                let _own = OwnThread::mark();
                help()
            };
            helper.stack_size(128 << 10).spawn(help).ok()?;
            tokens.has_helper = true;
        }
        tokens.wants_started += 1;
        WORK_ADDED.notify_one();
        tokens = wait(&TOKENS_ADDED, tokens);
        tokens.wants_started -= 1;
        if tokens.refused != refused && tokens.started.is_empty() {
            return None;
        }
    }
}

/// Takes an idle token for a count that was set aside (PC4).
fn take_idle() -> Token {
    let mut tokens = lock();
    loop {
        tokens.taken += 1;
        if let Some(token) = tokens.idle.pop() {
            return token;
        }
        if tokens.made < MAX_TOKENS {
            tokens.made += 1;
            drop(tokens);
            if let Some(token) = Token::new() {
                return token;
            }
            tokens = lock();
            tokens.made -= 1;
            if let Some(token) = tokens.idle.pop() {
                return token;
            }
        }
        // The helper finishes started ones, or another thread is about to return one.
        tokens.wants_idle += 1;
        WORK_ADDED.notify_one();
        tokens = wait(&TOKENS_ADDED, tokens);
        tokens.wants_idle -= 1;
    }
}

fn give_idle(token: Token) {
    let mut tokens = lock();
    tokens.idle.push(token);
    if tokens.wants_idle > 0 {
        TOKENS_ADDED.notify_all();
    }
    if tokens.wants_started > 0 {
        WORK_ADDED.notify_one();
    }
}

/// Returns a started token: its count is no longer set aside.
fn give_started(token: Token) {
    let mut tokens = lock();
    tokens.set_aside -= 1;
    tokens.started.push(token);
    if tokens.wants_started > 0 {
        TOKENS_ADDED.notify_all();
    } else if tokens.started.len() > MAX_STARTED || tokens.wants_idle > 0 {
        WORK_ADDED.notify_one();
    }
}

/// The next step of the helper.
enum Work {
    Start,
    /// Finish this many tokens.
    Finish(usize),
    Wait,
}

impl Tokens {
    /// Chooses the helper's next step. `own`: the helper's own count, which is that of the started
    /// tokens and of those set aside.
    fn work(&self, own: usize) -> Work {
        let can_start = !self.idle.is_empty() || self.made < MAX_TOKENS;
        if self.wants_started > 0 && self.started.is_empty() && can_start {
            Work::Start
        } else if self.started.len() > MAX_STARTED {
            Work::Finish(MAX_STARTS_PER_BATCH.min(own))
        } else if self.wants_idle > 0 && self.idle.is_empty() {
            // Tokens that other threads wait for are kept. With few tokens, the helper would
            // otherwise start and finish them alternately, and no list would have one while the
            // lock is free.
            match self.started.len().saturating_sub(self.wants_started) {
                0 => Work::Wait,
                spare => Work::Finish(spare.min(MAX_STARTS_PER_BATCH).min(own)),
            }
        } else {
            Work::Wait
        }
    }
}

/// The helper's loop.
fn help() {
    let mut own = 0;
    let mut tokens = lock();
    loop {
        match tokens.work(own) {
            Work::Start => {
                let (mut batch, room) = tokens.take_batch();
                drop(tokens);
                let idle = batch.len();
                batch.extend(std::iter::from_fn(Token::new).take(room));
                batch.iter().for_each(Token::resume);
                own += batch.len();
                tokens = lock();
                tokens.made -= room - (batch.len() - idle);
                if batch.is_empty() {
                    tokens.refused += 1;
                }
                tokens.started.extend(batch);
                TOKENS_ADDED.notify_all();
            }
            Work::Finish(max_count) => {
                tokens = finish(tokens, max_count, &mut own);
            }
            Work::Wait => {
                let taken = tokens.taken;
                let waited = WORK_ADDED.wait_timeout(tokens, IDLE_TIMEOUT);
                let timeout;
                (tokens, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                if timeout.timed_out() && tokens.taken == taken {
                    tokens = finish(tokens, own, &mut own);
                    if own == 0 && tokens.set_aside == 0 && tokens.wants_started == 0 {
                        break;
                    }
                }
            }
        }
    }
    tokens.has_helper = false;
    let idle = std::mem::take(&mut tokens.idle);
    tokens.made -= idle.len();
    drop(tokens);
    idle.into_iter().for_each(Token::end);
}

impl Tokens {
    /// Takes idle tokens for the helper to start, and returns how many more it may make. These
    /// count as made from now on, so that other threads do not make them too.
    fn take_batch(&mut self) -> (Vec<Token>, usize) {
        let max_count = self.made.clamp(2, MAX_STARTS_PER_BATCH);
        let from = self.idle.len().saturating_sub(max_count);
        let batch = self.idle.split_off(from);
        let new = (MAX_TOKENS - self.made).min(max_count - batch.len());
        self.made += new;
        (batch, new)
    }
}

/// Finishes up to `max_count` started tokens, on the helper.
fn finish(
    mut tokens: MutexGuard<'static, Tokens>,
    max_count: usize,
    own: &mut usize,
) -> MutexGuard<'static, Tokens> {
    let from = tokens.started.len().saturating_sub(max_count);
    let batch = tokens.started.split_off(from);
    drop(tokens);
    batch.iter().for_each(Token::resume);
    *own -= batch.len();
    let mut tokens = lock();
    tokens.idle.extend(batch);
    TOKENS_ADDED.notify_all();
    tokens
}

thread_local! {
    /// How many green threads of this OS thread are suspended unsettled.
    static UNSETTLED: Cell<u32> = const { Cell::new(0) };
}

/// The count of a green thread that is suspended while it unwinds.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) enum SetAside {
    Count(u32),
    Unsettled,
}

/// Takes the count of the running green thread off its OS thread, which is about to run other
/// threads.
#[cold]
pub(crate) fn set_aside() -> SetAside {
    if UNSETTLED.get() == 0 {
        let mut count = 0;
        while panicking() {
            let token = (count < MAX_DEPTH).then(take_started).flatten();
            let Some(token) = token else {
                add(count);
                return unsettled();
            };
            token.resume();
            give_idle(token);
            count += 1;
        }
        return SetAside::Count(count);
    }
    unsettled()
}

fn unsettled() -> SetAside {
    UNSETTLED.set(UNSETTLED.get() + 1);
    SetAside::Unsettled
}

/// Puts back the count that [`set_aside`] took: the green thread resumes.
#[cold]
pub(crate) fn put_back(aside: SetAside) {
    match aside {
        SetAside::Count(count) => add(count),
        SetAside::Unsettled => UNSETTLED.set(UNSETTLED.get() - 1),
    }
}

fn add(count: u32) {
    for _ in 0..count {
        let token = take_idle();
        token.resume();
        give_started(token);
    }
}

/// Returns how many panics of the calling thread are in flight, or `None` if that is not known.
#[cold]
pub(crate) fn depth() -> Option<u32> {
    let aside = set_aside();
    put_back(aside);
    match aside {
        SetAside::Count(count) => Some(count),
        SetAside::Unsettled => None,
    }
}

/// Returns whether `panicking()` is about the running green thread alone.
pub(crate) fn is_exact() -> bool {
    UNSETTLED.get() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The helper must not use the only token alternately when one thread waits for a started one
    /// and another for an idle one: neither would find it.
    #[test]
    fn the_helper_leaves_a_started_token_to_the_thread_that_waits_for_it() {
        let mut tokens = Tokens {
            made: MAX_TOKENS,
            set_aside: 1,
            wants_started: 1,
            wants_idle: 1,
            ..Tokens::default()
        };
        tokens.idle.push(Token::new().unwrap());
        assert!(matches!(tokens.work(1), Work::Start));
        tokens.started.append(&mut tokens.idle);
        assert!(matches!(tokens.work(2), Work::Wait));
        tokens.started.push(Token::new().unwrap());
        assert!(matches!(tokens.work(3), Work::Finish(1)));
        tokens.wants_started = 0;
        assert!(matches!(tokens.work(3), Work::Finish(2)));
        tokens.started.drain(..).for_each(Token::end);
    }

    /// Threads and the helper together make at most `MAX_TOKENS` tokens, however they interleave.
    #[test]
    fn tokens_that_the_helper_may_make_count_at_once() {
        let mut tokens = Tokens {
            made: MAX_TOKENS - 4,
            ..Tokens::default()
        };
        tokens.idle.push(Token::new().unwrap());
        let (batch, new) = tokens.take_batch();
        assert_eq!((batch.len(), new, tokens.made), (1, 4, MAX_TOKENS));
        batch.into_iter().for_each(Token::end);
        let (batch, new) = tokens.take_batch();
        assert_eq!((batch.len(), new), (0, 0));
    }
}
