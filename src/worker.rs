//! [`Worker`]: green threads that take their steps when the program says so, on the OS thread that says so.
//!
//! What runs them is `runtime/worker/stepped.rs`; here is its public face. All of it is called on the OS thread that made the
//! worker: a `Worker` is not `Send`. It lives in the frame of [`Worker::scope`] and is only lent out: `arch-notes/soundness.md` says
//! what a worker that could be forgotten, or kept in a thread-local, would break.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Instant;

use crate::green::Home;
use crate::runtime::spawn::Order;
use crate::runtime::stepped::Stepped;
use crate::runtime::{Builder, Handle};
use crate::sys::clock;
use crate::thread::JoinHandle;

/// A scheduler that is stepped by hand, on the OS thread that made it: for a game loop, a GUI, or any other loop that is
/// the program's own.
///
/// [`Worker::scope`] makes one, lends it to a closure, and ends it when the closure returns. A program calls it once, around its
/// whole loop; what the loop is made of may keep the reference.
///
/// [`run`](crate::run) starts OS threads that run green threads. A `Worker` starts none: its green threads run while the
/// program is inside [`tick`](Worker::tick) or [`work`](Worker::work), and stand still otherwise. So they can share with the loop
/// around them, and with each other, what is not [`Send`]: an `Rc`, a window, a scene.
///
/// ```
/// use rustlet::Worker;
/// use std::{cell::RefCell, rc::Rc};
///
/// let said = Rc::new(RefCell::new(Vec::new()));
/// Worker::scope(|worker| {
///     let letters = Rc::clone(&said);
///     worker.assign(move || {
///         letters.borrow_mut().push("a");
///         rustlet::yield_now();
///         letters.borrow_mut().push("z");
///     });
///     let numbers = Rc::clone(&said);
///     worker.assign(move || {
///         for number in ["1", "2", "3", "4"] {
///             numbers.borrow_mut().push(number);
///             rustlet::yield_now();
///         }
///     });
///     worker.work();
/// });
/// assert_eq!(*said.borrow(), ["a", "1", "z", "2", "3", "4"]);
/// ```
///
/// # What runs, and in which order
///
/// A *step* is what a green thread does from one wait to the next. Threads that are ready take their steps in turn: whoever has
/// been ready longest is next. A thread that is assigned or spawned goes to the end of the row, and so does one that is woken, or
/// that calls [`yield_now`](crate::yield_now). Nothing else has a say in it, so the order is the same each time, as far as
/// what comes from outside (sockets, timers, other OS threads) is.
///
/// Everything works as it does in [`run`](crate::run): sleeping, sockets, locks, channels, joining, scopes, `thread_local!`,
/// [`unblock`](crate::unblock) (on OS threads of the worker's own), cancelling. What is spawned by a green thread of a worker
/// stays on that worker. A panic stays in its green thread, and comes out of its [`join`](JoinHandle::join).
///
/// Between two calls nothing runs, and nothing is lost: wake-ups wait until the next tick, if ever it comes.
///
/// # Embedding
///
/// In a **loop that turns anyway**, such as that of a game, let the threads do what is due, then draw. A thread that always yields is
/// always ready, so bound the steps, by number or by time:
///
/// ```
/// # rustlet::Worker::scope(|worker| {
/// # let (mut frames, mut draw) = (0, || ());
/// worker.assign(|| rustlet::sleep(std::time::Duration::from_millis(2)));
/// while worker.live() > 0 {
///     for _ in 0..1_000 {
///         if !worker.tick() {
///             break;
///         }
///     }
///     draw();
/// #   frames += 1;
/// #   assert!(frames < 100_000_000);
/// }
/// # });
/// ```
///
/// The loop may be a type of its own, which keeps the worker for as long as it runs:
///
/// ```
/// struct Game<'w> {
///     worker: &'w rustlet::Worker,
///     frames: u32,
/// }
///
/// impl Game<'_> {
///     fn run(mut self) -> u32 {
///         while self.worker.tick() {
///             self.frames += 1;
///         }
///         self.frames
///     }
/// }
///
/// let frames = rustlet::Worker::scope(|worker| {
///     worker.assign(rustlet::yield_now);
///     Game { worker, frames: 0 }.run()
/// });
/// assert_eq!(frames, 2);
/// ```
///
/// In a **loop that sleeps until something happens**, such as a GUI's or that of another event library, watch the worker's
/// descriptor ([`as_fd`](Worker::as_fd)) for reading, level-triggered, and tick when it is readable. On Linux it is readable for as long as
/// there is something to do: a green thread is ready, a timer is due, a socket has news, another OS thread has sent
/// something. Elsewhere timers do not show in it: sleep no longer than [`next_deadline`](Worker::next_deadline) says.
///
/// ```
/// # use rustix::event::{PollFd, PollFlags, poll};
/// # rustlet::Worker::scope(|worker| {
/// let sleeper = worker.assign(|| rustlet::sleep(std::time::Duration::from_millis(2)));
/// while !sleeper.is_finished() {
///     // Here would be the loop's own descriptors, too.
///     poll(&mut [PollFd::new(worker, PollFlags::IN)], None)?;
///     worker.tick();
/// }
/// # std::io::Result::Ok(())
/// # })?;
/// # std::io::Result::Ok(())
/// ```
///
/// In a **loop that cannot watch descriptors**, tick at each turn, and sleep no longer than `next_deadline` says, nor longer
/// than the sockets may wait.
///
/// To **hand work over from other OS threads**, send it through a channel that one of the worker's threads receives from, or spawn it with
/// [`handle`](Worker::handle).
///
/// # What to know
///
/// - Ticking from inside a green thread is refused, be it the worker's own or another's: the one would wait for the other. So is
///   [`scope`](Worker::scope).
/// - On the worker's own OS thread, outside of a tick, nothing may wait for one of its green threads: who would step it? `join` sees that
///   and panics; a `recv`, a `lock` or a `wait` for something that one of them has to do blocks for ever. Wait in a
///   green thread, tick until it is there, or call [`work`](Worker::work). Other OS threads may wait for them.
/// - Several workers on one OS thread are fine, and so are runtimes beside them. [`spawn`](crate::spawn) outside of a tick goes to the
///   process-wide runtime; only inside, to the worker.
/// - With [`Builder::worker_scope`] the stack size, limits and the watchdog can be set.
///
/// # The end
///
/// When the closure of [`scope`](Worker::scope) has returned, or panicked, the green threads that have not ended are cancelled, and stepped
/// until they have: they unwind with [`Cancelled`](crate::Cancelled), and their destructors run, on this OS thread. They cannot be left behind,
/// because others may have borrowed from their stacks, and this OS thread goes on or ends. So if none of those that are left
/// has ended for five seconds ([`Builder::shutdown_timeout`] sets another patience), they are named on stderr, and the
/// process aborts. A thread that computes without a wait holds the end up for as long as it does.
///
/// A panic of the closure goes on when they have ended. If the scope itself is part of an unwinding, because a destructor opened it,
/// [`std::thread::panicking`] is true for the green threads too. They unwind all the same; but one that panics by itself meanwhile, and then
/// waits in a destructor, aborts the process. So does one with `panic = "abort"` that is cancelled at all.
///
/// # It stays on its OS thread
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<rustlet::Worker>();
/// ```
///
/// ```compile_fail,E0277
/// fn is_sync<T: Sync>() {}
/// is_sync::<rustlet::Worker>();
/// ```
///
/// and in its scope:
///
/// ```compile_fail
/// let kept = rustlet::Worker::scope(|worker| worker);
/// ```
///
/// What it is given may not borrow; it can share in an `Rc`:
///
/// ```compile_fail,E0373
/// rustlet::Worker::scope(|worker| {
///     let text = String::from("gone too early");
///     worker.assign(|| println!("{text}"));
/// });
/// ```
pub struct Worker {
    // Not `Send` and not `Sync`: by this `Rc`, which is never cloned.
    stepped: Rc<Stepped>,
}

