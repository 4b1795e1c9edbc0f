#![allow(unsafe_code, reason = "`spawn_unchecked` hands its contract on")]
//! Spawning with a name, a stack size, and an error instead of a panic.

use std::io;

use super::{JoinHandle, Scope, ScopedJoinHandle};
use crate::runtime::{
    current,
    spawn::{self as start, SpawnRequest},
};
use crate::stack::StackSize;

/// Configures a green thread before it is spawned; see [`std::thread::Builder`].
///
/// # Examples
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
    /// Creates a builder with default settings: no name, the runtime's stack size, any worker.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::thread::Builder;
    ///
    /// let thread = Builder::new().spawn(|| 1)?;
    /// assert_eq!(thread.join().unwrap(), 1);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Names the thread: in reports, dumps and [`Thread::name`](super::Thread::name). Default: no
    /// name.
    ///
    /// # Panics
    ///
    /// The spawning call panics if the name contains a NUL byte, as in std.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::thread::Builder;
    ///
    /// let thread = Builder::new().name("parser".into()).spawn(|| ())?;
    /// assert_eq!(thread.thread().name(), Some("parser"));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn name(mut self, name: String) -> Builder {
        self.name = Some(name.into_boxed_str());
        self
    }

    /// Sets the minimum usable stack size in bytes, rounded up to a workable size (64 KiB).
    /// Default: that of the runtime. Other sizes than the runtime's are a little slower to spawn.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::thread::Builder;
    ///
    /// let thread = Builder::new().stack_size(1024 * 1024).spawn(|| [0_u8; 500_000].len())?;
    /// assert_eq!(thread.join().unwrap(), 500_000);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// Starts the thread on worker `index` of the runtime, counted from 0, as
    /// [`spawn_on`](super::spawn_on) does. No other worker starts it: if that worker is busy, the
    /// thread waits for it.
    ///
    /// With [`spawn_local`](Builder::spawn_local), it must be the caller's worker.
    ///
    /// # Examples
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
    fn request(self) -> SpawnRequest {
        if let Some(name) = &self.name {
            assert!(
                !name.contains('\0'),
                "thread name may not contain interior null bytes"
            );
        }
        SpawnRequest {
            name: self.name,
            stack: self.stack_size.map(StackSize::from_usable),
            worker: self.worker,
            ..SpawnRequest::new()
        }
    }

    /// Spawns a green thread like [`spawn`](super::spawn), with an error instead of a panic. Does
    /// not wait.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: `max_threads` is reached. `OutOfMemory`: address space or mappings have run
    /// out; the message names the limit and how to raise it. `InvalidInput`: there is no such
    /// [`worker`](Builder::worker). Other kinds: the process-wide runtime could not be started.
    ///
    /// # Examples
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
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        current::spawn_static(self.request(), f)
    }

    /// Spawns a green thread whose closure may borrow; see
    /// [`std::thread::Builder::spawn_unchecked`]. [`scope`](super::scope) is the safe way where it
    /// fits.
    ///
    /// # Errors
    ///
    /// The same as for [`Builder::spawn`].
    ///
    /// # Safety
    ///
    /// The thread must have ended before the borrows in `f` and its result end. One way is to
    /// [`join`](JoinHandle::join) it before. But a [cancellation](crate::Cancelled) of the caller
    /// unwinds out of `join`, as out of any wait, and so may a panic before it: join it in a
    /// [`shield`](crate::shield), and in a destructor too if anything comes between. Another way is
    /// to let `f` and its result borrow only `'static` data.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::{shield, thread};
    ///
    /// rustlet::run(|| {
    ///     let text = String::from("borrowed");
    ///     // SAFETY: it is joined before `text` is dropped: nothing in between panics or
    ///     // waits, and the wait cannot be cancelled.
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
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        // SAFETY: by the contract.
        unsafe { current::spawn_unchecked(self.request(), f) }
    }

    /// Spawns a green thread like [`spawn_local`](super::spawn_local), with an error instead of a
    /// panic.
    ///
    /// # Errors
    ///
    /// The same as for [`Builder::spawn`].
    ///
    /// # Panics
    ///
    /// Panics if the caller is not a green thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::thread::Builder;
    /// use std::rc::Rc;
    ///
    /// rustlet::run(|| {
    ///     let value = Rc::new(1);
    ///     let thread = Builder::new().spawn_local(move || *value)?;
    ///     assert_eq!(thread.join().unwrap(), 1);
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn spawn_local<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        start::spawn_local(self.request(), f)
    }

    /// Spawns a scoped green thread like [`Scope::spawn`], with an error instead of a panic.
    ///
    /// # Errors
    ///
    /// The same as for [`Builder::spawn`].
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::thread::Builder;
    ///
    /// rustlet::run(|| {
    ///     let text = String::from("borrowed");
    ///     rustlet::scope(|s| {
    ///         let thread = Builder::new().spawn_scoped(s, || text.len())?;
    ///         assert_eq!(thread.join().unwrap(), 8);
    ///         std::io::Result::Ok(())
    ///     })
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
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
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        scope.spawn_with(self.request(), f)
    }
}
