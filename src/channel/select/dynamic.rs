#![allow(
    unsafe_code,
    reason = "slots for messages whose type the select does not know"
)]
//! [`Select`]: a list of operations that is built at run time.
//!
//! LS1. A slot has the layout that its entry's channel asked for, and holds a `RecvSlot<T>` or a
//!      deferred head of that channel. Its memory does not move. Between two calls it holds no
//!      message.
//! LS2. Channels with the same address are the same, and so are their messages' types.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use super::poll_order::PollOrder;
use super::poll_source::{ThreadArm, ThreadPark};
use super::select_wait::{Arm, Operations};
use crate::channel::core::outcome::Op;
use crate::channel::core::slot::{RecvSlot, SendHeader, SendSlot};
use crate::channel::wait_limit::{WaitLimit, yield_point};
use crate::channel::{
    ReadyTimeoutError, Receiver, RecvError, SelectTimeoutError, SendError, Sender, TryReadyError,
    TrySelectError,
};
use crate::green::ids::os_thread;
use crate::green::{OnCancel, Reason, Wait};
use crate::sync::wait::waiting_thread::WaitingThread;

/// An arm and its slot.
pub(super) type Case<'a> = (ThreadArm<'a>, *mut ());

#[inline]
fn order(biased: bool, count: usize) -> PollOrder {
    match biased {
        true => PollOrder::Written,
        false => PollOrder::shuffled(count, random),
    }
}

/// Returns a seed, not 0 and different for each OS thread.
#[cold]
fn seed() -> u64 {
    os_thread().get().wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Returns the next number of the calling OS thread's generator, xorshift64*.
#[inline]
fn random() -> u64 {
    thread_local! {
        /// 0: not seeded.
        static STATE: Cell<u64> = const { Cell::new(0) };
    }
    let mut state = STATE.get();
    if state == 0 {
        state = seed();
    }
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    STATE.set(state);
    state.wrapping_mul(0x2545_F491_4F6C_DD1D)
}

fn wait(limit: WaitLimit, at: &'static Location<'static>) -> Wait {
    Wait::at(Reason::Select, at)
        .until(limit.tick())
        .on_cancel(OnCancel::Defer)
}

/// Performs one of the operations. Without a limit: if that needs no wait.
#[inline(never)]
pub(super) fn select(
    cases: &[Case<'_>],
    biased: bool,
    limit: Option<WaitLimit>,
    at: &'static Location<'static>,
) -> Option<usize> {
    yield_point(at);
    let order = order(biased, cases.len());
    let order = &order;
    let sleep = limit.map(|limit| ThreadPark::new(cases, order, true, wait(limit, at)));
    let arms = Operations { arms: cases, order };
    arms.select(sleep)
}

/// Returns which operation is ready.
fn ready(
    cases: &[Case<'_>],
    biased: bool,
    limit: Option<WaitLimit>,
    at: &'static Location<'static>,
) -> Option<usize> {
    yield_point(at);
    let order = order(biased, cases.len());
    let order = &order;
    let sleep = limit.map(|limit| ThreadPark::new(cases, order, false, wait(limit, at)));
    let arms = Operations { arms: cases, order };
    arms.ready(sleep)
}

/// One side of a channel, with messages of any type.
trait Handle {
    fn arm(&self) -> ThreadArm<'_>;
    fn address(&self) -> usize;
    fn layout(&self) -> Layout;
    /// # Safety
    ///
    /// `slot` has that layout.
    unsafe fn open(&self, slot: *mut ());
    /// Gives back what the operation has got. A received message is dropped; with `elsewhere`, on
    /// another OS thread than the owner of the handle, it is leaked: it may have to stay on its
    /// thread.
    ///
    /// # Safety
    ///
    /// `slot` is open, and a select has performed this operation.
    unsafe fn undo(&self, slot: *mut (), elsewhere: bool);
}

impl<T> Handle for Sender<T> {
    fn arm(&self) -> ThreadArm<'_> {
        Arm::channel(Op::Send, self.chan())
    }

    fn address(&self) -> usize {
        Sender::address(self)
    }

    fn layout(&self) -> Layout {
        Layout::new::<SendHeader<WaitingThread>>()
    }

    unsafe fn open(&self, slot: *mut ()) {
        // SAFETY: by the contract.
        unsafe {
            slot.cast::<SendHeader<WaitingThread>>()
                .write(SendHeader::deferred())
        };
    }

    unsafe fn undo(&self, slot: *mut (), _elsewhere: bool) {
        // SAFETY: by the contract.
        let head = unsafe { &*slot.cast::<SendHeader<WaitingThread>>() };
        self.chan().release(head.take_reservation());
    }
}

impl<T> Handle for Receiver<T> {
    fn arm(&self) -> ThreadArm<'_> {
        Receiver::arm(self)
    }

    fn address(&self) -> usize {
        Receiver::address(self)
    }

    fn layout(&self) -> Layout {
        Layout::new::<RecvSlot<T>>()
    }

    unsafe fn open(&self, slot: *mut ()) {
        // SAFETY: by the contract.
        unsafe { slot.cast::<RecvSlot<T>>().write(RecvSlot::new()) };
    }

    unsafe fn undo(&self, slot: *mut (), elsewhere: bool) {
        if elsewhere {
            return;
        }
        // SAFETY: by the contract.
        drop(unsafe { &*slot.cast::<RecvSlot<T>>() }.take());
    }
}

/// Memory for a slot.
struct Slot {
    memory: NonNull<u8>,
    layout: Layout,
}

impl Slot {
    fn new(layout: Layout) -> Slot {
        // SAFETY: no slot has size 0: each records how its claim has ended.
        let memory = NonNull::new(unsafe { alloc(layout) });
        let Some(memory) = memory else {
            handle_alloc_error(layout)
        };
        Slot { memory, layout }
    }

    fn pointer(&self) -> *mut () {
        self.memory.as_ptr().cast()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // SAFETY: `new` has allocated it with this layout.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) };
    }
}

struct Entry<'a> {
    handle: &'a dyn Handle,
    /// The OS thread that has added it.
    of: NonZeroU64,
    index: usize,
    slot: Option<Slot>,
}

