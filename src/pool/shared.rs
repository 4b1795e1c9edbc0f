//! State that the handles of a pool share: the idle values, and the permits for the values in use.
//!
//! PO1. Only a holder of a permit creates a value, after it has found no idle one. A returned value
//!      is added to the idle ones, or dropped, before its permit is released. So there are never
//!      more values than permits.
//! PO2. No user code runs under the lock.

use std::collections::VecDeque;
use std::panic::Location;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::error::GetError;
use super::manager::Manager;
use crate::channel::wait_limit::WaitLimit;
use crate::green::{Reason, catch_and_discard};
use crate::shim::lock;
use crate::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use crate::sys::clock::{self, Tick};

#[derive(Debug)]
pub(super) struct Config {
    pub(super) max_size: usize,
    pub(super) max_idle: usize,
    pub(super) max_lifetime: Option<Duration>,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) test_on_check_out: bool,
}

/// How many values a [`Pool`](super::Pool) has; see [`Pool::state`](super::Pool::state).
///
/// # Examples
///
/// ```
/// let pool = rustlet::pool::Pool::new(5, || Ok::<_, ()>(0));
/// let rustlet::pool::State { max_size, in_use, idle, .. } = pool.state();
/// assert_eq!((max_size, in_use, idle), (5, 0, 0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct State {
    /// The largest number of values.
    pub max_size: usize,
    /// The number of values that are lent out, being created or being tested.
    pub in_use: usize,
    /// The number of idle values.
    pub idle: usize,
}

pub(super) struct Shared<M: Manager> {
    manager: M,
    config: Config,
    permits: Arc<Semaphore>,
    idle: Mutex<IdleList<M::Item>>,
}

struct IdleList<T> {
    /// In the order in which they were returned.
    values: VecDeque<Idle<T>>,
    closed: bool,
}

/// A value that is lent out.
pub(super) struct Lent<T> {
    pub(super) item: T,
    pub(super) made: Tick,
    pub(super) permit: OwnedSemaphorePermit,
}

pub(super) struct Idle<T> {
    item: T,
    made: Tick,
    since: Tick,
}

impl<M: Manager> Shared<M> {
    #[track_caller]
    pub(super) fn new(manager: M, config: Config) -> Shared<M> {
        Shared {
            manager,
            permits: Arc::new(Semaphore::new(config.max_size)),
            config,
            idle: Mutex::new(IdleList {
                values: VecDeque::new(),
                closed: false,
            }),
        }
    }

    pub(super) fn manager(&self) -> &M {
        &self.manager
    }

    pub(super) fn take(
        &self,
        limit: WaitLimit,
        at: &'static Location<'static>,
    ) -> Result<Lent<M::Item>, GetError<M::Error>> {
        let permits = Arc::clone(&self.permits);
        let permit = match permits.acquire_as(Reason::Pool, limit.tick(), at) {
            Ok(permit) => permit,
            Err(TryAcquireError::Closed) => return Err(GetError::Closed),
            Err(TryAcquireError::NoPermits) => return Err(GetError::Timeout),
        };
        loop {
            drop(self.take_expired());
            let Some(mut idle) = self.pop() else {
                break;
            };
            if !self.config.test_on_check_out || self.manager.is_valid(&mut idle.item).is_ok() {
                let Idle { item, made, .. } = idle;
                return Ok(Lent { item, made, permit });
            }
        }
        let item = self.manager.create().map_err(GetError::Manager)?;
        let made = clock::now();
        Ok(Lent { item, made, permit })
    }

    /// Takes the idle value that was returned last.
    fn pop(&self) -> Option<Idle<M::Item>> {
        lock(&self.idle).values.pop_back()
    }

    /// Takes a value back, and then releases the permit (PO1). Does not wait or unwind.
    pub(super) fn give_back(&self, lent: Lent<M::Item>, has_unwound: bool) {
        let Lent {
            mut item,
            made,
            permit,
        } = lent;
        let mut is_usable = false;
        catch_and_discard(|| {
            is_usable = (!has_unwound || self.manager.survives_unwinding(&mut item))
                && !self.manager.has_broken(&mut item);
        });
        let since = clock::now();
        let idle = Idle { item, made, since };
        let unwanted = match is_usable && !self.has_expired(&idle, since) {
            true => self.push(idle),
            false => Some(idle),
        };
        catch_and_discard(|| drop(unwanted));
        catch_and_discard(|| drop(self.take_expired()));
        drop(permit);
    }

    /// Adds a value to the idle ones. Returns it if the pool is closed or has enough idle values.
    fn push(&self, idle: Idle<M::Item>) -> Option<Idle<M::Item>> {
        let mut list = lock(&self.idle);
        if list.closed || list.values.len() >= self.config.max_idle {
            return Some(idle);
        }
        list.values.push_back(idle);
        None
    }

    fn has_expired(&self, idle: &Idle<M::Item>, now: Tick) -> bool {
        let is_over = |since: Tick, limit: Option<Duration>| {
            limit.is_some_and(|limit| now >= since.saturating_add(clock::span(limit)))
        };
        is_over(idle.made, self.config.max_lifetime)
            || is_over(idle.since, self.config.idle_timeout)
    }

    /// Takes out the idle values that have expired; the caller drops them (PO2).
    pub(super) fn take_expired(&self) -> Vec<Idle<M::Item>> {
        if self.config.max_lifetime.is_none() && self.config.idle_timeout.is_none() {
            return Vec::new();
        }
        let now = clock::now();
        let mut expired = Vec::new();
        let mut list = lock(&self.idle);
        for _ in 0..list.values.len() {
            if let Some(idle) = list.values.pop_front() {
                match self.has_expired(&idle, now) {
                    true => expired.push(idle),
                    false => list.values.push_back(idle),
                }
            }
        }
        expired
    }

    #[track_caller]
    pub(super) fn close(&self) {
        self.permits.close();
        let mut list = lock(&self.idle);
        list.closed = true;
        let values = std::mem::take(&mut list.values);
        drop(list);
        drop(values);
    }

    #[track_caller]
    pub(super) fn state(&self) -> State {
        let max_size = self.config.max_size;
        State {
            max_size,
            in_use: max_size - self.permits.available_permits().min(max_size),
            idle: lock(&self.idle).values.len(),
        }
    }
}
