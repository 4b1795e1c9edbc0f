//! [`CancelToken`]: a cancel scope that the program cancels explicitly. It uses the mechanism of
//! `timeout`, in `green/cancel/scopes.rs`.
//!
//! CT1. The flag of a node is set under the lock of its links. A waiter or a child is added under
//!      that lock, and then the flag is read: so each of them is either woken or cancelled by the
//!      call that sets the flag, or sees the flag.

use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::channel::{self, Key, LevelSource, Observers, Receiver};
use crate::green::budget::poll_budget_quietly;
use crate::green::cancel::{CancelLimit, assert_unwinding, within};
use crate::green::{Reason, Unparker, Wait, park};
use crate::shim::lock;

/// Token that cancels calls in any number of threads, like tokio-util's `CancellationToken` and
/// Go's `context.WithCancel`.
///
/// [`run_until_cancelled`](CancelToken::run_until_cancelled) runs a closure and ends its waits when
/// [`cancel`](CancelToken::cancel) is called. It ends them in the way of
/// [`timeout`](crate::timeout): the wait unwinds, destructors run, and no message is printed.
/// Clones are the same token. A token stays cancelled forever.
///
/// A [child token](CancelToken::child_token) is cancelled when its parent is, and can also be
/// cancelled without it.
///
/// # Examples
///
/// ```
/// use rustlet::{CancelToken, park};
///
/// rustlet::run(|| {
///     let token = CancelToken::new();
///     let threads: Vec<_> = (0..3)
///         .map(|n| {
///             let token = token.clone();
///             rustlet::spawn(move || match token.run_until_cancelled(park) {
///                 Some(()) => "unparked",
///                 None if n == 0 => "the first has cleaned up",
///                 None => "has cleaned up",
///             })
///         })
///         .collect();
///     token.cancel();
///     for thread in threads {
///         assert!(thread.join().unwrap().ends_with("cleaned up"));
///     }
/// });
/// ```
#[doc(alias = "CancellationToken")]
#[doc(alias = "WithCancel")]
#[doc(alias = "context")]
#[doc(alias = "CancelScope")]
#[derive(Clone)]
pub struct CancelToken(Arc<Node>);

/// Cancels a [`CancelToken`] when it is dropped.
///
/// # Examples
///
/// ```
/// let token = rustlet::CancelToken::new();
/// drop(token.clone().drop_guard());
/// assert!(token.is_cancelled());
/// ```
#[must_use = "if unused the token is cancelled at once"]
pub struct DropGuard(Option<CancelToken>);

struct Node {
    cancelled: AtomicBool,
    links: Mutex<Links>,
    /// Keeps the ancestors of this node alive; never read otherwise.
    parent: Option<Arc<Node>>,
}

#[derive(Default)]
struct Links {
    observers: Observers,
    children: Vec<Weak<Node>>,
    /// The number of children that were left when dropped ones were last removed.
    alive: usize,
}

/// The number of children at which dropped ones are first removed from the list.
const MIN_SWEPT: usize = 16;

impl Node {
    fn new(parent: Option<Arc<Node>>) -> Arc<Node> {
        Arc::new(Node {
            cancelled: AtomicBool::new(false),
            links: Mutex::default(),
            parent,
        })
    }

    fn is_set(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Cancels the node and those below it.
    fn cancel(self: &Arc<Node>) {
        let mut left = vec![Arc::clone(self)];
        while let Some(node) = left.pop() {
            let mut links = lock(&node.links);
            // CT1. Release: pairs with the Acquire of `is_set`, and that of the scopes.
            if node.cancelled.swap(true, Ordering::Release) {
                continue;
            }
            let observers = links.observers.take();
            let children = std::mem::take(&mut links.children);
            drop(links);
            channel::wake(observers);
            left.extend(children.iter().filter_map(Weak::upgrade));
        }
    }

    fn add_child(&self, child: &Arc<Node>) {
        let mut links = lock(&self.links);
        if links.children.len() >= MIN_SWEPT.max(links.alive * 2) {
            links.children.retain(|child| child.strong_count() > 0);
            links.alive = links.children.len();
        }
        links.children.push(Arc::downgrade(child));
    }
}

/// Drops one node after the other, because a recursive drop of a long chain would overflow the
/// stack.
impl Drop for Node {
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut node) = next.and_then(Arc::into_inner) {
            next = node.parent.take();
        }
    }
}

impl LevelSource for Node {
    fn is_ready(&self) -> bool {
        self.is_set()
    }

    fn arm(&self, waiter: Unparker) -> Key {
        lock(&self.links).observers.add(waiter)
    }

    fn disarm(&self, key: Key) {
        let gone = lock(&self.links).observers.remove(key);
        drop(gone);
    }
}

/// Registers the calling thread as a waiter of a node until it is dropped.
struct Registered<'a>(&'a Node, Key);

impl Registered<'_> {
    fn new(node: &Node) -> Registered<'_> {
        Registered(node, node.arm(Unparker::current()))
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.0.disarm(self.1);
    }
}

impl CancelToken {
    /// Creates a token that is not cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!rustlet::CancelToken::new().is_cancelled());
    /// ```
    #[must_use]
    pub fn new() -> CancelToken {
        CancelToken(Node::new(None))
    }

