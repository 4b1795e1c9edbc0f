//! One OS thread, process-wide, that waits for descriptors in the place of those who have no reactor: children
//! that nobody waits for any more, ordinary OS threads that select over readiness.
//!
//! It waits in `poll(2)`, starts with the first errand and ends with the last, so it costs nothing while nobody
//! sends it. Any thread may, at any time; nothing here suspends.
//!
//! - **AT1** An errand is run at most once, on the attendant's thread, outside of the lock, and then is gone.
//! - **AT2** An errand keeps its source open until it is run or called back, and for the moment that `poll` takes to
//!   notice that.
//! - **AT3** `line` is there exactly while the thread is, or is being started: under the lock, it goes when the thread
//!   has found no errand, so none is left behind.

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

/// What to do when a source is ready: something short that does not wait.
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

/// Names an errand, to call it back. Numbers start anew after 2^31 at the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(pub(crate) usize);

const MOST: usize = usize::MAX / 2;

/// Has `deed` done when `source` is ready that way, by its own means: errors and hang-ups count.
///
/// # Errors
///
/// There is no attendant, and no OS thread or descriptor for one. The errand stays, for the next that is sent, unless it is called back.
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

/// An attendant, who begins when the desk is unlocked.
fn start() -> io::Result<Arc<EventFd>> {
    let line = Arc::new(EventFd::new()?);
    let its = Arc::clone(&line);
    std::thread::Builder::new()
        .name("rustlet-attendant".into())
        .stack_size(256 * 1024)
        .spawn(move || attend(&its))?;
    Ok(line)
}

/// Calls an errand back. False: it has been run, or is being run right now.
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
    // Its source and its deed go here, outside of the lock.
    errand.is_some()
}

/// An errand as the attendant sees it while it waits.
type Waited = (usize, Arc<Source>, PollFlags);

/// Those for the same descriptor, one after the other.
fn by_source(sources: &[Waited]) -> impl Iterator<Item = &[Waited]> {
    sources.chunk_by(|(_, one, _), (_, other, _)| Arc::ptr_eq(one, other))
}

fn attend(line: &EventFd) {
    while let Some(sources) = waiting() {
        let mut fds = Vec::with_capacity(sources.len() + 1);
        fds.push(PollFd::new(line, PollFlags::IN));
        // Each once: `poll` refuses more of them than may be open.
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
            // Ready, so this does not block; one read takes all signals of an eventfd, and many of a pipe.
            let _drained = rustix::io::read(line, &mut [0; 512]);
        }
        let both = PollFlags::IN | PollFlags::OUT;
        let ready = by_source(&sources).zip(told).flat_map(|(of_one, events)| {
            // What nobody asks for, errors and hang-ups, is for all.
            let concerns = move |flags: PollFlags| events.intersects(flags | !both);
            let of_one = of_one.iter().filter(move |&&(.., flags)| concerns(flags));
            of_one.map(|&(number, ..)| number)
        });
        run(ready.collect());
    }
}

/// What is to be polled now, sorted by source. None: nothing, and the thread has signed off (AT3).
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
            // What panics is a bug of ours, which its panic message has told; the others' errands go on.
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
