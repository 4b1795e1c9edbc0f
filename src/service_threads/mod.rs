//! OS threads of the library that wait for those which have no worker: tasks of futures, and OS
//! threads of the program. Each exists only while it has something to do.

pub(crate) mod poll_thread;
pub(crate) mod timer_thread;
