//! The descriptors that a poller waits with: epoll, an event, a timer.

#[cfg(target_os = "linux")]
pub(crate) mod epoll;
pub(crate) mod event_fd;
pub(crate) mod standard;
pub(crate) mod timer_fd;
pub(crate) mod timer_slack;
