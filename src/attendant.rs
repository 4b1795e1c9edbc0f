//! A process-wide OS thread that polls descriptors for callers without a reactor: abandoned
//! children, and OS threads that select over readiness.
//!
//! It waits in `poll(2)`, starts with the first request and ends with the last, so it costs nothing
//! while there is none. Any thread may submit a request at any time; nothing here suspends.
//!
//! - **AT1** A request is run at most once, on the poll thread, outside of the lock, and is removed
//!   before.
//! - **AT2** A request keeps its source open until it is run or cancelled, and for the moment that
//!   `poll` takes to notice that.
//! - **AT3** `line` exists exactly while the thread runs or is being started: the thread removes it
//!   under the lock when it has found no request, so that no request is left behind.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::green::contain;
use crate::retry;
use crate::runtime::io::source::{Source, Way};
use crate::shim::lock;
use crate::sys::poll::event::EventFd;

/// The callback for a ready source: short, and it does not wait.
type Deed = Box<dyn FnOnce() + Send>;

struct Errand {
    number: usize,
    source: Arc<Source>,
    flags: PollFlags,
    deed: Deed,
}

struct Desk {
    errands: Vec<Errand>,
    next: usize,
    line: Option<Arc<EventFd>>,
}

static DESK: Mutex<Desk> = Mutex::new(Desk {
    errands: Vec::new(),
    next: 0,
    line: None,
});

/// Identifies a request, to cancel it. Numbers repeat after 2^31 at the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(pub(crate) usize);

const MOST: usize = usize::MAX / 2;

/// Has the poll thread run `deed` when `source` is ready that way; errors and hang-ups count as
/// ready.
///
/// # Errors
///
/// There is no poll thread, and no OS thread or descriptor for one. The request stays, for the next
/// submission, unless it is cancelled.
pub(crate) fn send(
    source: Arc<Source>,
    way: Way,
    deed: impl FnOnce() + Send + 'static,
) -> Result<Ticket, Ticket> {
    let flags = retry::flags(way);
    let mut desk = lock(&DESK);
    let number = desk.next;
    desk.next = if number == MOST { 0 } else { number + 1 };
    desk.errands.push(Errand {
        number,
        source,
        flags,
        deed: Box::new(deed),
    });
    match &desk.line {
        Some(line) => line.signal(),
        None => match start() {
            Ok(line) => desk.line = Some(line),
            Err(_) => return Err(Ticket(number)),
        },
    }
    Ok(Ticket(number))
}

/// Starts the poll thread, which begins when the state is unlocked.
fn start() -> io::Result<Arc<EventFd>> {
    let line = Arc::new(EventFd::new()?);
    let its = Arc::clone(&line);
    std::thread::Builder::new()
        .name("rustlet-attendant".into())
        .stack_size(256 * 1024)
        .spawn(move || attend(&its))?;
    Ok(line)
}

/// Cancels a request. Returns `false` if it has been run or is running now.
pub(crate) fn call_back(Ticket(number): Ticket) -> bool {
    let mut desk = lock(&DESK);
    let place = desk
        .errands
        .iter()
        .position(|errand| errand.number == number);
    let errand = place.map(|place| desk.errands.swap_remove(place));
    if let Some(line) = &desk.line {
        line.signal();
    }
    drop(desk);
    // Its source and its callback are dropped here, outside of the lock.
    errand.is_some()
}

/// A request as the poll thread sees it while it waits.
type Waited = (usize, Arc<Source>, PollFlags);

/// Groups the requests for the same descriptor.
fn by_source(sources: &[Waited]) -> impl Iterator<Item = &[Waited]> {
    sources.chunk_by(|(_, one, _), (_, other, _)| Arc::ptr_eq(one, other))
}

