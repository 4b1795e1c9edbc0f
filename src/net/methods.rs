//! Methods that are identical for several socket types: each only uses its `socket: Socket`.
//!
//! The macros take an expression that creates a socket of the type, for the examples in the
//! documentation.

/// A second handle, the pending error, the nonblocking flag.
macro_rules! handle_methods {
    ($name:ident, $make:literal) => {
        /// Creates a second handle to the same socket: it shares data and options. The socket is
        /// closed when the last handle is dropped.
        ///
        /// # Errors
        ///
        /// Returns an error if the process is out of descriptors.
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

        /// Takes and clears the pending error of the socket (`SO_ERROR`).
        ///
        /// # Errors
        ///
        /// Returns the error of the system call, which does not fail on an open socket.
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

        /// Sets nonblocking mode: calls that would wait return
        /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) instead, through any clone. Default:
        /// `false`.
        ///
        /// Green threads do not need it, because their waits do not block others. It is a flag of
        /// this crate; see [`TcpStream::set_nonblocking`](crate::net::TcpStream::set_nonblocking).
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
        /// Sets the time limit for receiving; `None`, the default, means no limit.
        ///
        /// It applies to all clones of the socket, from the next call on. Any nonzero duration is
        /// valid, [`Duration::MAX`](std::time::Duration::MAX) too. A call that exceeds it returns
        /// [`WouldBlock`](std::io::ErrorKind::WouldBlock), as in std on Unix. No system call is
        /// made.
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

        /// Sets the time limit for sending; `None`, the default, means no limit.
        ///
        /// Otherwise like [`set_read_timeout`](Self::set_read_timeout), but a write to a stream
        /// that has sent a part of its buffer when the time has passed returns the length of that
        /// part.
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

        /// Returns the read timeout, exact to the nanosecond.
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

        /// Returns the write timeout, exact to the nanosecond.
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
