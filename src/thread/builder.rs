#![allow(unsafe_code, reason = "`spawn_unchecked` hands its contract on")]
//! Spawning with a name, a stack size, and an error instead of a panic.

use std::io;

use super::{JoinHandle, Scope, ScopedJoinHandle};
use crate::runtime::{
    current,
    spawn::{self as start, Order},
};
use crate::stack::StackSize;

/// Settings of a green thread. As [`std::thread::Builder`].
///
/// ```
/// use rustlet::thread::Builder;
///
/// rustlet::run(|| {
///     let thread = Builder::new()
///         .name("deep".into())
///         .stack_size(1024 * 1024)
///         .spawn(|| rustlet::current().name().map(String::from))?;
///     assert_eq!(thread.join().unwrap().as_deref(), Some("deep"));
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until it spawns"]
pub struct Builder {
    name: Option<Box<str>>,
    stack_size: Option<usize>,
    worker: Option<usize>,
}

impl Builder {
    /// Without a name, with the stack size of the runtime.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Names the thread: in reports, dumps and [`Thread::name`](super::Thread::name).
    ///
    /// # Panics
    ///
    /// When it is spawned, if the name contains a NUL byte, as std's.
    pub fn name(mut self, name: String) -> Builder {
        self.name = Some(name.into_boxed_str());
        self
    }

    /// How many bytes of stack it can use, at least; rounded up to a workable size (64 KiB). Other sizes than the
    /// runtime's are a little slower to spawn.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// Starts the thread on worker `index` of the runtime, counted from 0, and nowhere else, as
    /// [`spawn_on`](super::spawn_on) does. If that worker computes, the thread waits for it.
    ///
    /// With [`spawn_local`](Builder::spawn_local) it has to be the worker of the caller.
    ///
    /// ```
    /// use rustlet::{runtime, thread};
    ///
    /// let runtime = runtime::Builder::new().workers(2).name("core").build()?;
    /// runtime.run(|| {
    ///     let thread = thread::Builder::new()
    ///         .worker(1)
    ///         .spawn(|| std::thread::current().name().map(String::from))?;
    ///     assert_eq!(thread.join().unwrap().as_deref(), Some("core-1"));
    ///     assert!(thread::Builder::new().worker(2).spawn(|| ()).is_err());
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn worker(mut self, index: usize) -> Builder {
        self.worker = Some(index);
        self
    }

    #[track_caller]
    fn order(self) -> Order {
        if let Some(name) = &self.name {
            assert!(
                !name.contains('\0'),
                "thread name may not contain interior null bytes"
            );
        }
        Order {
            name: self.name,
            stack: self.stack_size.map(StackSize::from_usable),
            worker: self.worker,
            ..Order::new()
        }
    }

    /// As [`spawn`](super::spawn), with an error instead of a panic. Does not wait.
    ///
    /// # Errors
    ///
    /// `max_threads` is reached (`WouldBlock`), or address space or mappings have run out (`OutOfMemory`); the text names
    /// the limit and how to raise it. Or the process-wide runtime cannot be started, or the [`worker`](Builder::worker)
    /// does not exist (`InvalidInput`).
    ///
    /// ```
    /// use rustlet::{runtime, thread};
    ///
    /// let runtime = runtime::Builder::new().workers(1).max_threads(1).build()?;
    /// runtime.run(|| {
    ///     let error = thread::Builder::new().spawn(|| ()).unwrap_err();
    ///     assert!(error.to_string().contains("max_threads"));
    /// });
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        crate::green::budget::spend_quietly(std::panic::Location::caller());
        current::spawn_static(self.order(), f)
    }

    /// As [`Builder::spawn`], for what borrows. As [`std::thread::Builder::spawn_unchecked`]; where it can be, [`scope`](super::scope) is the safe way.
    ///
    /// # Errors
    ///
    /// As [`Builder::spawn`].
    ///
    /// # Safety
    ///
    /// The thread must have ended before what `f` and its result borrow is gone. One way to see to that is to [`join`](JoinHandle::join) it before. But a
    /// [cancellation](crate::Cancelled) of the caller unwinds out of `join`, as out of any wait, and so may a panic before it: join it in a
    /// [`shield`](crate::shield), and in a destructor too if anything comes between. Another way is to let `f` and its result borrow only what is `'static`.
    ///
    /// ```
    /// use rustlet::{shield, thread};
    ///
    /// rustlet::run(|| {
    ///     let text = String::from("borrowed");
    ///     // SAFETY: it is joined before `text` goes: nothing in between panics or waits, and the wait cannot be cancelled.
    ///     let thread = unsafe { thread::Builder::new().spawn_unchecked(|| text.len()) }?;
    ///     let length = shield(|| thread.join());
    ///     assert_eq!(length.unwrap(), 8);
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub unsafe fn spawn_unchecked<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        crate::green::budget::spend_quietly(std::panic::Location::caller());
        // SAFETY: by the contract.
        unsafe { current::spawn_unchecked(self.order(), f) }
    }

    /// As [`spawn_local`](super::spawn_local), with an error instead of a panic.
    ///
    /// # Errors
    ///
    /// As [`Builder::spawn`].
    ///
    /// # Panics
    ///
    /// The caller is not a green thread.
    #[track_caller]
    pub fn spawn_local<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        crate::green::budget::spend_quietly(std::panic::Location::caller());
        start::spawn_local(self.order(), f)
    }

    /// As [`Scope::spawn`], with an error instead of a panic.
    ///
    /// # Errors
    ///
    /// As [`Builder::spawn`].
    #[track_caller]
    pub fn spawn_scoped<'scope, F, T>(
        self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        crate::green::budget::spend_quietly(std::panic::Location::caller());
        scope.spawn_with(self.order(), f)
    }
}