impl<'a> Entry<'a> {
    /// Returns an arm with an open slot (LS1).
    fn case(&mut self) -> Case<'a> {
        let slot = self
            .slot
            .get_or_insert_with(|| Slot::new(self.handle.layout()))
            .pointer();
        // SAFETY: LS1.
        unsafe { self.handle.open(slot) };
        (self.handle.arm(), slot)
    }
}

/// A list of operations of which one is performed when it is ready: `select!` for a number of
/// channels that is known only at run time.
///
/// Each added operation gets the next index. [`select`](Select::select) waits until one is ready;
/// it is then completed with [`SelectedOperation::send`] or [`SelectedOperation::recv`]. Of several
/// ready operations one is chosen at random, or, after [`new_biased`](Select::new_biased), the one
/// that was added first.
///
/// # Examples
///
/// ```
/// use rustlet::channel::{unbounded, Select};
///
/// rustlet::run(|| {
///     let channels: Vec<_> = (0..10).map(|_| unbounded()).collect();
///     let sender = channels[7].0.clone();
///     rustlet::spawn(move || sender.send("seven").unwrap());
///
///     let mut select = Select::new();
///     for (_, receiver) in &channels {
///         select.recv(receiver);
///     }
///     let chosen = select.select();
///     assert_eq!(chosen.index(), 7);
///     assert_eq!(chosen.recv(&channels[7].1), Ok("seven"));
/// });
/// ```
#[doc(alias = "FuturesUnordered")]
pub struct Select<'a> {
    entries: Vec<Entry<'a>>,
    next: usize,
    biased: bool,
}

// SAFETY: handles can be used by all threads, whatever their messages, as long as none is sent or
// received, which needs the handle itself; nor is one dropped elsewhere (`undo`). Slots hold
// nothing between two calls (LS1).
unsafe impl Send for Select<'_> {}
// SAFETY: as above.
unsafe impl Sync for Select<'_> {}

