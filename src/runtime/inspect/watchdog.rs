//! The watchdog: reports green threads that keep their worker, and where. It cannot preempt them.
//!
//! An OS thread looks at the registry once per period. A thread that is running at two looks, and
//! has noted no wait in between (its reason, place and time are the same), has kept its worker for
//! that long. Workers do nothing for this, so it costs them nothing. The watchdog also checks the
//! pool for blocking calls, because no other thread notices that calls have been queued there for
//! long.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::registry;
use crate::green::State;
use crate::green::block::slab;
use crate::runtime::scheduler::shared::{Phase, Shared};
use crate::sys::clock;
use crate::sys::os_threads::OwnThread;

/// Starts the watchdog of a runtime; it ends with the runtime.
///
/// # Errors
///
/// No OS thread is available.
pub(crate) fn start(shared: &Arc<Shared>, period: Duration) -> std::io::Result<()> {
    let shared = Arc::downgrade(shared);
    let builder = std::thread::Builder::new().name("rustlet-watchdog".into());
    builder
        .spawn(move || {
            let _own = OwnThread::mark();
            watch(&shared, period);
        })
        .map(drop)
}

fn watch(shared: &Weak<Shared>, period: Duration) {
    // By thread number: the wait that the thread had noted when it was first seen running, the time
    // of that look, and whether it was reported.
    let mut running: HashMap<u64, (u64, u64, bool)> = HashMap::new();
    let mut had_backlog = false;
    loop {
        let Some(alive) = shared
            .upgrade()
            .filter(|shared| shared.phase() < Phase::Ended)
        else {
            return;
        };
        let group = alive.group;
        if alive.sleep_unless_ended(period) {
            return;
        }
        let now = clock::now();
        let backlog = alive.pool.backlog(now, period);
        if let Some(backlog) = backlog.as_ref().filter(|_| !had_backlog) {
            registry::report_backlog(&alive.config.reporter, backlog);
        }
        had_backlog = backlog.is_some();
        let mut seen = HashMap::new();
        for green in slab::all() {
            if green.group() != group || green.state() != State::Running {
                continue;
            }
            let id = green.id().get();
            let noted = green.since();
            let (first, reported) = match running.get(&id) {
                Some(&(before, first, reported)) if before == noted => (first, reported),
                _ => (now, false),
            };
            let span = Duration::from_nanos(now.saturating_sub(first));
            let report = !reported && span >= period;
            if report {
                let worker = alive.worker_with(green.remote());
                let os_thread =
                    worker.map(|index| alive.workers[index].os_thread.load(Ordering::Relaxed));
                registry::report_stuck(&alive.config.reporter, &green, span, os_thread);
            }
            seen.insert(id, (noted, first, reported || report));
        }
        running = seen;
        drop(alive);
    }
}
