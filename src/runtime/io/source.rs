#![allow(unsafe_code, reason = "events name sources by address")]
//! A descriptor that green threads wait for.
//!
//! A source has a home: the worker where it first waited, whose reactor it is registered with. When a
//! thread of another worker waits on it alone, it moves there; when its home has ended, it is registered
//! anew. Ordinary OS threads do not use the registration at all: they `poll(2)`.
//!
//! SO1 and SO2 are in `scheduled_io.rs`.
//!
//! SO3. Who moves a source changes `port` and then looks who waits; who waits enters a direction and then looks at `port` again. Of two that do so
//!      at once one sees the other: nobody waits where another worker has taken the source from, and so for one that may have ended.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicPtr, Ordering, fence};
use std::sync::{Arc, Mutex};

use super::direction::Direction;
use super::reactor::Port;
use super::scheduled_io::ScheduledIo;
use crate::green::completion::Waiter;
use crate::green::{Home, Unparker, Wait, Wake, park};
use crate::runtime::scheduler::context::Context;
use crate::shim::lock;

/// What a short read of a source means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is drained, unless the peer has closed.
    TcpStream,
    /// Nothing.
    Other,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Read,
    Write,
}

/// A descriptor, and its registration once it has one.
#[derive(Debug)]
pub(crate) struct Source {
    // A file, because `fs::File` lends it out as one; it is the descriptor and nothing else.
    file: ManuallyDrop<File>,
    core: ManuallyDrop<Arc<ScheduledIo>>,
    /// That of `registration`, for a look without the lock.
    port: AtomicPtr<Port>,
    registration: Mutex<Option<Registration>>,
    kind: Kind,
}

#[derive(Debug)]
struct Registration {
    port: Arc<Port>,
    /// The port knows that threads of other workers wait there.
    has_guests: bool,
}

impl Source {
    /// Takes a descriptor. No system call: it is registered when it first waits.
    pub(crate) fn new(fd: OwnedFd, kind: Kind) -> Source {
        Source {
            file: ManuallyDrop::new(fd.into()),
            core: ManuallyDrop::new(Arc::new(ScheduledIo::new())),
            port: AtomicPtr::new(std::ptr::null_mut()),
            registration: Mutex::new(None),
            kind,
        }
    }

    #[inline]
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The descriptor as std's file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The descriptor back, deregistered.
    pub(crate) fn into_fd(self) -> OwnedFd {
        let mut this = ManuallyDrop::new(self);
        this.retire();
        // SAFETY: `this` is never dropped, and the field is taken once.
        unsafe { ManuallyDrop::take(&mut this.file) }.into()
    }

    #[inline]
    pub(crate) fn direction(&self, way: Way) -> &Direction<Unparker> {
        match way {
            Way::Read => &self.core.read,
            Way::Write => &self.core.write,
        }
    }

    /// Whether a read that did not fill its buffer has taken all there is, so that the next must wait.
    #[inline]
    pub(crate) fn short_read_drains(&self) -> bool {
        self.kind == Kind::TcpStream
            // Unregistered, no event would tell of what comes next.
            && !self.port.load(Ordering::Relaxed).is_null()
            && !self.core.ended.load(Ordering::Relaxed)
    }

    /// Whether its reactor has said that a side was shut down, or that an error came; yes, if nobody watches.
    #[inline]
    pub(crate) fn may_have_ended(&self) -> bool {
        self.core.ended.load(Ordering::Relaxed) || self.port.load(Ordering::Relaxed).is_null()
    }

    /// Waits, on a green thread, until an operation may succeed. The operation has just said that it would
    /// block, and was preceded by `take`.
    ///
    /// # Errors
    ///
    /// What the registration fails with: `ENOSPC` (the limit `fs.epoll.max_user_watches`), `ENOMEM`, or
    /// `EPERM` for a descriptor that cannot be waited for.
    #[inline(always)]
    pub(crate) fn wait(&self, home: &Home, way: Way, wait: &Wait) -> io::Result<Wake> {
        match self.enlist(home, way)? {
            Some(_turn) => Ok(park(wait)),
            None => Ok(Wake::Event),
        }
    }

