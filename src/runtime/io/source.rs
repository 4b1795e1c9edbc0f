#![allow(unsafe_code, reason = "the keys of events are addresses of sources")]
//! A descriptor that green threads wait for.
//!
//! A source is registered with the reactor of one worker, the first on which a thread waited for
//! it. If later only threads of another worker wait for it, it moves to the reactor of that worker;
//! if its worker has ended, it is registered again. OS threads do not use the registration: they
//! call `poll(2)`.
//!
//! SO1 and SO2 are in `scheduled_io.rs`.
//!
//! SO3. A thread that moves a source changes `reactor_handle` and then checks for waiters; a waiter
//!      enters a direction and then reads `reactor_handle` again. If two do so at once, one sees
//!      the other: no thread waits at a reactor that the source was moved away from, which may have
//!      ended.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicPtr, Ordering, fence};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use super::reactor::ReactorHandle;
use super::readiness::Readiness;
use super::scheduled_io::ScheduledIo;
use crate::green::completion::PackedWaiter;
use crate::green::{Unparker, Wait, Wake, WorkerContext, park};
use crate::runtime::scheduler::runtime_context::RuntimeContext;
use crate::shim::lock;

/// The meaning of a short read of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceKind {
    /// It is drained, unless the peer has closed.
    TcpStream,
    /// Nothing.
    Other,
}

/// The direction of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
}

/// A descriptor, and its registration with a reactor after the first wait.
#[derive(Debug)]
pub(crate) struct Source {
    // A file, because `fs::File` lends it out as one; it is the descriptor and nothing else.
    file: ManuallyDrop<File>,
    core: ManuallyDrop<Arc<ScheduledIo>>,
    /// The reactor handle of `registration`, readable without its lock.
    reactor_handle: AtomicPtr<ReactorHandle>,
    registration: Mutex<Option<Registration>>,
    kind: SourceKind,
}

#[derive(Debug)]
struct Registration {
    reactor_handle: Arc<ReactorHandle>,
    /// Whether the reactor handle has recorded that threads of other workers wait there.
    has_foreign: bool,
}

impl Source {
    /// Creates a source of a descriptor. It makes no system call; the first wait registers it.
    pub(crate) fn new(fd: OwnedFd, kind: SourceKind) -> Source {
        Source {
            file: ManuallyDrop::new(fd.into()),
            core: ManuallyDrop::new(Arc::new(ScheduledIo::new())),
            reactor_handle: AtomicPtr::new(std::ptr::null_mut()),
            registration: Mutex::new(None),
            kind,
        }
    }

    #[inline]
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Returns the descriptor as std's file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Deregisters the descriptor and returns it.
    pub(crate) fn into_fd(self) -> OwnedFd {
        let mut this = ManuallyDrop::new(self);
        this.retire();
        // SAFETY: `this` is never dropped, and the field is taken once.
        unsafe { ManuallyDrop::take(&mut this.file) }.into()
    }

    #[inline]
    pub(crate) fn readiness(&self, interest: Interest) -> &Readiness<Unparker> {
        match interest {
            Interest::Read => &self.core.read,
            Interest::Write => &self.core.write,
        }
    }

    /// Returns whether a read that did not fill its buffer has taken all data, so that the next
    /// read has to wait.
    #[inline]
    pub(crate) fn short_read_drains(&self) -> bool {
        self.kind == SourceKind::TcpStream
            // Without a registration, no event announces the next data.
            && !self.reactor_handle.load(Ordering::Relaxed).is_null()
            && !self.core.ended.load(Ordering::Relaxed)
    }

    /// Returns whether its reactor has reported a shutdown of a side or an error; true if no
    /// reactor watches it.
    #[inline]
    pub(crate) fn may_have_ended(&self) -> bool {
        self.core.ended.load(Ordering::Relaxed)
            || self.reactor_handle.load(Ordering::Relaxed).is_null()
    }

    /// Waits, on a green thread, until an operation may succeed. The operation has just said that
    /// it would block, and was preceded by `take`.
    ///
    /// # Errors
    ///
    /// The error of the registration: `ENOSPC` (the limit `fs.epoll.max_user_watches`),
    /// `ENOMEM`, or `EPERM` for a descriptor that cannot be waited for.
    #[inline(always)]
    pub(crate) fn wait(
        &self,
        cx: &WorkerContext,
        interest: Interest,
        wait: &Wait,
    ) -> io::Result<Wake> {
        match self.register_waiter(cx, interest)? {
            Some(_guard) => Ok(park(wait)),
            None => Ok(Wake::Event),
        }
    }

