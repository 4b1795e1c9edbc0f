//! A process-wide OS thread that polls descriptors for callers without a reactor: abandoned
//! children, and OS threads that select over readiness.
//!
//! It waits in `poll(2)`. It is started by the first request and ends with the last, so it costs
//! nothing while there is none. Any thread may submit a request at any time; nothing here suspends.
//! - ***AT1** A request is removed and then run, at most once, on the poll thread and outside of
//!   the lock.
//! - **AT2** A request keeps its source open until it is run or cancelled, and for the moment that
//!   `poll` takes to notice that.
//! - **AT3** `wakeup` exists exactly while the thread runs or is being started: the thread removes
//!   it under the lock when it has found no request, so that no request is left behind.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::green::catch_and_discard;
use crate::retry;
use crate::runtime::io::source::{Interest, Source};
use crate::shim::lock;
use crate::sys::poll::event_fd::EventFd;

/// The callback for a ready source. It must be short and must not wait.
type Callback = Box<dyn FnOnce() + Send>;

struct Request {
    number: usize,
    source: Arc<Source>,
    flags: PollFlags,
    callback: Callback,
}

struct State {
    requests: Vec<Request>,
    next: usize,
    wakeup: Option<Arc<EventFd>>,
}

impl State {
    /// Takes a request out; `None` if it is not there any more.
    fn take(&mut self, number: usize) -> Option<Request> {
        let mut numbers = self.requests.iter().map(|request| request.number);
        let place = numbers.position(|of_one| of_one == number)?;
        Some(self.requests.swap_remove(place))
    }
}

static STATE: Mutex<State> = Mutex::new(State {
    requests: Vec::new(),
    next: 0,
    wakeup: None,
});

/// Identifies a request, to cancel it. Numbers repeat after [`MAX_REQUEST_ID`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(pub(crate) usize);

const MAX_REQUEST_ID: usize = usize::MAX / 2;

/// Submits `callback` to the poll thread, which runs it when `source` is ready for the given
/// direction; errors and hang-ups count as ready.
///
/// # Errors
///
/// Returns the id as an error if there is no poll thread, and no OS thread or descriptor is
/// available to start one. The request stays queued for the next submission, unless it is
/// cancelled.
pub(crate) fn submit(
    source: Arc<Source>,
    interest: Interest,
    callback: impl FnOnce() + Send + 'static,
) -> Result<RequestId, RequestId> {
    let flags = retry::flags(interest);
    let mut state = lock(&STATE);
    let number = state.next;
    state.next = if number == MAX_REQUEST_ID {
        0
    } else {
        number + 1
    };
    state.requests.push(Request {
        number,
        source,
        flags,
        callback: Box::new(callback),
    });
    match &state.wakeup {
        Some(wakeup) => wakeup.signal(),
        None => match start() {
            Ok(wakeup) => state.wakeup = Some(wakeup),
            Err(_) => return Err(RequestId(number)),
        },
    }
    Ok(RequestId(number))
}

/// Starts the poll thread, which waits until the caller unlocks the state.
fn start() -> io::Result<Arc<EventFd>> {
    let wakeup = Arc::new(EventFd::new()?);
    let its = Arc::clone(&wakeup);
    std::thread::Builder::new()
        .name("rustlet-poller".into())
        .stack_size(256 * 1024)
        .spawn(move || run_loop(&its))?;
    Ok(wakeup)
}

/// Cancels a request. Returns `false` if it has run already or is running now. Does not wait for
/// it.
pub(crate) fn cancel(RequestId(number): RequestId) -> bool {
    let mut state = lock(&STATE);
    let request = state.take(number);
    if let Some(wakeup) = &state.wakeup {
        wakeup.signal();
    }
    drop(state);
    // Its source and its callback are dropped here, outside of the lock.
    request.is_some()
}

/// A request, as the poll thread uses it while it waits.
type Waited = (usize, Arc<Source>, PollFlags);

