//! The operations of a thread: locks, channels, threads, scopes, limits. (Operations on descriptors
//! are in `links.rs`.)

use crate::dice::{Dice, Patience};
use crate::ledger::Token;
use crate::links;
use crate::watch::{Injected, STEPS, wrong};
use crate::world::{Alive, World, locked};
use rustlet::channel::{Select, after, select};
use rustlet::sync::{Callback, Parker, PoisonError, WaitGroup, mpsc, oneshot};
use rustlet::{
    Cancelled, Coroutine, Duplex, JoinHandle, coroutine, deadline, park_timeout, scope, shield,
    sleep, spawn, spawn_local, thread, timeout, unblock, yield_now,
};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// One of the threads of a round.
pub(crate) struct Actor {
    pub(crate) world: Arc<World>,
    pub(crate) dice: Dice,
    pub(crate) patience: Patience,
    pub(crate) is_green: bool,
    /// How many of its ancestors are actors, and how many nested steps it is in.
    pub(crate) depth: u32,
    _alive: Alive,
}

struct Counted(Arc<World>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.locals.fetch_sub(1, SeqCst);
        // It is in a place where cancelled threads may not be unwound.
        drop(locked(self.0.mutexes[0].lock.lock()));
    }
}

rustlet::thread_local! {
    static LOCAL: std::cell::RefCell<Vec<Counted>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Asserts that a thread has ended in a permitted way: by itself, cancelled, or with the intended
/// panic.
pub(crate) fn check_end<T>(result: Result<T, Box<dyn Any + Send>>) {
    if let Err(payload) = result
        && !Cancelled::is(&payload)
        && !payload.is::<Injected>()
    {
        wrong("a thread has ended in a way of its own");
    }
}

fn fail() -> ! {
    panic_any(Injected)
}

/// Runs an operation when it is dropped, often while its thread unwinds.
struct Leaving<'a> {
    world: &'a World,
    dice: Dice,
    /// It may lock a mutex, because the caller holds none.
    may_lock: bool,
}

impl<'a> Leaving<'a> {
    fn new(world: &'a World, dice: &mut Dice, may_lock: bool) -> Leaving<'a> {
        Leaving {
            world,
            dice: dice.split(),
            may_lock,
        }
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let Leaving {
            world,
            dice,
            may_lock,
        } = self;
        match dice.below(8) {
            0 => shield(|| sleep(dice.span())),
            1 => yield_now(),
            2 if *may_lock => drop(locked(dice.pick(&world.mutexes).lock.lock())),
            3 => {
                let (sender, _) = dice.pick(&world.channels);
                world.ledger.send(|token| {
                    sender
                        .send_timeout(token, dice.span())
                        .map_err(|e| e.into_inner())
                });
            }
            4 => {
                let (_, receiver) = dice.pick(&world.channels);
                drop(receiver.recv_timeout(dice.span()).map(Token::receive));
            }
            5 => sleep(dice.span()),
            // No panic of it may leave a destructor.
            6 => drop(timeout(dice.span(), || sleep(Duration::from_micros(50)))),
            _ => {}
        }
    }
}

impl Actor {
    pub(crate) fn new(world: &Arc<World>, dice: Dice, patience: Patience) -> Actor {
        Actor {
            world: Arc::clone(world),
            dice,
            patience,
            is_green: true,
            depth: 0,
            _alive: Alive::new(world),
        }
    }

    pub(crate) fn on_os_thread(self) -> Actor {
        Actor {
            is_green: false,
            ..self
        }
    }

    /// Creates an actor for a thread that this one starts. That thread ends by itself.
    fn child(&mut self) -> Actor {
        Actor {
            depth: self.depth + 1,
            ..Actor::new(&self.world, self.dice.split(), Patience::Limited)
        }
    }

    pub(crate) fn steps(mut self, count: u64) {
        for _ in 0..count {
            self.step();
        }
    }

    /// Runs until another thread cancels it.
    pub(crate) fn steps_for_ever(mut self) {
        loop {
            self.step();
            // Some steps may complete without a wait.
            yield_now();
        }
    }

