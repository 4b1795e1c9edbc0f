//! [`R2d2`]: adapts the connection managers of the crate r2d2 to this pool.

use std::fmt;
use std::sync::Arc;

use ::r2d2::ManageConnection;

use super::manager::Manager;
use crate::thread::{Blocking, unblock};

/// Manager that adapts an r2d2 [`ManageConnection`] whose errors are [`Send`]: those of postgres,
/// mysql, rusqlite, diesel and many others.
///
/// These connections block, so the values of the pool are [`Blocking`]: a connection is created,
/// tested, used and dropped on the pool of OS threads. `pool.get()?.with(|connection| …)` suspends
/// only the calling green thread. If a [`timeout`](crate::timeout) ends the wait for a call, the
/// call still runs to its end. If the guard is dropped before that, the connection is dropped when
/// the call has ended. Until then it is one more than the pool's limit: give the database's own
/// time limit to calls that may be slow.
///
/// # Examples
///
/// ```
/// use rustlet::pool::{Pool, R2d2};
/// use std::fmt;
///
/// /// Stands for the manager of a database's crate.
/// struct Database;
///
/// #[derive(Debug)]
/// struct Refused;
/// # impl fmt::Display for Refused {
/// #     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
/// #         f.write_str("refused")
/// #     }
/// # }
/// # impl std::error::Error for Refused {}
///
/// impl r2d2::ManageConnection for Database {
///     type Connection = Vec<u32>;
///     type Error = Refused;
///
///     fn connect(&self) -> Result<Vec<u32>, Refused> {
///         Ok(vec![1, 2, 3])
///     }
///     fn is_valid(&self, _: &mut Vec<u32>) -> Result<(), Refused> {
///         Ok(())
///     }
///     fn has_broken(&self, _: &mut Vec<u32>) -> bool {
///         false
///     }
/// }
///
/// rustlet::run(|| {
///     let pool = Pool::new(5, R2d2::new(Database));
///     let connection = pool.get().unwrap();
///     let sum: u32 = connection.with(|connection| connection.iter().sum());
///     assert_eq!(sum, 6);
/// });
/// ```
pub struct R2d2<M>(Arc<M>);

impl<M: ManageConnection> R2d2<M> {
    /// Creates a manager from one of r2d2.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn open<M: r2d2::ManageConnection<Error: Send>>(manager: M) {
    /// use rustlet::pool::{Pool, R2d2};
    ///
    /// let pool = Pool::new(5, R2d2::new(manager));
    /// # let _ = pool;
    /// # }
    /// ```
    #[must_use]
    pub fn new(manager: M) -> R2d2<M> {
        R2d2(Arc::new(manager))
    }
}

impl<M> Manager for R2d2<M>
where
    M: ManageConnection,
    M::Error: Send,
{
    type Item = Blocking<M::Connection>;
    type Error = M::Error;

    fn create(&self) -> Result<Self::Item, M::Error> {
        let manager = Arc::clone(&self.0);
        unblock(move || manager.connect()).map(Blocking::new)
    }

    fn is_valid(&self, item: &mut Self::Item) -> Result<(), M::Error> {
        let manager = Arc::clone(&self.0);
        item.with(move |connection| manager.is_valid(connection))
    }

    /// Also returns `true` if a call has panicked, or is still running.
    fn has_broken(&self, item: &mut Self::Item) -> bool {
        let has_broken = |connection: &mut M::Connection| self.0.has_broken(connection);
        item.try_with_mut(has_broken).unwrap_or(true)
    }

    /// A cancelled caller does not interrupt its call, which runs to its end.
    fn survives_unwinding(&self, _: &mut Self::Item) -> bool {
        true
    }
}

impl<M> fmt::Debug for R2d2<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("R2d2 { .. }")
    }
}