/// Groups the requests for the same descriptor.
fn by_source(sources: &[Waited]) -> impl Iterator<Item = &[Waited]> {
    sources.chunk_by(|(_, one, _), (_, other, _)| Arc::ptr_eq(one, other))
}

fn run_loop(wakeup: &EventFd) {
    while let Some(sources) = waiting() {
        let mut fds = Vec::with_capacity(sources.len() + 1);
        fds.push(PollFd::new(wakeup, PollFlags::IN));
        // Each descriptor is passed once, because `poll` refuses more entries than descriptors may
        // be open.
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
            // It is ready, so this does not block. One read takes all wake-ups of an eventfd, and
            // many of a pipe.
            let _drained = rustix::io::read(wakeup, &mut [0; 512]);
        }
        let both = PollFlags::IN | PollFlags::OUT;
        let ready = by_source(&sources).zip(told).flat_map(|(of_one, events)| {
            // Errors and hang-ups, which `poll` always reports, concern all requests of the
            // descriptor.
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
    let mut state = lock(&STATE);
    if state.requests.is_empty() {
        state.wakeup = None;
        return None;
    }
    let copy = |request: &Request| (request.number, Arc::clone(&request.source), request.flags);
    let mut sources: Vec<_> = state.requests.iter().map(copy).collect();
    drop(state);
    sources.sort_by_key(|(_, source, _)| Arc::as_ptr(source).addr());
    Some(sources)
}

fn run(numbers: Vec<usize>) {
    for number in numbers {
        let mut state = lock(&STATE);
        let request = state.take(number);
        drop(state);
        if let Some(Request {
            callback, source, ..
        }) = request
        {
            // A panic is a bug of ours, and its message has been printed; the other requests go on.
            let _told = catch_unwind(AssertUnwindSafe(callback));
            catch_and_discard(|| drop(source));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::io::source::SourceKind;
    use std::io::{Read as _, Write as _};
    use std::os::fd::OwnedFd;
    use std::sync::mpsc;

    #[test]
    fn requests_run_once_and_can_be_cancelled() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let source = Arc::new(Source::new(
            OwnedFd::from(reader.try_clone().unwrap()),
            SourceKind::Other,
        ));
        let (tell, told) = mpsc::channel();
        for round in 0..100 {
            let request = |name: &'static str| {
                let tell = tell.clone();
                submit(Arc::clone(&source), Interest::Read, move || {
                    tell.send((round, name)).unwrap();
                })
                .unwrap()
            };
            let stays = request("stays");
            assert!(cancel(request("goes")));
            writer.write_all(b"x").unwrap();
            assert_eq!(told.recv(), Ok((round, "stays")));
            assert!(!cancel(stays));
            assert!(told.try_recv().is_err());
            reader.read_exact(&mut [0]).unwrap();
        }
        assert!(lock(&STATE).requests.is_empty());
    }

    #[test]
    fn more_requests_than_descriptors_may_be_open() {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        const MAX_OPEN: u64 = 64;
        let name =
            "service_threads::poll_thread::tests::more_requests_than_descriptors_may_be_open";
        crate::test_child::run(name, || {
            let maximum = getrlimit(Resource::Nofile).maximum;
            let current = Some(MAX_OPEN);
            setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
            let (reader, mut writer) = io::pipe().unwrap();
            let source = Arc::new(Source::new(OwnedFd::from(reader), SourceKind::Other));
            let (tell, told) = mpsc::channel();
            for number in 0..2 * MAX_OPEN {
                let tell = tell.clone();
                submit(Arc::clone(&source), Interest::Read, move || {
                    tell.send(number).unwrap();
                })
                .unwrap();
            }
            assert!(told.try_recv().is_err());
            writer.write_all(b"x").unwrap();
            let mut all: Vec<_> = told.iter().take(2 * MAX_OPEN as usize).collect();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..2 * MAX_OPEN));
        });
    }
}