    pub(crate) fn step(&mut self) {
        STEPS.fetch_add(1, SeqCst);
        self.depth += 1;
        match self.dice.below(36) {
            0 | 1 => self.lock(),
            2 | 3 => self.read_write(),
            4 => self.consume(),
            5 => self.acquire(),
            6 => self.initialise(),
            7 => self.meet(),
            8..=10 => self.send(),
            11..=13 => self.receive(),
            14..=16 => self.select(),
            17 => self.mpsc(),
            18 => self.mailbox(),
            19 => self.small_ones(),
            20 => self.idle(),
            21 => self.spawn(),
            22 => self.scope(),
            23 | 24 => self.nest(),
            25 => self.coroutine(),
            26 => self.unblock(),
            27 => self.local(),
            28 => self.swallow(),
            29 => self.leave(),
            _ => links::step(self),
        }
        self.depth -= 1;
    }

    fn lock(&mut self) {
        let Actor { world, dice, .. } = self;
        let mutex = dice.pick(&world.mutexes);
        if dice.one_in(4) {
            if let Ok(guard) = mutex.lock.try_lock() {
                let _inside = guard.alone();
                yield_now();
            }
            return;
        }
        let patience = self.patience;
        let inner = &mut dice.split();
        drop(patience.limit(dice, || {
            let guard = locked(mutex.lock.lock());
            let inside = guard.alone();
            match inner.below(6) {
                0 => sleep(inner.span()),
                1 => {
                    let _leaving = Leaving::new(world, inner, false);
                    yield_now();
                }
                2 if inner.one_in(10) => {
                    mutex.injected.store(true, SeqCst);
                    drop(inside);
                    fail_with(guard);
                }
                _ => {}
            }
        }));
    }

    fn read_write(&mut self) {
        let Actor { world, dice, .. } = self;
        let lock = dice.pick(&world.rwlocks);
        let patience = self.patience;
        let inner = &mut dice.split();
        drop(patience.limit(dice, || {
            if inner.one_in(3) {
                let guard = lock.lock.write().unwrap_or_else(PoisonError::into_inner);
                let inside = guard.alone();
                match inner.below(5) {
                    0 => sleep(inner.span()),
                    1 => {
                        drop(inside);
                        let guard = rustlet::sync::RwLockWriteGuard::downgrade(guard);
                        let _inside = guard.beside_others();
                        yield_now();
                    }
                    _ => {}
                }
            } else {
                let guard = lock.lock.read().unwrap_or_else(PoisonError::into_inner);
                let _inside = guard.beside_others();
                match inner.below(3) {
                    0 => sleep(inner.span()),
                    1 => yield_now(),
                    _ => {}
                }
            }
        }));
    }

    /// A condition variable and its data: no thread takes an item that is not there.
    fn consume(&mut self) {
        let Actor { world, dice, .. } = self;
        if dice.one_in(2) {
            *locked(world.stock.lock.lock()) += 1;
            match dice.one_in(4) {
                true => world.stocked.notify_all(),
                false => world.stocked.notify_one(),
            }
            return;
        }
        let patience = self.patience;
        let span = dice.one_in(2).then(|| dice.span());
        drop(patience.limit(dice, || {
            let stock = locked(world.stock.lock.lock());
            match span {
                Some(span) => {
                    let result = world
                        .stocked
                        .wait_timeout_while(stock, span, |stock| *stock == 0);
                    let (mut stock, result) = result.unwrap_or_else(PoisonError::into_inner);
                    if !result.timed_out() {
                        *stock = stock
                            .checked_sub(1)
                            .unwrap_or_else(|| wrong("nothing in stock"));
                    }
                }
                None => {
                    let result = world.stocked.wait_while(stock, |stock| *stock == 0);
                    let mut stock = result.unwrap_or_else(PoisonError::into_inner);
                    *stock = stock
                        .checked_sub(1)
                        .unwrap_or_else(|| wrong("nothing in stock"));
                }
            }
        }));
    }

