//! `IsTerminal`: std's question, for the types here too. std's own trait is sealed.

use std::os::fd::AsFd;

/// Whether something with a descriptor is a terminal: [`std::io::IsTerminal`], for whatever has a descriptor.
///
/// ```
/// use rustlet::io::IsTerminal;
///
/// let null = rustlet::fs::File::open("/dev/null")?;
/// assert!(!null.is_terminal());
/// rustlet::io::stdout().is_terminal();
/// std::io::stdout().is_terminal();
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait IsTerminal {
    /// True, if it is a terminal. False also if that cannot be found out.
    ///
    /// ```
    /// use rustlet::io::{self, IsTerminal};
    ///
    /// assert!(!io::pipe()?.0.is_terminal());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn is_terminal(&self) -> bool;
}

impl<T: AsFd + ?Sized> IsTerminal for T {
    fn is_terminal(&self) -> bool {
        std::io::IsTerminal::is_terminal(&self.as_fd())
    }
}