fn attend(line: &EventFd) {
    while let Some(sources) = waiting() {
        let mut fds = Vec::with_capacity(sources.len() + 1);
        fds.push(PollFd::new(line, PollFlags::IN));
        // Each descriptor once: `poll` refuses more of them than may be open.
        for of_one in by_source(&sources) {
            let all = of_one.iter().map(|&(.., flags)| flags);
            let wanted = all.fold(PollFlags::empty(), PollFlags::union);
            fds.push(PollFd::from_borrowed_fd(of_one[0].1.fd(), wanted));
        }
        if rustix::event::poll(&mut fds, None).is_err_and(|error| error == Errno::NOMEM) {
            std::thread::yield_now();
        }
        let mut told = fds.iter().map(PollFd::revents);
        if told.next().is_some_and(|events| !events.is_empty()) {
            // Ready, so this does not block; one read takes all signals of an eventfd, and many of
            // a pipe.
            let _drained = rustix::io::read(line, &mut [0; 512]);
        }
        let both = PollFlags::IN | PollFlags::OUT;
        let ready = by_source(&sources).zip(told).flat_map(|(of_one, events)| {
            // Errors and hang-ups, which are always reported, concern all requests.
            let concerns = move |flags: PollFlags| events.intersects(flags | !both);
            let of_one = of_one.iter().filter(move |&&(.., flags)| concerns(flags));
            of_one.map(|&(number, ..)| number)
        });
        run(ready.collect());
    }
}

/// Returns the requests to poll now, sorted by source; `None` if there are none, and the thread has
/// deregistered (AT3).
fn waiting() -> Option<Vec<Waited>> {
    let mut desk = lock(&DESK);
    if desk.errands.is_empty() {
        desk.line = None;
        return None;
    }
    let copy = |errand: &Errand| (errand.number, Arc::clone(&errand.source), errand.flags);
    let mut sources: Vec<_> = desk.errands.iter().map(copy).collect();
    drop(desk);
    sources.sort_by_key(|(_, source, _)| Arc::as_ptr(source).addr());
    Some(sources)
}

fn run(numbers: Vec<usize>) {
    for number in numbers {
        let mut desk = lock(&DESK);
        let place = desk
            .errands
            .iter()
            .position(|errand| errand.number == number);
        let errand = place.map(|place| desk.errands.swap_remove(place));
        drop(desk);
        if let Some(Errand { deed, source, .. }) = errand {
            // A panic is a bug of ours, and its message has been printed; the other requests go on.
            let _told = catch_unwind(AssertUnwindSafe(deed));
            contain(|| drop(source));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::io::source::Kind;
    use std::io::{Read as _, Write as _};
    use std::os::fd::OwnedFd;
    use std::sync::mpsc;

    #[test]
    fn errands_are_run_once_and_can_be_called_back() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let source = Arc::new(Source::new(
            OwnedFd::from(reader.try_clone().unwrap()),
            Kind::Other,
        ));
        let (tell, told) = mpsc::channel();
        for round in 0..100 {
            let errand = |name: &'static str| {
                let tell = tell.clone();
                send(Arc::clone(&source), Way::Read, move || {
                    tell.send((round, name)).unwrap();
                })
                .unwrap()
            };
            let stays = errand("stays");
            assert!(call_back(errand("goes")));
            writer.write_all(b"x").unwrap();
            assert_eq!(told.recv(), Ok((round, "stays")));
            assert!(!call_back(stays));
            assert!(told.try_recv().is_err());
            reader.read_exact(&mut [0]).unwrap();
        }
        assert!(lock(&DESK).errands.is_empty());
    }

    #[test]
    fn more_errands_than_descriptors_may_be_open() {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        const MOST_OPEN: u64 = 64;
        let name = "attendant::tests::more_errands_than_descriptors_may_be_open";
        crate::test_child::run(name, || {
            let maximum = getrlimit(Resource::Nofile).maximum;
            let current = Some(MOST_OPEN);
            setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
            let (reader, mut writer) = io::pipe().unwrap();
            let source = Arc::new(Source::new(OwnedFd::from(reader), Kind::Other));
            let (tell, told) = mpsc::channel();
            for number in 0..2 * MOST_OPEN {
                let tell = tell.clone();
                send(Arc::clone(&source), Way::Read, move || {
                    tell.send(number).unwrap();
                })
                .unwrap();
            }
            assert!(told.try_recv().is_err());
            writer.write_all(b"x").unwrap();
            let mut all: Vec<_> = told.iter().take(2 * MOST_OPEN as usize).collect();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..2 * MOST_OPEN));
        });
    }
}
