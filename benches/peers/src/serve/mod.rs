//! Servers, and the load on them.

pub(crate) mod churn;
mod epoll;
pub(crate) mod servers;
pub(crate) mod service;
pub(crate) mod serving;
pub(crate) mod slices;
