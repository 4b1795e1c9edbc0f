//! [`Manager`]: creates and tests the values of a pool.

/// Creates and tests the values of a [`Pool`](super::Pool), like `ManageConnection` of r2d2 and
/// bb8.
///
/// A closure that returns a new value is a manager whose values are never tested.
///
/// # Examples
///
/// ```
/// use rustlet::net::{SocketAddr, TcpStream};
/// use rustlet::pool::Manager;
/// use std::io;
///
/// struct Connections(SocketAddr);
///
/// impl Manager for Connections {
///     type Item = TcpStream;
///     type Error = io::Error;
///
///     fn create(&self) -> io::Result<TcpStream> {
///         TcpStream::connect(self.0)
///     }
///
///     fn has_broken(&self, stream: &mut TcpStream) -> bool {
///         !matches!(stream.take_error(), Ok(None))
///     }
/// }
/// ```
#[doc(alias = "ManageConnection")]
pub trait Manager: Send + Sync + 'static {
    /// The type of the values.
    type Item: Send + 'static;

    /// The error of creating or testing a value.
    type Error;

    /// Creates a value. It runs on the thread that requests the value and may wait; a cancellation
    /// unwinds from its waits.
    ///
    /// # Errors
    ///
    /// [`Pool::get`](super::Pool::get) returns the error as
    /// [`GetError::Manager`](super::GetError::Manager).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::pool::Manager;
    ///
    /// assert_eq!((|| Ok::<_, ()>(1)).create(), Ok(1));
    /// ```
    #[doc(alias = "connect")]
    fn create(&self) -> Result<Self::Item, Self::Error>;

    /// Tests an idle value before it is lent out, unless
    /// [`test_on_check_out`](super::Builder::test_on_check_out) is `false`. It may wait. The
    /// default implementation accepts every value.
    ///
    /// # Errors
    ///
    /// An error means that the value cannot be used. The pool drops it and takes another one.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::pool::Manager;
    ///
    /// assert_eq!((|| Ok::<_, ()>(1)).is_valid(&mut 1), Ok(()));
    /// ```
    fn is_valid(&self, item: &mut Self::Item) -> Result<(), Self::Error> {
        let _ = item;
        Ok(())
    }

    /// Returns `true` if a returned value cannot be used again. The destructor of the guard calls
    /// it, so it must not wait. If it panics, the value is dropped. The default implementation
    /// returns `false`.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::pool::Manager;
    ///
    /// assert!(!(|| Ok::<_, ()>(1)).has_broken(&mut 1));
    /// ```
    fn has_broken(&self, item: &mut Self::Item) -> bool {
        let _ = item;
        false
    }

    /// Returns `true` if a value may be used again although the thread that used it panicked, or
    /// was unwound by a cancellation. The destructor of the guard calls it, so it must not wait. If
    /// it panics, the value is dropped.
    ///
    /// The default implementation returns `false`: on a connection whose request was interrupted,
    /// the next request would receive the answer to that one.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::pool::Manager;
    ///
    /// assert!(!(|| Ok::<_, ()>(1)).survives_unwinding(&mut 1));
    /// ```
    fn survives_unwinding(&self, item: &mut Self::Item) -> bool {
        let _ = item;
        false
    }
}

impl<F, T, E> Manager for F
where
    F: Fn() -> Result<T, E> + Send + Sync + 'static,
    T: Send + 'static,
{
    type Item = T;
    type Error = E;

    fn create(&self) -> Result<T, E> {
        self()
    }
}
