#![allow(
    unsafe_code,
    reason = "slots for messages whose type the select does not know"
)]
//! [`Select`]: a list of operations that is made at run time.
//!
//! LS1. A slot has the layout that its entry's channel asked for, and holds a `Place<T>` or a lazy head of the channel's.
//!      Its memory does not move. Between two calls it holds no message.
//! LS2. Channels with the same address are the same, and so are their messages' types.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use super::polled::{Sleeping, ThreadArm};
use super::several::{Arm, Arms, Order};
use crate::channel::core::outcome::Side;
use crate::channel::core::slot::{Head, Offer, Place};
use crate::channel::limit::{Limit, give_way};
use crate::channel::{
    ReadyTimeoutError, Receiver, RecvError, SelectTimeoutError, SendError, Sender, TryReadyError,
    TrySelectError,
};
use crate::green::ids::os_thread;
use crate::green::{OnCancel, Reason, Wait};
use crate::sync::wait::waiting::Thread;

/// An arm and its slot.
pub(super) type Case<'a> = (ThreadArm<'a>, *mut ());

#[inline]
fn order(biased: bool, count: usize) -> Order {
    match biased {
        true => Order::Written,
        false => Order::shuffled(count, random),
    }
}

/// Not 0, and another one for each OS thread.
#[cold]
fn seed() -> u64 {
    os_thread().get().wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The next number of the calling OS thread's generator, xorshift64*.
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

fn wait(limit: Limit, at: &'static Location<'static>) -> Wait {
    Wait::at(Reason::Select, at)
        .until(limit.tick())
        .on_cancel(OnCancel::Defer)
}

/// Does one of the operations. No limit: if that needs no wait.
#[inline(never)]
pub(super) fn select(
    cases: &[Case<'_>],
    biased: bool,
    limit: Option<Limit>,
    at: &'static Location<'static>,
) -> Option<usize> {
    give_way(at);
    let order = order(biased, cases.len());
    let order = &order;
    let sleep = limit.map(|limit| Sleeping::new(cases, order, true, wait(limit, at)));
    let arms = Arms { arms: cases, order };
    arms.select(sleep)
}

/// Says which is ready.
fn ready(
    cases: &[Case<'_>],
    biased: bool,
    limit: Option<Limit>,
    at: &'static Location<'static>,
) -> Option<usize> {
    give_way(at);
    let order = order(biased, cases.len());
    let order = &order;
    let sleep = limit.map(|limit| Sleeping::new(cases, order, false, wait(limit, at)));
    let arms = Arms { arms: cases, order };
    arms.ready(sleep)
}

/// One side of a channel, whatever its messages.
trait Handle {
    fn arm(&self) -> ThreadArm<'_>;
    fn address(&self) -> usize;
    fn layout(&self) -> Layout;
    /// # Safety
    ///
    /// `slot` has that layout.
    unsafe fn open(&self, slot: *mut ());
    /// Gives back what the operation has got. A message that was received is dropped; if `elsewhere`, on another OS thread than the one that
    /// has the handle, it is forgotten: it may be one that has to stay there.
    ///
    /// # Safety
    ///
    /// `slot` is open, and a select has done this operation.
    unsafe fn undo(&self, slot: *mut (), elsewhere: bool);
}

impl<T> Handle for Sender<T> {
    fn arm(&self) -> ThreadArm<'_> {
        Arm::meeting(Side::Send, self.chan())
    }

    fn address(&self) -> usize {
        Sender::address(self)
    }

    fn layout(&self) -> Layout {
        Layout::new::<Head<Thread>>()
    }

    unsafe fn open(&self, slot: *mut ()) {
        // SAFETY: by the contract.
        unsafe { slot.cast::<Head<Thread>>().write(Head::lazy()) };
    }

    unsafe fn undo(&self, slot: *mut (), _elsewhere: bool) {
        // SAFETY: by the contract.
        let head = unsafe { &*slot.cast::<Head<Thread>>() };
        self.chan().renounce(head.take_pledge());
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
        Layout::new::<Place<T>>()
    }

    unsafe fn open(&self, slot: *mut ()) {
        // SAFETY: by the contract.
        unsafe { slot.cast::<Place<T>>().write(Place::new()) };
    }

    unsafe fn undo(&self, slot: *mut (), elsewhere: bool) {
        if elsewhere {
            return;
        }
        // SAFETY: by the contract.
        drop(unsafe { &*slot.cast::<Place<T>>() }.take());
    }
}

/// Memory for a slot.
struct Slot {
    memory: NonNull<u8>,
    layout: Layout,
}

impl Slot {
    fn new(layout: Layout) -> Slot {
        // SAFETY: no slot is of size 0: each says how its claim has ended.
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
        // SAFETY: `new` has allocated it so.
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
    /// An arm with an open slot (LS1).
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

/// A list of operations, of which one is chosen when it is ready: `select!` for a number of channels that is known at run time only.
///
/// Each operation that is added gets the next number. [`select`](Select::select) waits until one can be done without
/// waiting; which is then done with [`SelectedOperation::send`] or [`SelectedOperation::recv`].
/// Of several that are ready one is chosen by chance, or, after [`new_biased`](Select::new_biased), the one that was added first.
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
pub struct Select<'a> {
    entries: Vec<Entry<'a>>,
    next: usize,
    biased: bool,
}

// SAFETY: handles can be used by all threads, whatever their messages, as long as none is sent or received, which needs the
// handle itself; nor is one dropped elsewhere (`undo`). Slots hold nothing between two calls (LS1).
unsafe impl Send for Select<'_> {}
// SAFETY: as above.
unsafe impl Sync for Select<'_> {}

impl<'a> Select<'a> {
    /// No operations.
    #[must_use]
    pub fn new() -> Select<'a> {
        Select {
            entries: Vec::with_capacity(4),
            next: 0,
            biased: false,
        }
    }

    /// No operations; of those to come, the first that is ready will be chosen.
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

    /// Adds the sending of a message, which is said when it has been chosen. Returns the operation's number.
    pub fn send<T>(&mut self, sender: &'a Sender<T>) -> usize {
        self.add(sender)
    }

    /// Adds the receiving of a message. Returns the operation's number.
    pub fn recv<T>(&mut self, receiver: &'a Receiver<T>) -> usize {
        self.add(receiver)
    }

    /// Takes an operation out. The others keep their numbers.
    ///
    /// # Panics
    ///
    /// There is no such operation, or it has been taken out already.
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
        limit: Option<Limit>,
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

    fn look(&mut self, limit: Option<Limit>, at: &'static Location<'static>) -> Option<usize> {
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

    /// Chooses an operation that needs no wait. It has to be completed.
    ///
    /// # Errors
    ///
    /// There is none.
    #[track_caller]
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        self.choose(None, Location::caller()).ok_or(TrySelectError)
    }

    /// Waits until an operation needs no further wait, and chooses it. It has to be completed. An operation is also ready if it
    /// will find that its channel is disconnected.
    ///
    /// # Panics
    ///
    /// There are no operations.
    #[track_caller]
    pub fn select(&mut self) -> SelectedOperation<'a> {
        self.expect_some();
        self.choose(Some(Limit::Never), Location::caller())
            .expect("a wait without a limit ends with a choice")
    }

    /// As [`select`](Select::select), and waits for at most `timeout`. Without operations it waits all of it.
    ///
    /// # Errors
    ///
    /// None became ready in time.
    #[track_caller]
    pub fn select_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.choose(Some(Limit::For(timeout)), Location::caller())
            .ok_or(SelectTimeoutError)
    }

    /// As [`select`](Select::select), and waits until `deadline` at most.
    ///
    /// # Errors
    ///
    /// None became ready in time.
    #[track_caller]
    pub fn select_deadline(
        &mut self,
        deadline: Instant,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.choose(Some(Limit::Until(deadline)), Location::caller())
            .ok_or(SelectTimeoutError)
    }

    /// The number of an operation that needs no wait now. Nothing is done: another thread may come first.
    ///
    /// # Errors
    ///
    /// There is none.
    #[track_caller]
    pub fn try_ready(&mut self) -> Result<usize, TryReadyError> {
        self.look(None, Location::caller()).ok_or(TryReadyError)
    }

    /// Waits until an operation needs no further wait, and gives its number. Nothing is done: another thread may come first, so
    /// try the operation, and ask again if it would wait.
    ///
    /// # Panics
    ///
    /// There are no operations.
    #[track_caller]
    pub fn ready(&mut self) -> usize {
        self.expect_some();
        self.look(Some(Limit::Never), Location::caller())
            .expect("a wait without a limit ends with an answer")
    }

    /// As [`ready`](Select::ready), and waits for at most `timeout`.
    ///
    /// # Errors
    ///
    /// None became ready in time.
    #[track_caller]
    pub fn ready_timeout(&mut self, timeout: Duration) -> Result<usize, ReadyTimeoutError> {
        self.look(Some(Limit::For(timeout)), Location::caller())
            .ok_or(ReadyTimeoutError)
    }

    /// As [`ready`](Select::ready), and waits until `deadline` at most.
    ///
    /// # Errors
    ///
    /// None became ready in time.
    #[track_caller]
    pub fn ready_deadline(&mut self, deadline: Instant) -> Result<usize, ReadyTimeoutError> {
        self.look(Some(Limit::Until(deadline)), Location::caller())
            .ok_or(ReadyTimeoutError)
    }

    /// No operations again, for other channels; keeps what it has allocated for its list.
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

/// An operation that was chosen, and has to be completed: with [`send`](SelectedOperation::send) or
/// [`recv`](SelectedOperation::recv). Other threads may wait for that, so complete it soon.
///
/// # Panics
///
/// Dropping it instead panics (but for a thread that is unwinding already). Nothing is sent then; a message that was to be received is lost.
#[must_use]
pub struct SelectedOperation<'a> {
    handle: &'a dyn Handle,
    of: NonZeroU64,
    index: usize,
    slot: Slot,
    completed: bool,
}