    fn acquire(&mut self) {
        struct Out<'a>(&'a World, usize);
        impl Drop for Out<'_> {
            fn drop(&mut self) {
                self.0.permits_out.fetch_sub(self.1, SeqCst);
            }
        }
        let Actor { world, dice, .. } = self;
        let count = 1 + dice.below(crate::world::PERMITS as u64) as usize;
        let (span, owned) = (dice.span(), dice.one_in(3));
        let note = || {
            if world.permits_out.fetch_add(count, SeqCst) + count > crate::world::PERMITS {
                wrong("more permits than there are");
            }
            Out(world, count)
        };
        let patience = self.patience;
        drop(patience.limit(dice, || {
            if owned {
                let semaphore = Arc::clone(&world.semaphore);
                let _permit = semaphore.acquire_many_owned(count as u32).unwrap();
                let _out = note();
                sleep(span);
            } else {
                let _permit = world.semaphore.acquire_many(count as u32).unwrap();
                let _out = note();
                yield_now();
            }
        }));
    }

    /// Data that is initialised once, by a thread that is not cancelled meanwhile.
    fn initialise(&mut self) {
        struct Inside<'a>(&'a crate::world::Initialised);
        impl Drop for Inside<'_> {
            fn drop(&mut self) {
                self.0.inside.fetch_sub(1, SeqCst);
            }
        }
        let Actor { world, dice, .. } = self;
        let one = dice.pick(&world.initialised);
        let patience = self.patience;
        let inner = &mut dice.split();
        drop(patience.limit(dice, || {
            if inner.one_in(2) {
                let number = inner.roll();
                one.value.get_or_init(|| {
                    sleep(inner.span());
                    number
                });
                return;
            }
            let mut body = || {
                if one.inside.fetch_add(1, SeqCst) != 0 {
                    wrong("two initialise one");
                }
                let _inside = Inside(one);
                sleep(inner.span());
                if inner.one_in(100) {
                    one.injected.store(true, SeqCst);
                    fail();
                }
                one.done.fetch_add(1, SeqCst);
            };
            // Ignores the poison: a thread may have panicked in it.
            let result = catch_unwind(AssertUnwindSafe(|| one.once.call_once_force(|_| body())));
            if let Err(payload) = result
                && !payload.is::<Injected>()
            {
                resume_unwind(payload);
            }
        }));
    }

    fn meet(&mut self) {
        let Actor { world, dice, .. } = self;
        let patience = self.patience;
        match dice.below(4) {
            0 => world.event.set(),
            1 => world.event.clear(),
            2 => drop(patience.limit(dice, || world.event.wait())),
            _ => drop(patience.limit(dice, || world.barrier.wait())),
        }
    }

    fn send(&mut self) {
        let Actor { world, dice, .. } = self;
        let (sender, _) = dice.pick(&world.channels);
        let (patience, span, how) = (self.patience, dice.span(), dice.below(4));
        drop(patience.limit(dice, || {
            world.ledger.send(|token| match how {
                0 => sender.try_send(token).map_err(|e| e.into_inner()),
                1 => sender.send_timeout(token, span).map_err(|e| e.into_inner()),
                _ => sender.send(token).map_err(|e| e.0),
            });
        }));
    }

    fn receive(&mut self) {
        let Actor { world, dice, .. } = self;
        let (_, receiver) = dice.pick(&world.channels);
        let (patience, span, how) = (self.patience, dice.span(), dice.below(4));
        drop(patience.limit(dice, || match how {
            0 => drop(receiver.try_recv().map(Token::receive)),
            1 => drop(receiver.recv_timeout(span).map(Token::receive)),
            2 => receiver.iter().take(3).for_each(Token::receive),
            _ => drop(receiver.recv().map(Token::receive)),
        }));
    }

    fn select(&mut self) {
        let Actor { world, dice, .. } = self;
        let ((sender, _), (_, receiver)) = (dice.pick(&world.channels), dice.pick(&world.channels));
        let ((other, _), (_, another)) = (dice.pick(&world.channels), dice.pick(&world.channels));
        let (patience, span, how) = (self.patience, dice.span(), dice.below(5));
        let limit = &mut dice.split();
        drop(patience.limit(limit, || match how {
            0 => world.ledger.send(|token| {
                let mut token = Some(token);
                select! {
                    send(sender, token.take().unwrap()) -> sent => sent.map_err(|e| e.0)?,
                    recv(receiver) -> received => drop(received.map(Token::receive)),
                    recv(after(span)) -> _ => {}
                }
                token.map_or(Ok(()), Err)
            }),
            1 => world.ledger.send(|token| {
                let mut token = Some(token);
                select! {
                    send(sender, token.take().unwrap()) -> sent => sent.map_err(|e| e.0)?,
                    send(other, token.take().unwrap()) -> sent => sent.map_err(|e| e.0)?,
                    default(span) => {}
                }
                token.map_or(Ok(()), Err)
            }),
            2 => select! {
                recv(receiver) -> received => drop(received.map(Token::receive)),
                recv(another) -> received => drop(received.map(Token::receive)),
            },
            3 => world.ledger.send(|token| {
                let mut list = Select::new();
                let sending = list.send(sender);
                list.recv(receiver);
                match list.select_timeout(span) {
                    Ok(chosen) if chosen.index() == sending => {
                        chosen.send(sender, token).map_err(|e| e.0)
                    }
                    Ok(chosen) => {
                        drop(chosen.recv(receiver).map(Token::receive));
                        Err(token)
                    }
                    Err(_) => Err(token),
                }
            }),
            _ => {
                let mut list = Select::new_biased();
                list.recv(receiver);
                list.send(other);
                if list.ready() == 0 {
                    drop(receiver.try_recv().map(Token::receive));
                }
            }
        }));
    }

    fn mpsc(&mut self) {
        let Actor { world, dice, .. } = self;
        let (patience, span, how) = (self.patience, dice.span(), dice.below(4));
        drop(patience.limit(dice, || {
            match how {
                0 => world
                    .ledger
                    .send(|token| world.mpsc.0.send(token).map_err(|e| e.0)),
                1 => world
                    .ledger
                    .send(|token| world.sync_mpsc.0.send(token).map_err(|e| e.0)),
                2 => drop(
                    locked(world.mpsc.1.lock())
                        .recv_timeout(span)
                        .map(Token::receive),
                ),
                _ => drop(
                    locked(world.sync_mpsc.1.lock())
                        .recv_timeout(span)
                        .map(Token::receive),
                ),
            }
        }));
    }

    fn mailbox(&mut self) {
        let Actor { world, dice, .. } = self;
        let (address, mailbox) = &world.mailbox;
        let (patience, span, how) = (self.patience, dice.span(), dice.below(4));
        drop(patience.limit(dice, || {
            match how {
                0 | 1 => world
                    .ledger
                    .send(|token| address.send(token).map_err(|e| e.0)),
                2 => {
                    let odd = mailbox.receive_match(|token| token.number % 2 == 1);
                    drop(odd.map(Token::receive));
                }
                _ => drop(mailbox.receive_timeout(span).map(Token::receive)),
            }
        }));
    }

    /// Channels for a single use.
    fn small_ones(&mut self) {
        let mut child = self.child();
        let Actor { world, dice, .. } = self;
        let patience = self.patience;
        match dice.below(4) {
            0 => {
                let (sender, receiver) = oneshot::channel();
                let helper = spawn(move || {
                    sleep(child.dice.span());
                    child.world.ledger.send_loose(|token| sender.send(token));
                });
                drop(patience.limit(dice, || receiver.recv().map(Token::receive)));
                self.end(helper);
            }
            1 => {
                let callback = Callback::new();
                let theirs = callback.clone();
                let helper = spawn(move || {
                    sleep(child.dice.span());
                    child.world.ledger.send_loose(|token| {
                        theirs.call(token);
                        Ok(())
                    });
                });
                drop(patience.limit(dice, || callback.wait().receive()));
                self.end(helper);
            }
            2 => {
                let group = WaitGroup::new();
                for _ in 0..2 {
                    let (member, span) = (group.clone(), dice.span());
                    let alive = Alive::new(world);
                    drop(spawn(move || {
                        let _member = (member, alive);
                        sleep(span);
                    }));
                }
                drop(patience.limit(dice, || group.wait()));
            }
            _ => {
                let parker = Parker::new();
                let unparker = parker.unparker().clone();
                let span = dice.span();
                let helper = spawn(move || {
                    sleep(span);
                    unparker.unpark();
                });
                drop(patience.limit(dice, || parker.park()));
                self.end(helper);
            }
        }
    }

    fn idle(&mut self) {
        let dice = &mut self.dice;
        match dice.below(5) {
            0 => yield_now(),
            1 => park_timeout(dice.span()),
            2 if self.is_green => drop(timeout(dice.span(), rustlet::wait_idle)),
            3 => drop(after(dice.span()).recv()),
            _ => sleep(dice.span()),
        }
    }

    /// The possible ends of a helper.
    pub(crate) fn end<T>(&mut self, helper: JoinHandle<T>) {
        let dice = &mut self.dice;
        match dice.below(6) {
            0 => drop(helper),
            1 => {
                helper.cancel();
                check_end(shield(|| helper.join()));
            }
            2 => {
                if let Ok(Ok(result)) = timeout(dice.span(), || {
                    helper.join_timeout(Duration::from_micros(100))
                }) {
                    check_end(result);
                }
            }
            3 => {
                let done = helper.done();
                if self.patience.limit(dice, || done.recv().unwrap()).is_ok() {
                    if !helper.is_finished() {
                        wrong("done, and not finished");
                    }
                    check_end(helper.join());
                }
            }
            4 => {
                select! {
                    recv(helper.done()) -> _ => check_end(helper.join()),
                    recv(after(dice.span())) -> _ => helper.cancel(),
                }
            }
            _ => check_end(helper.join()),
        }
    }

    fn spawn(&mut self) {
        if self.depth > 4 {
            return;
        }
        let child = self.child();
        let steps = self.dice.below(4);
        let fails = self.dice.one_in(30);
        let body = move || {
            child.steps(steps);
            if fails {
                fail();
            }
        };
        let helper = match self.is_green && self.dice.one_in(3) {
            true => spawn_local(body),
            false => spawn(body),
        };
        self.end(helper);
    }

    /// Threads that borrow: none of them is alive when the scope has ended, however it ended.
    fn scope(&mut self) {
        if self.depth > 3 {
            return;
        }
        struct Borrowed<'a>(&'a AtomicUsize);
        impl Drop for Borrowed<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, SeqCst);
            }
        }
        struct AllGone<'a>(&'a AtomicUsize);
        impl Drop for AllGone<'_> {
            fn drop(&mut self) {
                if self.0.load(SeqCst) != 0 {
                    wrong("a scope has ended before its threads");
                }
            }
        }
        let inside = AtomicUsize::new(0);
        let inside = &inside;
        let _gone = AllGone(inside);
        let children: Vec<_> = (0..1 + self.dice.below(3)).map(|_| self.child()).collect();
        let cancelling = self.dice.one_in(2);
        let fails = self.dice.one_in(8);
        let mut dice = self.dice.split();
        let patience = self.patience;
        let mut limit = self.dice.split();
        let result = catch_unwind(AssertUnwindSafe(|| {
            patience.limit(&mut limit, || {
                if cancelling {
                    thread::scope_cancelling(|s| {
                        for child in children {
                            let steps = dice.below(3);
                            s.spawn(move || {
                                inside.fetch_add(1, SeqCst);
                                let _borrowed = Borrowed(inside);
                                child.steps(steps);
                                if fails {
                                    fail();
                                }
                                sleep(Duration::from_micros(200));
                            });
                        }
                        sleep(dice.span());
                    });
                } else {
                    scope(|s| {
                        let mut handles = Vec::new();
                        for child in children {
                            let steps = dice.below(3);
                            handles.push(s.spawn(move || {
                                inside.fetch_add(1, SeqCst);
                                let _borrowed = Borrowed(inside);
                                child.steps(steps);
                                if fails {
                                    fail();
                                }
                            }));
                        }
                        match dice.below(3) {
                            0 => handles.iter().for_each(thread::ScopedJoinHandle::cancel),
                            1 => handles
                                .into_iter()
                                .for_each(|handle| check_end(handle.join())),
                            _ => {}
                        }
                    });
                }
            })
        }));
        match result {
            Ok(_) => {}
            Err(payload) if Cancelled::is(&payload) => resume_unwind(payload),
            Err(payload) if payload.is::<Injected>() => {}
            Err(payload)
                if fails && payload.downcast_ref() == Some(&"a scoped thread panicked") => {}
            Err(_) => wrong("a scope returned a panic that no thread has raised"),
        }
    }

    /// Limits within limits within shields.
    fn nest(&mut self) {
        if self.depth > 5 {
            return;
        }
        let mut dice = self.dice.split();
        match dice.below(4) {
            0 | 1 => {
                let span = dice.span();
                let start = Instant::now();
                if timeout(span, || self.step()).is_err() && start.elapsed() < span {
                    wrong("a timeout has elapsed before its time");
                }
            }
            2 => drop(deadline(Instant::now() + dice.span(), || {
                let world = Arc::clone(&self.world);
                let _leaving = Leaving::new(&world, &mut dice, true);
                self.step();
            })),
            // The shielded part must end by itself.
            _ => {
                let patience = std::mem::replace(&mut self.patience, Patience::Limited);
                shield(|| self.step());
                self.patience = patience;
            }
        }
    }

    fn coroutine(&mut self) {
        let mut child = self.child();
        let talk: Coroutine<Token, Token> = coroutine(move |caller: Duplex<Token, Token>| {
            for token in &caller {
                token.receive();
                if child.dice.one_in(6) {
                    sleep(child.dice.span());
                }
                child
                    .world
                    .ledger
                    .send_loose(|token| caller.put(token).map_err(|e| e.0));
            }
        });
        let Actor { world, dice, .. } = self;
        let patience = self.patience;
        let talked = patience.limit(dice, || {
            for _ in 0..3 {
                world
                    .ledger
                    .send_loose(|token| talk.put(token).map_err(|e| e.0));
                match talk.get() {
                    Ok(token) => token.receive(),
                    Err(_) => return,
                }
            }
        });
        if talked.is_err() || dice.one_in(2) {
            talk.cancel();
        }
        if dice.one_in(2) {
            check_end(talk.join());
        }
    }

    /// A job on the pool, which continues when its caller has ended: its captures are dropped
    /// there.
    fn unblock(&mut self) {
        let alive = Alive::new(&self.world);
        let Actor { world, dice, .. } = self;
        let (span, fails) = (dice.span() / 4, dice.one_in(50));
        let (ledger, patience) = (Arc::clone(&world.ledger), self.patience);
        let result = catch_unwind(AssertUnwindSafe(|| {
            patience.limit(dice, || {
                ledger.send_loose(|token| {
                    let token = unblock(move || {
                        let _alive = alive;
                        std::thread::sleep(span);
                        if fails {
                            fail();
                        }
                        token
                    });
                    Err(token)
                });
            })
        }));
        match result {
            Err(payload) if !payload.is::<Injected>() => resume_unwind(payload),
            _ => {}
        }
    }

    fn local(&mut self) {
        if !self.is_green {
            return;
        }
        let world = &self.world;
        LOCAL.with(|list| {
            world.locals.fetch_add(1, SeqCst);
            list.borrow_mut().push(Counted(Arc::clone(world)));
        });
    }

    /// Code that catches a cancellation that it should let pass: it is raised again.
    fn swallow(&mut self) {
        let span = self.dice.span();
        for _ in 0..3 {
            match catch_unwind(|| sleep(span)) {
                Err(payload) if !Cancelled::is(&payload) => resume_unwind(payload),
                _ => {}
            }
        }
        // Within a scope that has caught it, it is no longer pending.
        let (sender, receiver) = mpsc::channel::<()>();
        let result = timeout(Duration::from_micros(20), || receiver.recv());
        drop(sender);
        if let Ok(Err(_)) = result {
            wrong("a channel whose sender lives is disconnected");
        }
    }

    /// A cancellation or a panic that passes through destructors that wait.
    fn leave(&mut self) {
        let mut dice = self.dice.split();
        let world = Arc::clone(&self.world);
        let panics = dice.one_in(3);
        let result = catch_unwind(AssertUnwindSafe(|| {
            timeout(dice.span(), || {
                let _first = Leaving::new(&world, &mut dice, true);
                let _second = Leaving::new(&world, &mut dice, true);
                if panics {
                    fail();
                }
                sleep(Duration::from_millis(1));
            })
        }));
        match result {
            Err(payload) if !payload.is::<Injected>() => resume_unwind(payload),
            _ => {}
        }
    }
}

/// Panics while it holds something, and catches the panic.
fn fail_with<T>(held: T) {
    let result = catch_unwind(AssertUnwindSafe(move || {
        let _held = held;
        fail();
    }));
    if !result.is_err_and(|payload| payload.is::<Injected>()) {
        wrong("a panic that did not come out");
    }
}