// As a runtime: a panic of the user's does not come through here, so nothing is left half done.
impl UnwindSafe for Worker {}
impl RefUnwindSafe for Worker {}

impl Worker {
    /// Makes a worker of the calling OS thread, without any green threads, and calls `f` with it; ends the worker when `f`
    /// returns or unwinds, and gives what `f` gave. It takes five descriptors, and no OS thread.
    ///
    /// The end cancels the green threads that are left, and steps them until they have unwound: the type's text says more. `f` runs
    /// as a part of the caller, not as a green thread: what it waits for blocks the OS thread.
    ///
    /// # Panics
    ///
    /// No descriptor can be had ([`Builder::worker_scope`] gives an error instead), the caller is a green thread, or `f` panics.
    ///
    /// ```
    /// let answer = rustlet::Worker::scope(|worker| {
    ///     let answer = worker.assign(|| 6 * 7);
    ///     worker.assign(rustlet::park); // cancelled at the end
    ///     worker.tick();
    ///     answer.join().unwrap()
    /// });
    /// assert_eq!(answer, 42);
    /// ```
    #[track_caller]
    pub fn scope<F, T>(f: F) -> T
    where
        F: FnOnce(&Worker) -> T,
    {
        refuse_inside("scope");
        match Builder::new().open_stepped() {
            Ok(stepped) => lend(Worker { stepped }, f),
            Err(error) => panic!("Worker::scope: the worker cannot be made: {error}"),
        }
    }