impl<'a> Select<'a> {
    /// Creates an empty list.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::Select;
    ///
    /// assert!(Select::new().try_select().is_err());
    /// ```
    #[must_use]
    pub fn new() -> Select<'a> {
        Select {
            entries: Vec::with_capacity(4),
            next: 0,
            biased: false,
        }
    }

    /// Creates an empty list that prefers the operation that was added first.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{unbounded, Select};
    ///
    /// let (sender, receiver) = unbounded();
    /// sender.send(1).unwrap();
    /// let mut select = Select::new_biased();
    /// select.recv(&receiver);
    /// select.recv(&receiver);
    /// let chosen = select.select();
    /// assert_eq!(chosen.index(), 0);
    /// chosen.recv(&receiver).unwrap();
    /// ```
    #[must_use]
    pub fn new_biased() -> Select<'a> {
        Select {
            biased: true,
            ..Select::new()
        }
    }

    fn add(&mut self, handle: &'a dyn Handle) -> usize {
        let index = self.next;
        self.next += 1;
        self.entries.push(Entry {
            handle,
            of: os_thread(),
            index,
            slot: None,
        });
        index
    }

    /// Adds a send operation and returns its index. The message is given when it has been chosen.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{unbounded, Select};
    ///
    /// let (sender, receiver) = unbounded();
    /// let mut select = Select::new();
    /// assert_eq!(select.send(&sender), 0);
    /// select.select().send(&sender, "message").unwrap();
    /// assert_eq!(receiver.recv(), Ok("message"));
    /// ```
    pub fn send<T>(&mut self, sender: &'a Sender<T>) -> usize {
        self.add(sender)
    }

    /// Adds a receive operation and returns its index.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{unbounded, Select};
    ///
    /// let (sender, receiver) = unbounded();
    /// sender.send(1).unwrap();
    /// let mut select = Select::new();
    /// assert_eq!(select.recv(&receiver), 0);
    /// assert_eq!(select.select().recv(&receiver), Ok(1));
    /// ```
    pub fn recv<T>(&mut self, receiver: &'a Receiver<T>) -> usize {
        self.add(receiver)
    }

    /// Removes an operation. The others keep their indices.
    ///
    /// # Panics
    ///
    /// Panics if there is no operation with this index.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{never, Select};
    ///
    /// let receiver = never::<()>();
    /// let mut select = Select::new();
    /// let index = select.recv(&receiver);
    /// select.remove(index);
    /// ```
    #[track_caller]
    pub fn remove(&mut self, index: usize) {
        assert!(
            index < self.next,
            "index out of bounds; {index} >= {}",
            self.next
        );
        let at = self.entries.iter().position(|entry| entry.index == index);
        let at = at.expect("no operation with this index");
        // In place, because a biased choice is in the order of the list.
        drop(self.entries.remove(at));
    }

    fn choose(
        &mut self,
        limit: Option<WaitLimit>,
        at: &'static Location<'static>,
    ) -> Option<SelectedOperation<'a>> {
        let cases: Vec<Case<'a>> = self.entries.iter_mut().map(Entry::case).collect();
        let chosen = select(&cases, self.biased, limit, at)?;
        let entry = &mut self.entries[chosen];
        Some(SelectedOperation {
            handle: entry.handle,
            of: entry.of,
            index: entry.index,
            slot: entry.slot.take()?,
            completed: false,
        })
    }

    fn wait_ready(
        &mut self,
        limit: Option<WaitLimit>,
        at: &'static Location<'static>,
    ) -> Option<usize> {
        let case = |entry: &Entry<'a>| (entry.handle.arm(), std::ptr::null_mut());
        let cases: Vec<Case<'a>> = self.entries.iter().map(case).collect();
        ready(&cases, self.biased, limit, at).map(|at| self.entries[at].index)
    }

    fn expect_some(&self) {
        assert!(
            !self.entries.is_empty(),
            "no operations have been added to `Select`"
        );
    }

    /// Chooses a ready operation without waiting. The result must be completed.
    ///
    /// # Errors
    ///
    /// Returns an error if no operation is ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{unbounded, Select};
    ///
    /// let (sender, receiver) = unbounded();
    /// let mut select = Select::new();
    /// select.recv(&receiver);
    /// assert!(select.try_select().is_err());
    /// sender.send(1).unwrap();
    /// assert_eq!(select.try_select().unwrap().recv(&receiver), Ok(1));
    /// ```
    #[track_caller]
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        self.choose(None, Location::caller()).ok_or(TrySelectError)
    }

    /// Waits until an operation is ready and chooses it. The result must be completed. An operation
    /// is also ready if its channel is disconnected.
    ///
    /// # Panics
    ///
    /// Panics if there are no operations.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds; no operation has been chosen.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{unbounded, Select};
    ///
    /// rustlet::run(|| {
    ///     let ((a, from_a), (b, from_b)) = (unbounded(), unbounded());
    ///     let mut select = Select::new();
    ///     select.recv(&from_a);
    ///     let second = select.recv(&from_b);
    ///     rustlet::spawn(move || b.send("b").unwrap());
    ///     let chosen = select.select();
    ///     assert_eq!(chosen.index(), second);
    ///     assert_eq!(chosen.recv(&from_b), Ok("b"));
    ///     # drop::<rustlet::channel::Sender<&str>>(a);
    /// });
    /// ```
    #[track_caller]
    pub fn select(&mut self) -> SelectedOperation<'a> {
        self.expect_some();
        self.choose(Some(WaitLimit::Never), Location::caller())
            .expect("a wait without a limit ends with a choice")
    }

    /// Waits like [`select`](Select::select), for at most `timeout`. Without operations it waits
    /// that long.
    ///
    /// # Errors
    ///
    /// Returns an error if no operation became ready in time.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{never, Select};
    /// use std::time::Duration;
    ///
    /// let receiver = never::<()>();
    /// let mut select = Select::new();
    /// select.recv(&receiver);
    /// assert!(select.select_timeout(Duration::from_millis(1)).is_err());
    /// ```
    #[track_caller]
    pub fn select_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.choose(Some(WaitLimit::For(timeout)), Location::caller())
            .ok_or(SelectTimeoutError)
    }

    /// Waits like [`select`](Select::select), until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// Returns an error if no operation became ready in time.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{never, Select};
    /// use std::time::Instant;
    ///
    /// let receiver = never::<()>();
    /// let mut select = Select::new();
    /// select.recv(&receiver);
    /// assert!(select.select_deadline(Instant::now()).is_err());
    /// ```
    #[track_caller]
    pub fn select_deadline(
        &mut self,
        deadline: Instant,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.choose(Some(WaitLimit::Until(deadline)), Location::caller())
            .ok_or(SelectTimeoutError)
    }

    /// Returns the index of a ready operation, without performing it: another thread may be faster.
    ///
    /// # Errors
    ///
    /// Returns an error if no operation is ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{unbounded, Select};
    ///
    /// let (sender, receiver) = unbounded();
    /// let mut select = Select::new();
    /// select.recv(&receiver);
    /// assert!(select.try_ready().is_err());
    /// sender.send(1).unwrap();
    /// assert_eq!(select.try_ready(), Ok(0));
    /// ```
    #[track_caller]
    pub fn try_ready(&mut self) -> Result<usize, TryReadyError> {
        self.wait_ready(None, Location::caller())
            .ok_or(TryReadyError)
    }

    /// Waits until an operation is ready and returns its index, without performing it. Another
    /// thread may be faster, so try the operation, and call this again if it would wait.
    ///
    /// # Panics
    ///
    /// Panics if there are no operations.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{unbounded, Select};
    ///
    /// let (sender, receiver) = unbounded();
    /// std::thread::spawn(move || sender.send(1).unwrap());
    /// let mut select = Select::new();
    /// select.recv(&receiver);
    /// assert_eq!(select.ready(), 0);
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// ```
    #[track_caller]
    pub fn ready(&mut self) -> usize {
        self.expect_some();
        self.wait_ready(Some(WaitLimit::Never), Location::caller())
            .expect("a wait without a limit ends with an answer")
    }

    /// Waits like [`ready`](Select::ready), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// Returns an error if no operation became ready in time.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{never, Select};
    /// use std::time::Duration;
    ///
    /// let receiver = never::<()>();
    /// let mut select = Select::new();
    /// select.recv(&receiver);
    /// assert!(select.ready_timeout(Duration::from_millis(1)).is_err());
    /// ```
    #[track_caller]
    pub fn ready_timeout(&mut self, timeout: Duration) -> Result<usize, ReadyTimeoutError> {
        self.wait_ready(Some(WaitLimit::For(timeout)), Location::caller())
            .ok_or(ReadyTimeoutError)
    }

    /// Waits like [`ready`](Select::ready), until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// Returns an error if no operation became ready in time.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{never, Select};
    /// use std::time::Instant;
    ///
    /// let receiver = never::<()>();
    /// let mut select = Select::new();
    /// select.recv(&receiver);
    /// assert!(select.ready_deadline(Instant::now()).is_err());
    /// ```
    #[track_caller]
    pub fn ready_deadline(&mut self, deadline: Instant) -> Result<usize, ReadyTimeoutError> {
        self.wait_ready(Some(WaitLimit::Until(deadline)), Location::caller())
            .ok_or(ReadyTimeoutError)
    }

    /// Removes all operations and keeps the list's memory, for other channels.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::Select;
    ///
    /// let select = Select::new();
    /// let mut empty = select.recycle();
    /// assert!(empty.try_ready().is_err());
    /// ```
    #[must_use]
    pub fn recycle<'b>(self) -> Select<'b> {
        let mut entries = self.entries;
        entries.clear();
        let none = entries.into_iter();
        Select {
            entries: none
                .map(|_| -> Entry<'b> { unreachable!("it was cleared") })
                .collect(),
            next: 0,
            biased: self.biased,
        }
    }
}

