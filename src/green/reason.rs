//! Reasons why a green thread waits, as printed by dumps, deadlock reports and the watchdog.

/// Defines the enum, its conversion from a number, and its texts, as a report prints them after
/// "waits in".
macro_rules! reasons {
    ($($name:ident = $text:literal,)*) => {
        /// The kind of wait that a green thread is in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Reason {
            $($name,)*
        }

        impl Reason {
            const ALL: &[Reason] = &[$(Reason::$name),*];
            /// The texts, by number.
            pub(super) const TEXTS: &[&str] = &[$($text),*];

            /// Returns the text that a report prints after "waits in".
            pub(crate) fn text(self) -> &'static str {
                match self {
                    $(Reason::$name => $text,)*
                }
            }
        }
    };
}

// `None`: not waiting.
reasons! {
    None = "nothing",
    Yield = "yield_now",
    Park = "park",
    Sleep = "sleep",
    Join = "join",
    Scope = "the end of a scope",
    Read = "read",
    Write = "write",
    Accept = "accept",
    Connect = "connect",
    Blocking = "a call on the blocking pool",
    Send = "send",
    Receive = "recv",
    Select = "select",
    Mutex = "Mutex::lock",
    RwLock = "a lock of an RwLock",
    Condvar = "Condvar::wait",
    Barrier = "Barrier::wait",
    Once = "the initialiser of a Once",
    Semaphore = "Semaphore::acquire",
    WaitGroup = "WaitGroup::wait",
    Event = "Event::wait",
    Oneshot = "oneshot::Receiver::recv",
    Callback = "Callback::wait",
    File = "a file operation",
    LookUp = "a name look-up",
    Child = "the end of a child process",
    Readiness = "readiness of a descriptor",
    Idle = "wait_idle",
    Future = "block_on",
    Drain = "the shutdown of a server",
    Notify = "Notify::notified",
    Watch = "a wait of a watch channel",
    CancelToken = "CancelToken::cancelled",
    TaskGroup = "a wait of a TaskGroup",
    Pool = "Pool::get",
    Value = "the queue of a Blocking value",
    Retry = "a pause before the next attempt",
}

impl Reason {
    /// Returns whether another green thread usually ends a wait of this kind.
    pub(crate) fn is_exchange(self) -> bool {
        use Reason::{
            Barrier, CancelToken, Condvar, Event, Join, Mutex, Notify, Oneshot, Park, Pool,
            Receive, RwLock, Scope, Select, Semaphore, Send, TaskGroup, WaitGroup, Watch,
        };
        matches!(
            self,
            Barrier | Condvar | Event | Join | Mutex | Oneshot | Park | Receive | RwLock
        ) || matches!(self, Scope | Select | Semaphore | Send | WaitGroup)
            || matches!(self, CancelToken | Notify | Pool | TaskGroup | Watch)
    }

    /// Returns whether something outside of a simulation ends a wait of this kind.
    #[cfg(feature = "testing")]
    pub(crate) fn is_external(self) -> bool {
        use Reason::{Accept, Blocking, Child, Connect, File, LookUp, Read, Readiness, Write};
        matches!(
            self,
            Accept | Blocking | Child | Connect | File | LookUp | Read | Readiness | Write
        )
    }

    /// Returns the reason of a pause after which the caller tries again what it waits for. In a
    /// simulation it is told apart, because virtual time ends it, and nothing outside.
    #[inline]
    pub(crate) fn of_pause(self) -> Reason {
        #[cfg(feature = "testing")]
        if crate::simulation::is_on() {
            return Reason::Retry;
        }
        self
    }

    pub(crate) fn from_u8(value: u8) -> Reason {
        let reason = Reason::ALL.get(usize::from(value));
        reason.copied().unwrap_or(Reason::None)
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn numbers_and_reasons_match() {
        for (number, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, number);
            assert_eq!(Reason::from_u8(number as u8), *reason);
        }
        assert_eq!(Reason::from_u8(200), Reason::None);
    }
}