    /// Spawns a green thread that is ready, and last in the row. It need not be [`Send`]. Never runs it: that does [`tick`](Worker::tick).
    ///
    /// # Panics
    ///
    /// A limit is reached (`max_threads`, address space, mappings).
    ///
    /// ```
    /// rustlet::Worker::scope(|worker| {
    ///     let answer = worker.assign(|| 6 * 7);
    ///     assert!(worker.tick());
    ///     assert_eq!(answer.join().unwrap(), 42);
    /// });
    /// ```
    #[track_caller]
    pub fn assign<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        match self.stepped.assign(Order::new(), f) {
            Ok(handle) => handle,
            Err(error) => panic!("Worker::assign: no green thread for the function: {error}"),
        }
    }

    /// Looks, without blocking, what timers, I/O and other OS threads have made ready, then runs one step of the green thread
    /// that has been ready longest. True if there was one.
    ///
    /// # Panics
    ///
    /// The caller is a green thread, of this worker or another one.
    ///
    /// ```
    /// rustlet::Worker::scope(|worker| {
    ///     worker.assign(rustlet::yield_now);
    ///     assert!(worker.tick()); // up to the `yield_now`
    ///     assert!(worker.tick()); // up to the end
    ///     assert!(!worker.tick());
    /// });
    /// ```
    #[track_caller]
    pub fn tick(&self) -> bool {
        refuse_inside("tick");
        self.stepped.step()
    }

    /// Runs green threads until all of this worker have ended. While none is ready it blocks the OS thread, until a
    /// timer, I/O or another OS thread makes one ready. The order is that of [`tick`](Worker::tick), though between steps it looks
    /// around more rarely.
    ///
    /// A [`timeout`](crate::timeout) around it is for the caller, not for the threads: it ends the call between two steps, and the threads go on when they are
    /// stepped again.
    ///
    /// # Panics
    ///
    /// The caller is a green thread, of this worker or another one.
    ///
    /// ```
    /// rustlet::Worker::scope(|worker| {
    ///     let late = worker.assign(|| rustlet::sleep(std::time::Duration::from_millis(1)));
    ///     worker.work();
    ///     assert!(late.is_finished());
    /// });
    /// ```
    #[track_caller]
    pub fn work(&self) {
        refuse_inside("work");
        self.stepped.work();
    }

    /// How many green threads have not ended: those of [`assign`](Worker::assign), and what they have spawned.
    ///
    /// ```
    /// rustlet::Worker::scope(|worker| {
    ///     worker.assign(|| rustlet::spawn(|| ()));
    ///     assert_eq!(worker.live(), 1);
    ///     worker.tick();
    ///     assert_eq!(worker.live(), 1); // the one has ended, the other not begun
    ///     worker.work();
    ///     assert_eq!(worker.live(), 0);
    /// });
    /// ```
    #[must_use]
    pub fn live(&self) -> usize {
        self.stepped.live()
    }

    /// When [`tick`](Worker::tick) has to be called at the latest, unless something happens before: at the next timer; now, or
    /// earlier, if there is something to do; none, if everything waits for something else.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// rustlet::Worker::scope(|worker| {
    ///     assert_eq!(worker.next_deadline(), None);
    ///     worker.assign(|| rustlet::sleep(Duration::from_secs(60)));
    ///     assert!(worker.next_deadline().unwrap() <= Instant::now());
    ///     assert!(worker.tick());
    ///     let deadline = worker.next_deadline().unwrap();
    ///     assert!(deadline > Instant::now() + Duration::from_secs(50));
    /// });
    /// ```
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        clock::instant_at(self.stepped.due())
    }

    /// A descriptor that is readable when there is something to do; the type's text tells how to use it. It is for
    /// polling only, and level-triggered: it stays readable until ticks have done what there was. The worker keeps and closes it.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    ///
    /// rustlet::Worker::scope(|worker| {
    ///     assert_eq!(worker.as_fd().as_raw_fd(), worker.as_raw_fd());
    /// });
    /// ```
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.stepped.fd()
    }

    /// Something to spawn with on this worker from other OS threads. What they spawn is taken in at the next tick, and after the
    /// worker's end is cancelled at once.
    ///
    /// ```
    /// rustlet::Worker::scope(|worker| {
    ///     let handle = worker.handle();
    ///     let other = std::thread::spawn(move || handle.spawn(|| "from afar").join().unwrap());
    ///     while !other.is_finished() {
    ///         worker.tick();
    ///     }
    ///     assert_eq!(other.join().unwrap(), "from afar");
    /// });
    /// ```
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.stepped.handle()
    }
}

