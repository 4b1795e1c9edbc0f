//! The state that all threads of a round share, and the conditions that it must meet at the end.

use crate::dice::Dice;
use crate::ledger::{Count, Ledger, Token};
use crate::watch::{until, wrong};
use rustlet::channel::{self, Receiver, Sender};
use rustlet::mailbox::{Address, Mailbox};
use rustlet::net::TcpListener;
use rustlet::sync::{
    Barrier, Condvar, Event, Mutex, MutexGuard, Once, OnceLock, PoisonError, RwLock, Semaphore,
    TryLockError, mpsc,
};
use rustlet::timeout;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// Permits of the semaphore.
pub(crate) const PERMITS: usize = 3;
/// Number of threads that meet at the barrier.
pub(crate) const MEETING: usize = 3;

/// Data under a lock: it detects whether the lock excludes others.
#[derive(Default)]
pub(crate) struct Guarded {
    writers: AtomicIsize,
    readers: AtomicIsize,
}

/// Inside the lock, until it is dropped.
pub(crate) struct Inside<'a>(&'a AtomicIsize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Guarded {
    pub(crate) fn alone(&self) -> Inside<'_> {
        if self.writers.fetch_add(1, SeqCst) != 0 || self.readers.load(SeqCst) != 0 {
            wrong("two are inside one lock");
        }
        Inside(&self.writers)
    }

    pub(crate) fn beside_others(&self) -> Inside<'_> {
        self.readers.fetch_add(1, SeqCst);
        if self.writers.load(SeqCst) != 0 {
            wrong("a reader beside a writer");
        }
        Inside(&self.readers)
    }
}

/// A lock, and whether a thread has panicked with it.
#[derive(Default)]
pub(crate) struct Marked<T> {
    pub(crate) lock: T,
    pub(crate) injected: AtomicBool,
}

/// An initialiser that may fail, and the number of times that it did not.
pub(crate) struct Initialised {
    pub(crate) once: Once,
    pub(crate) value: OnceLock<u64>,
    pub(crate) done: AtomicUsize,
    pub(crate) inside: AtomicIsize,
    pub(crate) injected: AtomicBool,
}

impl Initialised {
    fn new() -> Initialised {
        Initialised {
            once: Once::new(),
            value: OnceLock::new(),
            done: AtomicUsize::new(0),
            inside: AtomicIsize::new(0),
            injected: AtomicBool::new(false),
        }
    }
}

pub(crate) struct World {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) mutexes: [Marked<Mutex<Guarded>>; 3],
    pub(crate) rwlocks: [Marked<RwLock<Guarded>>; 2],
    /// An item to consume, and its notifications.
    pub(crate) stock: Marked<Mutex<u64>>,
    pub(crate) stocked: Condvar,
    pub(crate) semaphore: Arc<Semaphore>,
    pub(crate) permits_out: AtomicUsize,
    pub(crate) barrier: Barrier,
    pub(crate) event: Event,
    pub(crate) initialised: Vec<Initialised>,
    pub(crate) channels: [(Sender<Token>, Receiver<Token>); 4],
    pub(crate) mpsc: (mpsc::Sender<Token>, Mutex<mpsc::Receiver<Token>>),
    pub(crate) sync_mpsc: (mpsc::SyncSender<Token>, Mutex<mpsc::Receiver<Token>>),
    pub(crate) mailbox: (Address<Token>, Mailbox<Token>),
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) place: PathBuf,
    pub(crate) files: AtomicUsize,
    /// Number of live values of thread-locals.
    pub(crate) locals: AtomicIsize,
    /// Number of live guards of threads, scopes and jobs.
    pub(crate) alive: AtomicIsize,
}

/// Counts live instances.
pub(crate) struct Alive(Arc<World>);

impl Alive {
    pub(crate) fn new(world: &Arc<World>) -> Alive {
        world.alive.fetch_add(1, SeqCst);
        Alive(Arc::clone(world))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, SeqCst);
    }
}