impl<'a> Clone for Select<'a> {
    fn clone(&self) -> Self {
        let entry = |entry: &Entry<'a>| Entry {
            slot: None,
            ..*entry
        };
        Select {
            entries: self.entries.iter().map(entry).collect(),
            next: self.next,
            biased: self.biased,
        }
    }
}

impl Default for Select<'_> {
    fn default() -> Self {
        Select::new()
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Select { .. }")
    }
}

/// A chosen operation, which must be completed with [`send`](SelectedOperation::send) or
/// [`recv`](SelectedOperation::recv). Other threads may wait for that, so complete it soon.
///
/// # Panics
///
/// Dropping it instead panics, unless the thread is already unwinding. Then nothing is sent; a
/// message that was to be received is lost.
///
/// # Examples
///
/// ```
/// use rustlet::channel::{unbounded, Select, SelectedOperation};
///
/// let (sender, receiver) = unbounded();
/// sender.send(1).unwrap();
/// let mut select = Select::new();
/// select.recv(&receiver);
/// let chosen: SelectedOperation<'_> = select.select();
/// assert_eq!(chosen.recv(&receiver), Ok(1));
/// ```
#[must_use]
pub struct SelectedOperation<'a> {
    handle: &'a dyn Handle,
    of: NonZeroU64,
    index: usize,
    slot: Slot,
    completed: bool,
}

