//! Detects hangs, and reports the seed of a failure.

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// A real panic that the soak test intends.
#[derive(Debug)]
pub(crate) struct Injected;

/// A round takes less than a second; but machines may be busy or slow.
const PATIENCE: Duration = Duration::from_secs(100);

static SEED: AtomicU64 = AtomicU64::new(0);
static ROUND: AtomicUsize = AtomicUsize::new(0);
pub(crate) static STEPS: AtomicUsize = AtomicUsize::new(0);

/// Reports the failure and the threads that are alive, and ends the process.
pub(crate) fn wrong(what: &str) -> ! {
    let threads = rustlet::runtime::threads();
    eprintln!(
        "{what}\nround {} of RUSTLET_SEED={}, after {} steps; {} green threads are alive",
        ROUND.load(SeqCst),
        SEED.load(SeqCst),
        STEPS.load(SeqCst),
        threads.len()
    );
    for thread in threads.iter().take(100) {
        eprintln!("  {thread}");
    }
    std::process::abort();
}

pub(crate) fn begin_round(round: usize) {
    ROUND.store(round, SeqCst);
}

/// Starts watching: for unintended panics, and for rounds that do not end.
pub(crate) fn begin(seed: u64) {
    SEED.store(seed, SeqCst);
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        // The second is how a scope reports the first.
        let scoped = info.payload().downcast_ref() == Some(&"a scoped thread panicked");
        if !info.payload().is::<Injected>() && !scoped {
            loud(info);
            wrong("an unexpected panic");
        }
    }));
    std::thread::spawn(|| {
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let round = ROUND.load(SeqCst);
            if round != seen {
                (seen, since) = (round, Instant::now());
            } else if since.elapsed() > PATIENCE {
                wrong("the round does not end");
            }
        }
    });
}

/// Waits until the condition holds. The watchdog detects a wait that never ends.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > PATIENCE / 3 {
            wrong(what);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}
