//! OS threads of the library that wait on behalf of callers without a worker: tasks of futures, and
//! OS threads of the program. Each of them is started on demand and ends when it has nothing to do.

pub(crate) mod poll_thread;
pub(crate) mod timer_thread;
