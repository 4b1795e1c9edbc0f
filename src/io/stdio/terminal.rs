//! `IsTerminal`: std's query, for the types here too. std's own trait is sealed.

use std::os::fd::AsFd;

/// Tells whether a descriptor is a terminal: [`std::io::IsTerminal`], for everything with a
/// descriptor.
///
/// # Examples
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
    /// Returns `true` if it is a terminal, and `false` also if that cannot be determined.
    ///
    /// # Examples
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