impl Builder {
    /// Calls `f` with a [`Worker`] of the calling OS thread instead of making a runtime: [`Worker::scope`] with the builder's
    /// settings. `workers` means nothing to it, and `name` is for the OS threads of its blocking pool.
    ///
    /// # Errors
    ///
    /// No descriptor can be had (see `ulimit -n`), no OS thread for the watchdog, or `RUSTLET_STACK_SIZE` is set to
    /// something that is not a positive number (`InvalidInput`). Then `f` is not called.
    ///
    /// # Panics
    ///
    /// The caller is a green thread, or `f` panics.
    ///
    /// ```
    /// rustlet::Builder::new().stack_size(1 << 20).worker_scope(|worker| {
    ///     worker.assign(|| ());
    ///     worker.work();
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn worker_scope<F, T>(self, f: F) -> io::Result<T>
    where
        F: FnOnce(&Worker) -> T,
    {
        refuse_inside("scope");
        let stepped = self.open_stepped()?;
        Ok(lend(Worker { stepped }, f))
    }
}

/// Calls `f` and ends the worker, in this order, whether `f` returns or unwinds. While it ends nothing unwinds: the green threads see that they do
/// not, and it may be waited for.
fn lend<T>(worker: Worker, f: impl FnOnce(&Worker) -> T) -> T {
    let result = catch_unwind(AssertUnwindSafe(|| f(&worker)));
    drop(worker);
    result.unwrap_or_else(|payload| resume_unwind(payload))
}

#[track_caller]
fn refuse_inside(what: &str) {
    assert!(
        Home::of_thread().is_none(),
        "Worker::{what}: called inside a green thread; a Worker is stepped by the OS thread's own code"
    );
}

impl AsFd for Worker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        Worker::as_fd(self)
    }
}

impl AsRawFd for Worker {
    fn as_raw_fd(&self) -> RawFd {
        Worker::as_fd(self).as_raw_fd()
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("live", &self.live())
            .finish_non_exhaustive()
    }
}
