//! Operations for the tasks of futures: they are tried, and if they would block, the task is
//! registered and woken by the next event.
//!
//! Any thread, green or not, may poll. Nothing here waits; on a green thread, a task whose
//! operations never have to wait yields after a budget of them.

use std::io;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};

use super::{is_ready, would_block};
use crate::green::budget::poll_or_wake;
use crate::runtime::current::reactor_elsewhere;
use crate::runtime::io::source::{Interest, Source};

/// Performs an operation, or registers the task to be woken when it may succeed, or wakes it at
/// once if the budget is used up. `drained` tells of a success whether it has taken all data.
///
/// # Errors
///
/// Those of `op`, except `WouldBlock`, and of [`Source::register_task`].
pub(crate) fn poll_io<T>(
    source: &Source,
    interest: Interest,
    context: &mut Context<'_>,
    mut op: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    drained: impl Fn(&T) -> bool,
) -> Poll<io::Result<T>> {
    ready!(poll_or_wake(context));
    let direction = source.readiness(interest);
    loop {
        // Not ready: the last operation would have blocked, and no event came since.
        if direction.is_ready() {
            direction.take();
            match op(source.fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    direction.set_ready();
                    continue;
                }
                Err(error) => {
                    direction.set_ready();
                    return Poll::Ready(Err(error));
                }
                Ok(value) => {
                    if !(drained(&value) && source.short_read_drains()) {
                        direction.set_ready();
                    }
                    return Poll::Ready(Ok(value));
                }
            }
        }
        match source.register_task(interest, context.waker(), reactor_elsewhere) {
            Ok(true) => return Poll::Pending,
            Ok(false) => {}
            Err(error) => {
                // No thread waits, so no one would be woken: leave it to the next operation.
                direction.set_ready();
                return Poll::Ready(Err(error));
            }
        }
    }
}

/// Polls until `source` is ready that way, and leaves it so.
///
/// # Errors
///
/// The same as for [`poll_io`].
pub(crate) fn poll_ready(
    source: &Source,
    interest: Interest,
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let check = |fd: BorrowedFd<'_>| match is_ready(fd, interest) {
        Ok(true) => Ok(()),
        Ok(false) => Err(would_block()),
        Err(error) => Err(error),
    };
    poll_io(source, interest, context, check, |()| false)
}
