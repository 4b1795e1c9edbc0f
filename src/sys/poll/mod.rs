//! What a poller waits with: epoll, an event, an alarm.

pub(crate) mod alarm;
#[cfg(target_os = "linux")]
pub(crate) mod epoll;
pub(crate) mod event;
