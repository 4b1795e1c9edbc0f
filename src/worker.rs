//! [`Worker`]: a scheduler of green threads that the program steps, on the OS thread that made it.
//!
//! The engine is `runtime/stepped.rs`; this is its public interface. All of it is called on
//! the OS thread that made the worker: a `Worker` is not `Send`. It lives in the frame of
//! [`Worker::scope`] and is only lent out: `arch-notes/soundness.md` says what a worker that could
//! be forgotten, or kept in a thread-local, would break.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Instant;

use crate::green::WorkerContext;
use crate::runtime::spawn::SpawnRequest;
use crate::runtime::stepped::Stepped;
use crate::runtime::{Builder, Handle};
use crate::sys::clock;
use crate::thread::JoinHandle;

/// A scheduler that is stepped by hand, on the OS thread that made it: for a game loop, a GUI, or
/// another event loop of the program.
///
/// [`Worker::scope`] creates one, lends it to a closure, and ends it when the closure returns. A
/// program calls it once, around its whole loop; the parts of the loop may keep the reference.
///
/// [`run`](crate::run) starts OS threads that run green threads. A `Worker` starts none: its green
/// threads run only while the program is inside [`tick`](Worker::tick) or [`work`](Worker::work).
/// So they can share data that is not [`Send`] with the loop around them and with each other: an
/// `Rc`, a window, a scene.
///
/// # Examples
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
/// # Execution order
///
/// A *step* is the part of a green thread between two waits. Ready threads are in a FIFO queue, and
/// each step is of the first one. A thread that is assigned, spawned, or woken, or calls
/// [`yield_now`](crate::yield_now), goes to the end of the queue. Nothing else affects the order,
/// so it is deterministic as far as external events (sockets, timers, other OS threads) are.
///
/// Everything works as in [`run`](crate::run): sleeping, sockets, locks, channels, joining, scopes,
/// `thread_local!`, [`unblock`](crate::unblock) (on OS threads of the worker's own), cancelling.
/// Threads that a green thread of a worker spawns stay on that worker. A panic stays in its green
/// thread and comes out of its [`join`](JoinHandle::join).
///
/// Between two calls nothing runs and nothing is lost: wake-ups wait until the next tick.
///
/// # Embedding
///
/// In a **loop that runs anyway**, such as a game's, let the threads do their due work, then draw.
/// A thread that always yields is always ready, so bound the steps by number or by time:
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
/// The loop may be a type of its own that keeps the worker for as long as it runs:
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
/// In a **loop that sleeps until something happens**, such as a GUI's or that of another event
/// library, watch the worker's descriptor ([`as_fd`](Worker::as_fd)) for reading, level-triggered,
/// and tick when it is readable. On Linux it is readable as long as there is work: a green thread
/// is ready, a timer is due, a socket has an event, another OS thread has sent something. On other
/// systems it does not cover timers: sleep no longer than [`next_deadline`](Worker::next_deadline)
/// says.
///
/// ```
/// # use rustix::event::{PollFd, PollFlags, poll};
/// # rustlet::Worker::scope(|worker| {
/// let sleeper = worker.assign(|| rustlet::sleep(std::time::Duration::from_millis(2)));
/// while !sleeper.is_finished() {
///     // The loop's own descriptors would be here, too.
///     poll(&mut [PollFd::new(worker, PollFlags::IN)], None)?;
///     worker.tick();
/// }
/// # std::io::Result::Ok(())
/// # })?;
/// # std::io::Result::Ok(())
/// ```
///
/// In a **loop that cannot watch descriptors**, tick in each iteration, and sleep no longer than
/// `next_deadline` says, nor longer than sockets may wait.
///
/// To **hand work over from other OS threads**, send it through a channel that one of the worker's
/// threads receives from, or spawn it with [`handle`](Worker::handle).
///
/// # What to know
///
/// - Ticking inside a green thread panics, whether it is the worker's own or another's: the one
///   would wait for the other. So does [`scope`](Worker::scope).
/// - On the worker's own OS thread, outside of a tick, nothing may wait for one of its green
///   threads, because they are not stepped meanwhile. `join` detects that and panics; a `recv`, a
///   `lock` or a `wait` for something that one of them has to do blocks forever. Wait in a green
///   thread, tick until the result is there, or call [`work`](Worker::work). Other OS threads may
///   wait for them.
/// - Several workers on one OS thread are allowed, and so are runtimes beside them.
///   [`spawn`](crate::spawn) outside of a tick uses the process-wide runtime; inside, the worker.
/// - [`Builder::worker_scope`] sets the stack size, limits and the watchdog.
///
/// # Shutdown
///
/// When the closure of [`scope`](Worker::scope) has returned or panicked, the remaining green
/// threads are cancelled and stepped until they have ended: they unwind with
/// [`Cancelled`](crate::Cancelled), and their destructors run, on this OS thread. They cannot be
/// left behind, because others may have borrowed from their stacks. So if none of the remaining
/// threads has ended for five seconds ([`Builder::shutdown_timeout`] sets another limit), their
/// names are printed on stderr and the process aborts. A thread that computes without a wait delays
/// the end.
///
/// A panic of the closure is resumed when they have ended. If the scope itself is part of an
/// unwinding, because a destructor opened it, [`std::thread::panicking`] is true for the green
/// threads too. They unwind all the same; but one that panics meanwhile, and then waits in a
/// destructor, aborts the process. So does any cancelled thread with `panic = "abort"`.
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
/// Its threads may not borrow; they can share an `Rc`:
///
/// ```compile_fail,E0373
/// rustlet::Worker::scope(|worker| {
///     let text = String::from("gone too early");
///     worker.assign(|| println!("{text}"));
/// });
/// ```
#[doc(alias = "LocalPool")]
#[doc(alias = "LocalSet")]
#[doc(alias = "current_thread")]
pub struct Worker {
    // Not `Send` and not `Sync`: because of this `Rc`, which is never cloned.
    stepped: Rc<Stepped>,
}