impl SelectedOperation<'_> {
    /// Returns the index of the operation.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{unbounded, Select};
    ///
    /// let (sender, receiver) = unbounded::<u8>();
    /// let mut select = Select::new();
    /// select.recv(&receiver);
    /// select.send(&sender);
    /// let chosen = select.select();
    /// assert_eq!(chosen.index(), 1);
    /// chosen.send(&sender, 1).unwrap();
    /// ```
    pub fn index(&self) -> usize {
        self.index
    }

    fn is(&self, address: usize, op: Op) -> bool {
        let this = match self.handle.arm() {
            Arm::SelectChannel(op, ..) => op,
            Arm::PollSource(_) => Op::Recv,
        };
        this == op && self.handle.address() == address
    }

    /// Completes a send operation. Does not wait. `sender` must belong to the channel that was
    /// added.
    ///
    /// # Errors
    ///
    /// Returns the message in the error if all receivers were dropped.
    ///
    /// # Panics
    ///
    /// Panics if the operation is not a send to this channel.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{bounded, Select};
    ///
    /// let (sender, receiver) = bounded(1);
    /// let mut select = Select::new();
    /// select.send(&sender);
    /// select.select().send(&sender, 5).unwrap();
    /// assert_eq!(receiver.recv(), Ok(5));
    /// ```
    #[track_caller]
    pub fn send<T>(mut self, sender: &Sender<T>, message: T) -> Result<(), SendError<T>> {
        assert!(
            self.is(sender.address(), Op::Send),
            "passed a sender that wasn't selected"
        );
        self.completed = true;
        // SAFETY: LS1, LS2.
        let head = unsafe { &*self.slot.pointer().cast::<SendHeader<WaitingThread>>() };
        let reservation = head.take_reservation();
        let offer = SendSlot::new(message);
        match sender.chan().commit(reservation, &offer) {
            Ok(()) => Ok(()),
            // SAFETY: SN2 in `sender.rs`.
            Err(_) => Err(SendError(unsafe { offer.take() })),
        }
    }

    /// Completes a receive operation. Does not wait. `receiver` must belong to the channel that was
    /// added.
    ///
    /// # Errors
    ///
    /// Returns an error if the channel is empty and all senders were dropped.
    ///
    /// # Panics
    ///
    /// Panics if the operation is not a receive from this channel.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::channel::{unbounded, Select};
    ///
    /// let (sender, receiver) = unbounded::<u8>();
    /// drop(sender);
    /// let mut select = Select::new();
    /// select.recv(&receiver);
    /// assert!(select.select().recv(&receiver).is_err());
    /// ```
    #[track_caller]
    pub fn recv<T>(mut self, receiver: &Receiver<T>) -> Result<T, RecvError> {
        assert!(
            self.is(receiver.address(), Op::Recv),
            "passed a receiver that wasn't selected"
        );
        self.completed = true;
        // SAFETY: LS1, LS2.
        let slot = unsafe { &*self.slot.pointer().cast::<RecvSlot<T>>() };
        slot.take().ok_or(RecvError)
    }
}

impl Drop for SelectedOperation<'_> {
    fn drop(&mut self) {
        if self.completed {
            return;
        }
        // SAFETY: LS1; it was chosen.
        unsafe {
            self.handle
                .undo(self.slot.pointer(), self.of != os_thread())
        };
        // A second panic would abort the process.
        assert!(
            std::thread::panicking(),
            "dropped `SelectedOperation` without completing the operation"
        );
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SelectedOperation { .. }")
    }
}