    /// Registers the calling green thread without waiting: an event wakes it until it drops the
    /// guard. Returns `None` if an event has already arrived; then the caller tries again.
    ///
    /// # Errors
    ///
    /// As [`Source::wait`].
    #[inline(always)]
    pub(crate) fn register_waiter(
        &self,
        cx: &WorkerContext,
        interest: Interest,
    ) -> io::Result<Option<WaiterGuard<'_>>> {
        self.register_waiter_after(cx, interest, || ())
    }

    /// Does what [`Source::register_waiter`] does; `registered` is called each time before it
    /// enters.
    #[inline(always)]
    fn register_waiter_after(
        &self,
        cx: &WorkerContext,
        interest: Interest,
        mut registered: impl FnMut(),
    ) -> io::Result<Option<WaiterGuard<'_>>> {
        let readiness = self.readiness(interest);
        loop {
            let reactor_handle = self.register(cx)?;
            registered();
            let waiter = Unparker::Green(cx.current().to_ref());
            let word = waiter.word();
            if !readiness.enter(waiter) {
                return Ok(None);
            }
            let guard = WaiterGuard { readiness, word };
            // SO3.
            if std::ptr::eq(self.reactor_handle.load(Ordering::SeqCst), reactor_handle) {
                return Ok(Some(guard));
            }
        }
    }

    /// Registers the task of a future: the next event calls its waker. Returns false if an event
    /// has already arrived; then the caller tries again. Each direction has one task, the last.
    ///
    /// A caller that is on no worker uses the reactor that watches the source, if there is one, or
    /// else what `elsewhere` returns.
    ///
    /// # Errors
    ///
    /// As [`Source::wait`], and that of `elsewhere`.
    pub(crate) fn register_task(
        &self,
        interest: Interest,
        waker: &Waker,
        elsewhere: impl Fn() -> io::Result<Arc<ReactorHandle>>,
    ) -> io::Result<bool> {
        let readiness = self.readiness(interest);
        loop {
            let reactor_handle = self.register_foreign(&elsewhere)?;
            if !readiness.enter_task(waker) {
                return Ok(false);
            }
            // SO3.
            if std::ptr::eq(self.reactor_handle.load(Ordering::SeqCst), reactor_handle) {
                return Ok(true);
            }
        }
    }

    /// Returns a waker that makes writing ready, so that those who wait try again; `None` if there
    /// is one that has not been called.
    pub(crate) fn nudge(&self) -> Option<Waker> {
        self.core.nudge()
    }

    /// Ensures that the reactor of a living worker watches the source, and that this worker, when
    /// it ends, wakes those that wait: a task need not belong to it.
    fn register_foreign(
        &self,
        elsewhere: impl Fn() -> io::Result<Arc<ReactorHandle>>,
    ) -> io::Result<*const ReactorHandle> {
        if let Some(cx) = WorkerContext::get() {
            self.register(cx)?;
        }
        loop {
            let mut registration = lock(&self.registration);
            if let Some(here) = &mut *registration {
                here.has_foreign = here.has_foreign || here.reactor_handle.take_foreign(&self.core);
                if here.has_foreign && !here.reactor_handle.is_closed() {
                    return Ok(Arc::as_ptr(&here.reactor_handle));
                }
            }
            drop(registration);
            self.move_to(&elsewhere()?)?;
        }
    }

    /// Removes a waiter that was [kept](WaiterGuard::keep).
    pub(crate) fn remove_waiter(&self, interest: Interest, word: usize) {
        self.readiness(interest).leave(word);
    }

    fn set_reactor_handle(&self, reactor_handle: *const ReactorHandle) {
        self.reactor_handle
            .store(reactor_handle.cast_mut(), Ordering::SeqCst);
    }

    /// Ensures that the reactor of a living worker watches the source, preferably the one of `cx`,
    /// and returns that reactor.
    #[inline]
    fn register(&self, cx: &WorkerContext) -> io::Result<*const ReactorHandle> {
        let Some(context) = RuntimeContext::of(cx) else {
            return Err(io::Error::other(
                "rustlet: the worker of this green thread has ended, so it cannot wait for descriptors",
            ));
        };
        let reactor_handle = &context.reactor_handle;
        if std::ptr::eq(
            self.reactor_handle.load(Ordering::Relaxed),
            Arc::as_ptr(reactor_handle),
        ) {
            return Ok(Arc::as_ptr(reactor_handle));
        }
        self.move_to(reactor_handle)
    }

    #[cold]
    fn move_to(&self, reactor_handle: &Arc<ReactorHandle>) -> io::Result<*const ReactorHandle> {
        let mut registration = lock(&self.registration);
        if let Some(old) = &mut *registration {
            if Arc::ptr_eq(&old.reactor_handle, reactor_handle) {
                return Ok(Arc::as_ptr(reactor_handle));
            }
            // SO3.
            self.set_reactor_handle(std::ptr::null());
            fence(Ordering::SeqCst);
            if self.core.read.has_waiters() || self.core.write.has_waiters() {
                // When that worker ends, it wakes its foreign waiters.
                old.has_foreign = old.has_foreign || old.reactor_handle.take_foreign(&self.core);
                if old.has_foreign && !old.reactor_handle.is_closed() {
                    let reactor_handle = Arc::as_ptr(&old.reactor_handle);
                    self.set_reactor_handle(reactor_handle);
                    return Ok(reactor_handle);
                }
            }
            old.reactor_handle.deregister(self.fd());
            // Its worker may be in the middle of a delivery that names the core (R2).
            old.reactor_handle.retire(Arc::clone(&self.core));
            *registration = None;
        }
        // Registering a descriptor that is ready already causes an event, so no readiness is lost.
        reactor_handle.register(self.fd(), &self.core)?;
        self.set_reactor_handle(Arc::as_ptr(reactor_handle));
        *registration = Some(Registration {
            reactor_handle: Arc::clone(reactor_handle),
            has_foreign: false,
        });
        Ok(Arc::as_ptr(reactor_handle))
    }

    /// Deregisters the source from its reactor. R2 says when its core is freed.
    fn retire(&mut self) {
        // SAFETY: called once, by `drop` or `into_fd`.
        let core = unsafe { ManuallyDrop::take(&mut self.core) };
        let is_registered = !self.reactor_handle.load(Ordering::Relaxed).is_null();
        let registration = is_registered.then(|| lock(&self.registration).take());
        if let Some(Some(Registration { reactor_handle, .. })) = registration {
            self.deregister(&reactor_handle, &core);
        }
        // Last, because it runs code of others.
        core.read.forget_task();
        core.write.forget_task();
    }

    fn deregister(&self, reactor_handle: &Arc<ReactorHandle>, core: &Arc<ScheduledIo>) {
        reactor_handle.deregister(self.file.as_fd());
        // A green thread of it: R2.
        let here = WorkerContext::get()
            .and_then(RuntimeContext::of)
            .is_some_and(|context| Arc::ptr_eq(&context.reactor_handle, reactor_handle));
        if !here {
            reactor_handle.retire(Arc::clone(core));
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

/// A registered waiter of a direction; removed on drop, so also while unwinding.
#[derive(Debug)]
pub(crate) struct WaiterGuard<'a> {
    readiness: &'a Readiness<Unparker>,
    word: usize,
}

impl WaiterGuard<'_> {
    /// Leaves the waiter registered without this guard. The result is for
    /// [`Source::remove_waiter`].
    pub(crate) fn keep(self) -> usize {
        ManuallyDrop::new(self).word
    }
}

