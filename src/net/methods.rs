//! The methods that several socket types have word for word: each only asks its `socket: Socket`.
//!
//! The macros take an expression that makes a socket of the type, for the examples in the documentation.

/// A second handle, the pending error, the nonblocking flag.
macro_rules! handle_methods {
    ($name:ident, $make:literal) => {
        /// A second handle to the same socket: same data, same options, closed when the last handle is.
        ///
        /// # Errors
        ///
        /// When the process is out of descriptors.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let socket = ", $make, ";")]
        /// let clone = socket.try_clone()?;
        /// socket.set_nonblocking(true)?; // for both
        /// # drop(clone);
        /// # Ok::<(), std::io::Error>(())
        /// ```
        pub fn try_clone(&self) -> std::io::Result<$name> {
            Ok($name {
                socket: self.socket.duplicate()?,
            })
        }

        /// Takes the pending error of the socket (`SO_ERROR`), which is then cleared.
        ///
        /// # Errors
        ///
        /// Those of the system; none on an open socket.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let socket = ", $make, ";")]
        /// assert!(socket.take_error()?.is_none());
        /// # Ok::<(), std::io::Error>(())
        /// ```
        pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
            crate::sys::sock::take_error(self.socket.fd())
        }

        /// With `true`, what would wait fails with [`WouldBlock`](std::io::ErrorKind::WouldBlock) instead, through any clone.
        ///
        /// A flag of ours, as [`TcpStream::set_nonblocking`](crate::net::TcpStream::set_nonblocking) explains. You do not need it for green threads: waiting
        /// blocks nobody else.
        ///
        /// # Errors
        ///
        /// None; the signature is std's.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let socket = ", $make, ";")]
        /// socket.set_nonblocking(true)?;
        /// # Ok::<(), std::io::Error>(())
        /// ```
        pub fn set_nonblocking(&self, nonblocking: bool) -> std::io::Result<()> {
            self.socket.set_nonblocking(nonblocking);
            Ok(())
        }
    };
}
pub(crate) use handle_methods;

/// The four methods of timeouts.
macro_rules! timeout_methods {
    ($make:literal) => {
        /// Sets how long whoever receives may wait; `None` is for ever. It holds for all clones of the socket, from
        /// the next call on, and any duration is good, [`Duration::MAX`](std::time::Duration::MAX) too. A call that is out of time fails with
        /// [`WouldBlock`](std::io::ErrorKind::WouldBlock), as std's does on Unix. No system call is made.
        ///
        /// # Errors
        ///
        /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) for a zero duration.
        ///
        /// # Examples
        ///
        /// ```
        /// use std::time::Duration;
        ///
        #[doc = concat!("let socket = ", $make, ";")]
        /// socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        /// assert_eq!(socket.read_timeout()?, Some(Duration::from_secs(1)));
        ///
        /// let refused = socket.set_read_timeout(Some(Duration::ZERO)).unwrap_err();
        /// assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
        /// # Ok::<(), std::io::Error>(())
        /// ```
        pub fn set_read_timeout(
            &self,
            timeout: Option<std::time::Duration>,
        ) -> std::io::Result<()> {
            self.socket.set_read_timeout(timeout)
        }

        /// Sets how long whoever sends may wait for room; `None` is for ever. As
        /// [`set_read_timeout`](Self::set_read_timeout), but a write to a stream that has given a part of its buffer to the system when its time
        /// is up returns the length of that part.
        ///
        /// # Errors
        ///
        /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) for a zero duration.
        ///
        /// # Examples
        ///
        /// ```
        /// use std::time::Duration;
        ///
        #[doc = concat!("let socket = ", $make, ";")]
        /// socket.set_write_timeout(Some(Duration::from_secs(1)))?;
        /// # Ok::<(), std::io::Error>(())
        /// ```
        pub fn set_write_timeout(
            &self,
            timeout: Option<std::time::Duration>,
        ) -> std::io::Result<()> {
            self.socket.set_write_timeout(timeout)
        }

        /// The read timeout that was set, to the nanosecond.
        ///
        /// # Errors
        ///
        /// None; the signature is std's.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let socket = ", $make, ";")]
        /// assert_eq!(socket.read_timeout()?, None);
        /// # Ok::<(), std::io::Error>(())
        /// ```
        pub fn read_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
            Ok(self.socket.read_timeout())
        }

        /// The write timeout that was set, to the nanosecond.
        ///
        /// # Errors
        ///
        /// None; the signature is std's.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let socket = ", $make, ";")]
        /// assert_eq!(socket.write_timeout()?, None);
        /// # Ok::<(), std::io::Error>(())
        /// ```
        pub fn write_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
            Ok(self.socket.write_timeout())
        }
    };
}
pub(crate) use timeout_methods;
