//! The services of the servers.

use std::time::Duration;

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Echo,
    /// Each read has a time limit of a minute.
    Limited,
    Http,
}

impl Service {
    const ALL: [(Service, &'static str); 3] = [
        (Service::Echo, "echo"),
        (Service::Limited, "limited"),
        (Service::Http, "http"),
    ];

    pub(crate) fn name(self) -> &'static str {
        let (_, name) = Service::ALL[self as usize];
        name
    }

    pub(crate) fn named(name: &str) -> Option<Service> {
        let found = Service::ALL.into_iter().find(|(_, own)| *own == name);
        found.map(|(service, _)| service)
    }

    pub(crate) fn is_limited(self) -> bool {
        self == Service::Limited
    }
}

pub(crate) const LIMIT: Duration = Duration::from_secs(60);
pub(crate) const BUFFER: usize = 4096;
const HELLO: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n\r\nHello, world!";

/// Returns the answer to the received bytes. Only the end of a request is searched for, the same
/// way on each runtime.
pub(crate) fn answer(service: Service, input: &[u8]) -> &[u8] {
    match service {
        Service::Echo | Service::Limited => input,
        Service::Http if input.ends_with(b"\r\n\r\n") => HELLO,
        Service::Http => &[],
    }
}
