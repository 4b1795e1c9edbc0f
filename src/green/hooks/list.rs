//! The suspend hooks of the process, and the calls of them.
//!
//! A thread for which hooks are called has a flag in its attention word, which each wait examines
//! anyway. So hooks cost nothing until one is added.

use std::sync::OnceLock;

use crate::green::ThreadInner;
use crate::green::block::{hook_new_threads, slab};
use crate::green::cancel::catch_and_discard;

/// Keeps a state of the OS thread separate for each green thread.
///
/// Some crates keep state in thread-locals of the OS thread: a current span, a current transaction,
/// a locale, a stack of contexts. Green threads of one worker share that OS thread. A hook takes
/// the state off the OS thread when a green thread is suspended, and puts it back when the thread
/// continues, so that each thread finds its own state. [`add_suspend_hook`] adds one.
///
/// With the feature `tracing` there is a hook for the spans of the crate `tracing` already.
///
/// # What a hook may do
///
/// The functions run on the green thread whose state it is, on its stack. They should neither
/// panic nor wait. A panic is discarded after its message was printed, and the state is lost. A
/// wait suspends the thread, and calls the hooks again, so a hook that waits in every call uses up
/// the stack: from the eighth such wait within another on, hooks are not called, and other threads
/// find the state. No cancellation ends these waits.
///
/// # Examples
///
/// See [`add_suspend_hook`].
///
/// ```
/// use rustlet::runtime::SuspendHook;
///
/// struct Nothing;
///
/// impl SuspendHook for Nothing {
///     type State = ();
///     fn suspend(&self) {}
///     fn resume(&self, (): ()) {}
/// }
/// ```
pub trait SuspendHook: Send + Sync + 'static {
    /// The state of a suspended thread. It is on the stack of that thread meanwhile.
    type State;

    /// Takes the state of the calling green thread off the OS thread. Called just before the green
    /// thread is suspended.
    ///
    /// Afterwards the OS thread must be in the state in which it was before any green thread ran:
    /// the next green thread begins, or continues, with it.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::runtime::SuspendHook;
    /// use std::cell::Cell;
    ///
    /// thread_local! { static LOCALE: Cell<&'static str> = const { Cell::new("C") }; }
    ///
    /// struct Locale;
    ///
    /// impl SuspendHook for Locale {
    ///     type State = &'static str;
    ///     fn suspend(&self) -> &'static str {
    ///         LOCALE.replace("C")
    ///     }
    ///     fn resume(&self, locale: &'static str) {
    ///         LOCALE.set(locale);
    ///     }
    /// }
    ///
    /// LOCALE.set("de");
    /// let state = Locale.suspend();
    /// assert_eq!(LOCALE.get(), "C");
    /// Locale.resume(state);
    /// assert_eq!(LOCALE.get(), "de");
    /// ```
    fn suspend(&self) -> Self::State;

    /// Puts the state back. Called on the same OS thread, before the green thread continues.
    ///
    /// # Examples
    ///
    /// See [`suspend`](SuspendHook::suspend).
    ///
    /// ```
    /// # use rustlet::runtime::SuspendHook;
    /// fn twice<H: SuspendHook>(hook: &H) {
    ///     let state = hook.suspend();
    ///     hook.resume(state);
    /// }
    /// ```
    fn resume(&self, state: Self::State);

    /// Takes the state off and drops it. Called when the thread has ended, after the destructors of
    /// its thread-locals.
    ///
    /// # Examples
    ///
    /// See [`suspend`](SuspendHook::suspend).
    ///
    /// ```
    /// # use rustlet::runtime::SuspendHook;
    /// fn forget<H: SuspendHook>(hook: &H) {
    ///     hook.end();
    /// }
    /// ```
    fn end(&self) {
        drop(self.suspend());
    }
}

/// A [`SuspendHook`] without the type of its state.
trait Erased: Send + Sync {
    fn around(&self, inner: &mut dyn FnMut());
    fn end(&self);
}