pub(crate) fn locked<'a, T>(
    result: Result<MutexGuard<'a, T>, PoisonError<MutexGuard<'a, T>>>,
) -> MutexGuard<'a, T> {
    result.unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(dice: &mut Dice, tokens: usize) -> Arc<World> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let place = std::env::temp_dir().join(format!(
            "rustlet-soak-{}-{:x}",
            std::process::id(),
            dice.roll()
        ));
        std::fs::create_dir(&place).expect("a directory");
        let (sender, receiver) = mpsc::channel();
        let (sync_sender, sync_receiver) = mpsc::sync_channel(dice.below(3) as usize);
        let mailbox = Mailbox::new();
        Arc::new(World {
            ledger: Ledger::new(tokens),
            mutexes: Default::default(),
            rwlocks: Default::default(),
            stock: Marked::default(),
            stocked: Condvar::new(),
            semaphore: Arc::new(Semaphore::new(PERMITS)),
            permits_out: AtomicUsize::new(0),
            barrier: Barrier::new(MEETING),
            event: Event::new(),
            initialised: (0..40).map(|_| Initialised::new()).collect(),
            channels: [
                channel::bounded(0),
                channel::bounded(1),
                channel::bounded(4),
                channel::unbounded(),
            ],
            mpsc: (sender, Mutex::new(receiver)),
            sync_mpsc: (sync_sender, Mutex::new(sync_receiver)),
            mailbox: (mailbox.address(), mailbox),
            listener,
            address,
            place,
            files: AtomicUsize::new(0),
            locals: AtomicIsize::new(0),
            alive: AtomicIsize::new(0),
        })
    }

    /// Checks the state after all its users have ended: it must be as if no thread had used it.
    pub(crate) fn settle(world: Arc<World>) -> Count {
        let Some(world) = Arc::into_inner(world) else {
            wrong("the world is still referenced: a closure, or a stack, has not been dropped");
        };
        for (name, left) in [("guards", &world.alive), ("thread-locals", &world.locals)] {
            if left.load(SeqCst) != 0 {
                wrong(&format!("{} {name} are left", left.load(SeqCst)));
            }
        }
        world.settle_locks();
        world.settle_meetings();
        world.empty_channels();
        let count = world.ledger.settle();
        // A call on the pool whose caller was cancelled continues, and may create a file now.
        until("the directory cannot be removed", || {
            std::fs::remove_dir_all(&world.place).is_ok()
        });
        count
    }

    fn settle_locks(&self) {
        fn free<G>(name: &str, result: Result<G, TryLockError<G>>, injected: &AtomicBool) {
            match result {
                Err(TryLockError::WouldBlock) => wrong(&format!("the {name} is held")),
                Err(TryLockError::Poisoned(_)) if !injected.load(SeqCst) => {
                    wrong(&format!(
                        "the {name} is poisoned, and no thread has panicked with it"
                    ));
                }
                Err(TryLockError::Poisoned(_)) | Ok(_) => {}
            }
        }
        for mutex in &self.mutexes {
            free("mutex", mutex.lock.try_lock(), &mutex.injected);
        }
        for lock in &self.rwlocks {
            free("rwlock, to write,", lock.lock.try_write(), &lock.injected);
            free("rwlock, to read,", lock.lock.try_read(), &lock.injected);
        }
        free("stock", self.stock.lock.try_lock(), &self.stock.injected);
        let no_panic = AtomicBool::new(false);
        free("mpsc receiver", self.mpsc.1.try_lock(), &no_panic);
        free(
            "mpsc receiver, bounded,",
            self.sync_mpsc.1.try_lock(),
            &no_panic,
        );
        if self.semaphore.available_permits() != PERMITS || self.permits_out.load(SeqCst) != 0 {
            wrong(&format!(
                "{} of {PERMITS} permits are back",
                self.semaphore.available_permits()
            ));
        }
        for one in &self.initialised {
            if one.inside.load(SeqCst) != 0 || one.done.load(SeqCst) > 1 {
                wrong("an initialiser has run twice, or is still inside");
            }
            if one.once.is_completed() != (one.done.load(SeqCst) == 1) {
                wrong("an initialiser, and whether it has run");
            }
            // No thread is inside, so this runs at once, unless a thread has panicked there.
            if !one.injected.load(SeqCst) {
                one.once.call_once(|| ());
            }
            one.value.get_or_init(|| 7);
        }
    }

    /// Threads that have left the barrier before the others arrived are not counted, and it still
    /// lets through as many as it reports.
    fn settle_meetings(&self) {
        rustlet::run(|| {
            rustlet::scope(|s| {
                for _ in 1..MEETING {
                    s.spawn(|| {
                        if timeout(Duration::from_millis(1), || self.barrier.wait()).is_ok() {
                            wrong("the barrier counts a thread that has left");
                        }
                    });
                }
            });
            let leaders = AtomicUsize::new(0);
            rustlet::scope(|s| {
                for _ in 0..MEETING {
                    s.spawn(|| leaders.fetch_add(self.barrier.wait().is_leader().into(), SeqCst));
                }
            });
            if leaders.load(SeqCst) != 1 {
                wrong("the barrier has another number of leaders than one");
            }
        });
    }

    fn empty_channels(&self) {
        for (_, receiver) in &self.channels {
            receiver.try_iter().for_each(Token::receive);
        }
        for receiver in [&self.mpsc.1, &self.sync_mpsc.1] {
            locked(receiver.lock()).try_iter().for_each(Token::receive);
        }
        while let Ok(token) = self.mailbox.1.try_receive() {
            token.receive();
        }
    }
}
