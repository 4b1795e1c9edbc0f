//! A connection of a loop around an edge-triggered epoll: it answers the bytes that have arrived,
//! and keeps the rest of an answer that does not fit into the socket's buffer.

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::net::TcpStream;

pub(crate) struct Connection {
    stream: TcpStream,
    /// The bytes that did not fit into its socket's buffer.
    unsent: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Connection {
        Connection {
            stream,
            unsent: Vec::new(),
        }
    }

    /// Answers the bytes that have arrived; returns false when the connection has ended.
    #[inline]
    pub(crate) fn turn(
        &mut self,
        buffer: &mut [u8],
        ending: bool,
        answer: impl for<'a> Fn(&'a [u8]) -> &'a [u8],
    ) -> bool {
        while !self.unsent.is_empty() {
            match send(&self.stream, &self.unsent, SendFlags::NOSIGNAL) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(error) => return error == Errno::AGAIN,
            }
        }
        loop {
            let length = match recv(&self.stream, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => return false,
                Ok((length, _)) => length,
                Err(error) => return error == Errno::AGAIN,
            };
            let out = answer(&buffer[..length]);
            let sent = if out.is_empty() {
                0
            } else {
                match send(&self.stream, out, SendFlags::NOSIGNAL) {
                    Ok(sent) => sent,
                    Err(Errno::AGAIN) => 0,
                    Err(_) => return false,
                }
            };
            if sent < out.len() {
                // The rest is sent when there is room again, and more is read after that.
                self.unsent.extend_from_slice(&out[sent..]);
                return true;
            }
            // After a short read no bytes are left, unless the end comes with it.
            if length < buffer.len() && !ending {
                return true;
            }
        }
    }
}