    /// Creates a token that is cancelled when this one is, and can also be cancelled without it. If
    /// this token is cancelled already, the new one is too. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let server = rustlet::CancelToken::new();
    /// let request = server.child_token();
    /// let other = server.child_token();
    /// request.cancel();
    /// assert!(!server.is_cancelled() && !other.is_cancelled());
    /// server.cancel();
    /// assert!(other.is_cancelled());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn child_token(&self) -> CancelToken {
        poll_budget_quietly(Location::caller());
        let child = Node::new(Some(Arc::clone(&self.0)));
        self.0.add_child(&child);
        if self.0.is_set() {
            // CT1.
            child.cancel();
        }
        CancelToken(child)
    }

    /// Cancels the token, its children and their children: ends the waits of the closures that run
    /// in [`run_until_cancelled`](CancelToken::run_until_cancelled) of these tokens. Does not wait.
    /// Later calls have no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// let token = rustlet::CancelToken::new();
    /// token.cancel();
    /// assert!(token.is_cancelled());
    /// ```
    #[track_caller]
    pub fn cancel(&self) {
        poll_budget_quietly(Location::caller());
        self.0.cancel();
    }

    /// Returns `true` if the token or one of its ancestors was cancelled. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let token = rustlet::CancelToken::new();
    /// assert!(!token.is_cancelled());
    /// token.cancel();
    /// assert!(token.is_cancelled());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn is_cancelled(&self) -> bool {
        poll_budget_quietly(Location::caller());
        self.0.is_set()
    }

    /// Runs `f` and returns its value, or `None` if a cancellation of the token has ended a wait of
    /// `f`.
    ///
    /// `f` runs in place and may borrow. When the token is cancelled, the wait that `f` is in, or
    /// the next one that it enters, unwinds to this call. It nests with [`timeout`](crate::timeout)
    /// and [`shield`](crate::shield), and the rules that `timeout` documents for waits that unwind
    /// apply here too. If the token is cancelled already, `f` still runs, up to its first wait.
    /// Threads that `f` spawns are not affected, except those of a [`scope`](crate::scope).
    ///
    /// On an OS thread, too, it ends the waits of this crate. A socket operation there ends within
    /// ten milliseconds.
    ///
    /// # Panics
    ///
    /// Propagates a panic of `f`. Always panics in a program that is built with `panic = "abort"`,
    /// because nothing can unwind there.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::{CancelToken, park};
    ///
    /// let token = CancelToken::new();
    /// assert_eq!(token.run_until_cancelled(|| 5), Some(5));
    /// token.cancel();
    /// assert_eq!(token.run_until_cancelled(park), None);
    /// // Without a wait there is nothing to end.
    /// assert_eq!(token.run_until_cancelled(|| 5), Some(5));
    /// ```
    #[track_caller]
    pub fn run_until_cancelled<F, T>(&self, f: F) -> Option<T>
    where
        F: FnOnce() -> T,
    {
        assert_unwinding("run_until_cancelled");
        poll_budget_quietly(Location::caller());
        let _registered = Registered::new(&self.0);
        within(CancelLimit::Flag(&self.0.cancelled), f).ok()
    }

    /// Waits until the token is cancelled. Returns at once if it is cancelled already.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then. On an OS thread it blocks.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; the token does not change.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let token = rustlet::CancelToken::new();
    ///     let canceller = token.clone();
    ///     rustlet::spawn(move || canceller.cancel());
    ///     token.cancelled();
    /// });
    /// ```
    #[track_caller]
    pub fn cancelled(&self) {
        let wait = Wait::new(Reason::CancelToken);
        crate::green::budget::poll_budget(wait.at);
        if self.0.is_set() {
            return;
        }
        let _registered = Registered::new(&self.0);
        while !self.0.is_set() {
            park(&wait);
        }
    }

    /// Returns a receiver for [`select!`](crate::channel::select) that becomes ready when the token
    /// is cancelled, and stays ready: each `recv` then returns `Ok(())`. Creating the receiver does
    /// not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::CancelToken;
    /// use rustlet::channel::{select, unbounded};
    ///
    /// let token = CancelToken::new();
    /// let (_sender, jobs) = unbounded::<u32>();
    /// token.cancel();
    /// select! {
    ///     recv(jobs) -> job => panic!("received {job:?}"),
    ///     recv(token.done()) -> _ => {}
    /// }
    /// ```
    #[doc(alias = "Done")]
    #[must_use]
    #[track_caller]
    pub fn done(&self) -> Receiver<()> {
        poll_budget_quietly(Location::caller());
        channel::source(Arc::clone(&self.0) as Arc<dyn LevelSource>)
    }

    /// Turns the token into a guard that cancels it when the guard is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::CancelToken;
    ///
    /// fn serve(token: CancelToken) {
    ///     // However this function ends, its helpers end too.
    ///     let _guard = token.drop_guard();
    /// }
    /// let token = CancelToken::new();
    /// serve(token.clone());
    /// assert!(token.is_cancelled());
    /// ```
    pub fn drop_guard(self) -> DropGuard {
        DropGuard(Some(self))
    }
}

impl DropGuard {
    /// Returns the token without cancelling it.
    ///
    /// # Examples
    ///
    /// ```
    /// let guard = rustlet::CancelToken::new().drop_guard();
    /// assert!(!guard.disarm().is_cancelled());
    /// ```
    #[must_use]
    pub fn disarm(mut self) -> CancelToken {
        self.0.take().unwrap_or_default()
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(token) = &self.0 {
            token.0.cancel();
        }
    }
}

impl Default for CancelToken {
    fn default() -> CancelToken {
        CancelToken::new()
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken")
            .field("is_cancelled", &self.0.is_set())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for DropGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DropGuard").field(&self.0).finish()
    }
}