impl Drop for WaiterGuard<'_> {
    fn drop(&mut self) {
        self.readiness.leave(self.word);
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

    /// Between the check which reactor watches the source and the wait, a worker of another runtime
    /// takes the source, and ends.
    #[test]
    fn source_migrated_before_wait() {
        let (reader, mut writer) = io::pipe().unwrap();
        let source = &Source::new(OwnedFd::from(reader), SourceKind::Other);
        let register_waiter = || {
            source.readiness(Interest::Read).take();
            let guard = source
                .register_waiter(WorkerContext::get().unwrap(), Interest::Read)
                .unwrap();
            assert!(guard.is_some());
        };
        let take_away = || {
            let other = one_worker();
            other.run(register_waiter);
            drop(other);
        };
        one_worker().run(|| {
            register_waiter();
            let cx = WorkerContext::get().unwrap();
            let mut moves = Some(take_away);
            let guard = source.register_waiter_after(cx, Interest::Read, || {
                if let Some(take_away) = moves.take() {
                    std::thread::scope(|s| s.spawn(take_away).join().unwrap());
                    source.readiness(Interest::Read).take();
                }
            });
            writer.write_all(b"x").unwrap();
            let wait = Wait::new(Reason::Read).until(clock::after(Duration::from_secs(10)));
            let guard = guard.unwrap();
            if guard.is_some() {
                assert_eq!(park(&wait), Wake::Event);
            }
        });
    }
}