impl<H: SuspendHook> Erased for H {
    fn around(&self, inner: &mut dyn FnMut()) {
        /// Puts the state back, also if `inner` unwinds.
        struct Resume<'a, H: SuspendHook> {
            hook: &'a H,
            state: Option<H::State>,
        }
        impl<H: SuspendHook> Drop for Resume<'_, H> {
            fn drop(&mut self) {
                if let Some(state) = self.state.take() {
                    catch_and_discard(|| self.hook.resume(state));
                }
            }
        }
        let mut resume = Resume {
            hook: self,
            state: None,
        };
        catch_and_discard(|| resume.state = Some(self.suspend()));
        inner();
    }

    fn end(&self) {
        catch_and_discard(|| SuspendHook::end(self));
    }
}

/// The hooks of the process, in the order in which they were added. They stay.
struct Node {
    hook: Box<dyn Erased>,
    next: OnceLock<Box<Node>>,
}

static FIRST: OnceLock<Box<Node>> = OnceLock::new();

/// Adds a hook that is called at each suspension and resumption of each green thread of the
/// process, from now on and for the rest of the process.
///
/// Hooks are called in the order in which they were added, and at a resumption in the reverse
/// order. A [`Worker`](crate::Worker) that is stepped on an OS thread calls them, too, when it
/// begins and ends to run green threads there: the state of its user is taken off meanwhile.
///
/// Add hooks before the first runtime starts. A thread that is being spawned by another OS thread
/// during the call may go without the hook. So does the present wait of a thread that is suspended
/// already.
///
/// # Cost
///
/// None until a hook is added. From then on each suspension takes a slower path and calls the
/// hooks.
///
/// # Suspends
///
/// Does not suspend.
///
/// # Examples
///
/// ```
/// use rustlet::runtime::{SuspendHook, add_suspend_hook};
/// use std::cell::Cell;
///
/// thread_local! {
///     // Of the OS thread: what another crate might have.
///     static REQUEST: Cell<u32> = const { Cell::new(0) };
/// }
///
/// struct Request;
///
/// impl SuspendHook for Request {
///     type State = u32;
///     fn suspend(&self) -> u32 {
///         REQUEST.replace(0)
///     }
///     fn resume(&self, request: u32) {
///         REQUEST.set(request);
///     }
/// }
///
/// add_suspend_hook(Request);
/// rustlet::run(|| {
///     rustlet::scope(|s| {
///         for number in 1..=100 {
///             s.spawn(move || {
///                 REQUEST.set(number);
///                 rustlet::yield_now();
///                 assert_eq!(REQUEST.get(), number);
///             });
///         }
///     });
/// });
/// ```
pub fn add_suspend_hook<H: SuspendHook>(hook: H) {
    let mut new = Box::new(Node {
        hook: Box::new(hook),
        next: OnceLock::new(),
    });
    let mut last = &FIRST;
    while let Err(unset) = last.set(new) {
        new = unset;
        last = match last.get() {
            Some(node) => &node.next,
            None => unreachable!("it is set, and stays"),
        };
    }
    hook_new_threads();
    for green in slab::all() {
        green.note_hooked();
    }
}

/// Calls `f` with the state of the calling thread taken off the OS thread.
pub(crate) fn around<R>(f: impl FnOnce() -> R) -> R {
    let mut f = Some(f);
    let mut result = None;
    around_from(&FIRST, &mut || result = f.take().map(|f| f()));
    match result {
        Some(result) => result,
        None => unreachable!("the innermost call has made it"),
    }
}

fn around_from(node: &OnceLock<Box<Node>>, f: &mut dyn FnMut()) {
    match node.get() {
        Some(node) => node.hook.around(&mut || around_from(&node.next, f)),
        None => f(),
    }
}

/// Drops the state of the calling thread, which has ended.
#[cold]
pub(in crate::green) fn end(green: &ThreadInner) {
    if !green.is_hooked() {
        return;
    }
    let mut next = FIRST.get();
    while let Some(node) = next {
        node.hook.end();
        next = node.next.get();
    }
}