// As for a runtime: a panic of user code does not pass through here, so it leaves no broken state.
impl UnwindSafe for Worker {}
impl RefUnwindSafe for Worker {}

impl Worker {
    /// Creates a worker on the calling OS thread, calls `f` with it, ends the worker, and returns
    /// the result of `f`.
    ///
    /// The worker uses five descriptors and no OS thread. Its end cancels the remaining green
    /// threads and steps them until they have unwound; see the type's documentation. `f` runs as
    /// part of the caller, not as a green thread: its waits block the OS thread.
    ///
    /// # Panics
    ///
    /// Panics if there is no free descriptor ([`Builder::worker_scope`] returns an error instead),
    /// the caller is a green thread, or `f` panics.
    ///
    /// # Examples
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
            Err(error) => panic!("Worker::scope: cannot create the worker: {error}"),
        }
    }

    /// Spawns a green thread at the end of the ready queue. `f` need not be [`Send`]. It does not
    /// run before a [`tick`](Worker::tick).
    ///
    /// # Panics
    ///
    /// Panics if a limit is reached (`max_threads`, address space, mappings).
    ///
    /// # Examples
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
        match self.stepped.assign(SpawnRequest::new(), f) {
            Ok(handle) => handle,
            Err(error) => panic!("Worker::assign: cannot spawn the green thread: {error}"),
        }
    }

    /// Polls timers, I/O and other OS threads without blocking, then runs one step of the first
    /// ready green thread. Returns `true` if there was one.
    ///
    /// # Panics
    ///
    /// Panics if the caller is a green thread, of this worker or another one.
    ///
    /// # Examples
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

    /// Runs green threads until all threads of this worker have ended.
    ///
    /// While none is ready it blocks the OS thread, until a timer, I/O or another OS thread makes
    /// one ready. The order is that of [`tick`](Worker::tick), but it polls for events less often
    /// between steps.
    ///
    /// A [`timeout`](crate::timeout) around it applies to the caller, not to the threads: it ends
    /// the call between two steps, and the threads go on when they are stepped again.
    ///
    /// # Panics
    ///
    /// Panics if the caller is a green thread, of this worker or another one.
    ///
    /// # Examples
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

    /// Returns the number of green threads that have not ended: those of [`assign`](Worker::assign)
    /// and the threads that they have spawned.
    ///
    /// # Examples
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

    /// Returns the latest time at which [`tick`](Worker::tick) should be called: the next timer, a
    /// time in the past if work is ready, `None` if everything is waiting for external events.
    ///
    /// # Examples
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

    /// Returns a descriptor that is readable when there is work; see the type's documentation for
    /// its use.
    ///
    /// It is for polling only, and level-triggered: it stays readable until ticks have done the
    /// work. The worker keeps and closes it.
    ///
    /// # Examples
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

    /// Returns a cloneable handle that spawns onto this worker from any OS thread. Its threads are
    /// accepted at the next tick; after the worker's end they are cancelled at once.
    ///
    /// # Examples
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
    /// Calls `f` with a [`Worker`] on the calling OS thread, as [`Worker::scope`], with the
    /// builder's settings. `workers` has no effect, and `name` is for the OS threads of its
    /// blocking pool.
    ///
    /// # Errors
    ///
    /// Returns an error, without calling `f`, if there is no free descriptor (see `ulimit -n`) or
    /// no OS thread for the watchdog, or `RUSTLET_STACK_SIZE` is not a positive number
    /// (`InvalidInput`).
    ///
    /// # Panics
    ///
    /// Panics if the caller is a green thread, or `f` panics.
    ///
    /// # Examples
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

/// Calls `f` and ends the worker, in this order, whether `f` returns or unwinds. Nothing unwinds
/// while it ends: the green threads see that, and the end may wait.
fn lend<T>(worker: Worker, f: impl FnOnce(&Worker) -> T) -> T {
    let result = catch_unwind(AssertUnwindSafe(|| f(&worker)));
    drop(worker);
    result.unwrap_or_else(|payload| resume_unwind(payload))
}

#[track_caller]
fn refuse_inside(what: &str) {
    assert!(
        WorkerContext::of_thread().is_none(),
        "Worker::{what}: called inside a green thread; call it from the OS thread's own code"
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
