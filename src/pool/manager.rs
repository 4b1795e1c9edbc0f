//! [`Manager`]: how the values of a pool are made and tested.

/// Makes and tests the values of a [`Pool`](super::Pool): r2d2's and bb8's `ManageConnection`.
///
/// A closure that makes a value is a manager whose values are never tested.
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
    /// The values.
    type Item: Send + 'static;

    /// The error of making or testing one.
    type Error;

    /// Makes a value. It may wait; a cancellation unwinds from it.
    ///
    /// # Errors
    ///
    /// [`Pool::get`](super::Pool::get) returns the error.
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

    /// Tests a value that was idle before it is lent out, unless
    /// [`test_on_check_out`](super::Builder::test_on_check_out) says not to. It may wait. The
    /// default finds every value valid.
    ///
    /// # Errors
    ///
    /// The value is dropped, and the pool goes on with another one.
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

    /// Returns `true` if a value that comes back cannot be used again. It is called by the
    /// destructor of the guard and must not wait. The default is `false`.
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

    /// Returns `true` if a value may be used again although the thread that had it panicked, or was
    /// unwound by a cancellation. It is called by the destructor of the guard and must not wait.
    ///
    /// The default is `false`: a connection on which a request was cut short would give the answer
    /// to the next one.
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
