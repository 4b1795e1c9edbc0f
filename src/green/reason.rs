//! Why a green thread waits: what dumps, deadlock reports and the watchdog print.

/// The kind of wait that a green thread is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reason {
    /// Not waiting.
    None,
    Yield,
    Park,
    Sleep,
    Join,
    Scope,
    Read,
    Write,
    Accept,
    Connect,
    Blocking,
    File,
    LookUp,
}

impl Reason {
    const ALL: [Reason; 13] = [
        Reason::None,
        Reason::Yield,
        Reason::Park,
        Reason::Sleep,
        Reason::Join,
        Reason::Scope,
        Reason::Read,
        Reason::Write,
        Reason::Accept,
        Reason::Connect,
        Reason::Blocking,
        Reason::File,
        Reason::LookUp,
    ];

    pub(crate) fn from_u8(value: u8) -> Reason {
        Reason::ALL
            .get(usize::from(value))
            .copied()
            .unwrap_or(Reason::None)
    }

    /// As a report prints it, after "waits in".
    pub(crate) fn text(self) -> &'static str {
        match self {
            Reason::None => "nothing",
            Reason::Yield => "yield_now",
            Reason::Park => "park",
            Reason::Sleep => "sleep",
            Reason::Join => "join",
            Reason::Scope => "the end of a scope",
            Reason::Read => "read",
            Reason::Write => "write",
            Reason::Accept => "accept",
            Reason::Connect => "connect",
            Reason::Blocking => "a call on the blocking pool",
            Reason::File => "a file operation",
            Reason::LookUp => "a name look-up",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn numbers_and_reasons_match() {
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
            assert_eq!(Reason::from_u8(number as u8), reason);
        }
        assert_eq!(Reason::from_u8(200), Reason::None);
    }
}
