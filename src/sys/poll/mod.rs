//! The descriptors that a poller waits with: epoll, an event, a timer.

#[cfg(all(target_os = "linux", not(rustlet_portable)))]
pub(crate) mod epoll;
pub(crate) mod event_fd;
pub(crate) mod standard;
pub(crate) mod timer_fd;
pub(crate) mod timer_slack;