impl SelectedOperation<'_> {
    /// The number of the operation.
    pub fn index(&self) -> usize {
        self.index
    }

    fn is(&self, address: usize, side: Side) -> bool {
        let this = match self.handle.arm() {
            Arm::Meeting(side, ..) => side,
            Arm::Polled(_) => Side::Recv,
        };
        this == side && self.handle.address() == address
    }

    /// Completes a send. Does not wait. `sender` is the one that was added, or one of the same channel.
    ///
    /// # Errors
    ///
    /// All receivers are gone.
    ///
    /// # Panics
    ///
    /// The operation is not one of this sender.
    pub fn send<T>(mut self, sender: &Sender<T>, message: T) -> Result<(), SendError<T>> {
        assert!(
            self.is(sender.address(), Side::Send),
            "passed a sender that wasn't selected"
        );
        self.completed = true;
        // SAFETY: LS1, LS2.
        let head = unsafe { &*self.slot.pointer().cast::<Head<Thread>>() };
        let pledge = head.take_pledge();
        let offer = Offer::new(message);
        match sender.chan().redeem(pledge, &offer) {
            Ok(()) => Ok(()),
            // SAFETY: SN2 in `sender.rs`.
            Err(_) => Err(SendError(unsafe { offer.take() })),
        }
    }

    /// Completes a receive. Does not wait. `receiver` is the one that was added, or one of the same channel.
    ///
    /// # Errors
    ///
    /// The channel is empty, and all senders are gone.
    ///
    /// # Panics
    ///
    /// The operation is not one of this receiver.
    pub fn recv<T>(mut self, receiver: &Receiver<T>) -> Result<T, RecvError> {
        assert!(
            self.is(receiver.address(), Side::Recv),
            "passed a receiver that wasn't selected"
        );
        self.completed = true;
        // SAFETY: LS1, LS2.
        let place = unsafe { &*self.slot.pointer().cast::<Place<T>>() };
        place.take().ok_or(RecvError)
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
