//! The servers, by name.

use crate::{green, os, raw_epoll};

use std::io;
use std::net::TcpListener;

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Rustlet,
    Threads,
    Epoll,
}

impl Server {
    pub(crate) const ALL: [Server; 3] = [Server::Rustlet, Server::Threads, Server::Epoll];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Server::Rustlet => "rustlet",
            Server::Threads => "threads",
            Server::Epoll => "epoll",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Server> {
        Server::ALL.into_iter().find(|server| server.name() == name)
    }

    /// Serves forever, on the core that the calling thread is pinned to.
    pub(crate) fn run(self, listener: TcpListener) -> io::Result<()> {
        match self {
            Server::Rustlet => {
                let runtime = rustlet::Builder::new().workers(1).build()?;
                runtime.run(|| green::serve(listener.into()))
            }
            Server::Threads => os::serve(listener),
            Server::Epoll => raw_epoll::serve(&listener),
        }
    }
}