    /// As [`Source::wait`], without the wait: the calling green thread is woken by an event until it drops what it
    /// gets. None: an event has come already, try again.
    ///
    /// # Errors
    ///
    /// As [`Source::wait`].
    #[inline(always)]
    pub(crate) fn enlist(&self, home: &Home, way: Way) -> io::Result<Option<Turn<'_>>> {
        self.enlist_after(home, way, || ())
    }

    /// As [`Source::enlist`]; `settled` is called each time before it enters.
    #[inline(always)]
    fn enlist_after(
        &self,
        home: &Home,
        way: Way,
        mut settled: impl FnMut(),
    ) -> io::Result<Option<Turn<'_>>> {
        let direction = self.direction(way);
        loop {
            let port = self.settle(home)?;
            settled();
            let waiter = Unparker::Green(home.current().to_ref());
            let word = waiter.word();
            if !direction.enter(waiter) {
                return Ok(None);
            }
            let turn = Turn { direction, word };
            // SO3.
            if std::ptr::eq(self.port.load(Ordering::SeqCst), port) {
                return Ok(Some(turn));
            }
        }
    }

    /// Gives up a place that was [kept](Turn::keep).
    pub(crate) fn dismiss(&self, way: Way, word: usize) {
        self.direction(way).leave(word);
    }

    fn set_port(&self, port: *const Port) {
        self.port.store(port.cast_mut(), Ordering::SeqCst);
    }

    /// Sees to it that some living worker's reactor watches it, best the one of `home`. Whose it is comes back.
    #[inline]
    fn settle(&self, home: &Home) -> io::Result<*const Port> {
        let Some(context) = Context::of(home) else {
            return Err(io::Error::other("rustlet: this thread has no reactor"));
        };
        let port = &context.port;
        if std::ptr::eq(self.port.load(Ordering::Relaxed), Arc::as_ptr(port)) {
            return Ok(Arc::as_ptr(port));
        }
        self.move_to(port)
    }

    #[cold]
    fn move_to(&self, port: &Arc<Port>) -> io::Result<*const Port> {
        let mut registration = lock(&self.registration);
        if let Some(old) = &mut *registration {
            if Arc::ptr_eq(&old.port, port) {
                return Ok(Arc::as_ptr(port));
            }
            // SO3.
            self.set_port(std::ptr::null());
            fence(Ordering::SeqCst);
            if self.core.read.is_waited_for() || self.core.write.is_waited_for() {
                // When that worker goes, it tells those that are its guests.
                old.has_guests = old.has_guests || old.port.take_guest(&self.core);
                if old.has_guests && !old.port.is_closed() {
                    let port = Arc::as_ptr(&old.port);
                    self.set_port(port);
                    return Ok(port);
                }
            }
            old.port.deregister(self.fd());
            // Its worker may be in the middle of a delivery that names the core (R2).
            old.port.retire(Arc::clone(&self.core));
            *registration = None;
        }
        // The registration itself makes an event for what is ready already: nothing is lost in between.
        port.register(self.fd(), &self.core)?;
        self.set_port(Arc::as_ptr(port));
        *registration = Some(Registration {
            port: Arc::clone(port),
            has_guests: false,
        });
        Ok(Arc::as_ptr(port))
    }

    /// Deletes it from its reactor; the core goes as R2 says.
    fn retire(&mut self) {
        // SAFETY: called once, by `drop` or `into_fd`.
        let core = unsafe { ManuallyDrop::take(&mut self.core) };
        if self.port.load(Ordering::Relaxed).is_null() {
            return;
        }
        let Some(Registration { port, .. }) = lock(&self.registration).take() else {
            return;
        };
        port.deregister(self.file.as_fd());
        let here = Home::of_thread()
            .and_then(Context::of)
            .is_some_and(|context| Arc::ptr_eq(&context.port, &port));
        if !here {
            port.retire(core);
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.retire();
        // SAFETY: dropped once, here; deleted from the poller before it is closed.
        unsafe { ManuallyDrop::drop(&mut self.file) };
    }
}

/// A place in a direction, given up on every way out, unwinding included.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    direction: &'a Direction<Unparker>,
    word: usize,
}

impl Turn<'_> {
    /// Keeps the place without this guard. What comes back is for [`Source::dismiss`].
    pub(crate) fn keep(self) -> usize {
        ManuallyDrop::new(self).word
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.direction.leave(self.word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::green::Reason;
    use crate::runtime::{Builder, Runtime};
    use crate::sys::clock;
    use std::io::Write as _;
    use std::time::Duration;

    fn one_worker() -> Runtime {
        Builder::new().workers(1).build().unwrap()
    }

    /// Between the look whose reactor watches and the wait another runtime's worker takes the source, and ends.
    #[test]
    fn a_source_that_moves_away_before_the_wait_is_fetched_back() {
        let (reader, mut writer) = io::pipe().unwrap();
        let source = &Source::new(OwnedFd::from(reader), Kind::Other);
        let enlist = || {
            source.direction(Way::Read).take();
            let turn = source.enlist(Home::get().unwrap(), Way::Read).unwrap();
            assert!(turn.is_some());
        };
        let take_away = || {
            let other = one_worker();
            other.run(enlist);
            drop(other);
        };
        one_worker().run(|| {
            enlist();
            let home = Home::get().unwrap();
            let mut moves = Some(take_away);
            let turn = source.enlist_after(home, Way::Read, || {
                if let Some(take_away) = moves.take() {
                    std::thread::scope(|s| s.spawn(take_away).join().unwrap());
                    source.direction(Way::Read).take();
                }
            });
            writer.write_all(b"x").unwrap();
            let wait = Wait::new(Reason::Read).until(clock::after(Duration::from_secs(10)));
            let turn = turn.unwrap();
            if turn.is_some() {
                assert_eq!(park(&wait), Wake::Event);
            }
        });
    }
}
