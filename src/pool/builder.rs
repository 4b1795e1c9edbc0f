//! [`Builder`]: the settings of a pool.

use std::fmt;
use std::time::Duration;

use super::manager::Manager;
use super::shared::Config;

/// Settings of a [`Pool`](super::Pool); returned by [`Pool::builder`](super::Pool::builder).
///
/// # Examples
///
/// ```
/// use rustlet::pool::Pool;
/// use std::time::Duration;
///
/// let pool = Pool::builder(|| std::io::Result::Ok(0))
///     .max_size(20)
///     .max_lifetime(Duration::from_secs(1800))
///     .build();
/// # let _ = pool;
/// ```
#[must_use]
pub struct Builder<M: Manager> {
    pub(super) manager: M,
    pub(super) config: Config,
}

impl<M: Manager> Builder<M> {
    pub(super) fn new(manager: M) -> Builder<M> {
        Builder {
            manager,
            config: Config {
                max_size: 10,
                max_idle: usize::MAX,
                max_lifetime: None,
                idle_timeout: None,
                test_on_check_out: true,
            },
        }
    }

    /// Sets the largest number of values, in use and idle together. Default: 10, as in r2d2.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = rustlet::pool::Pool::builder(|| Ok::<_, ()>(0)).max_size(3).build();
    /// assert_eq!(pool.state().max_size, 3);
    /// ```
    #[doc(alias = "SetMaxOpenConns")]
    pub fn max_size(mut self, max_size: usize) -> Builder<M> {
        self.config.max_size = max_size;
        self
    }

    /// Sets the largest number of idle values that are kept. Default: no limit.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = rustlet::pool::Pool::builder(|| Ok::<_, ()>(0)).max_idle(0).build();
    /// drop(pool.get());
    /// assert_eq!(pool.state().idle, 0);
    /// ```
    #[doc(alias = "SetMaxIdleConns")]
    pub fn max_idle(mut self, max_idle: usize) -> Builder<M> {
        self.config.max_idle = max_idle;
        self
    }

    /// Sets how long after its creation a value may be used. A value that is in use then is dropped
    /// when it is returned. Default: forever.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = rustlet::pool::Pool::builder(|| Ok::<_, ()>(0))
    ///     .max_lifetime(Duration::ZERO)
    ///     .build();
    /// drop(pool.get());
    /// assert_eq!(pool.state().idle, 0);
    /// ```
    #[doc(alias = "SetConnMaxLifetime")]
    pub fn max_lifetime(mut self, max_lifetime: Duration) -> Builder<M> {
        self.config.max_lifetime = Some(max_lifetime);
        self
    }

    /// Sets how long a value stays idle before it is dropped. Default: forever. See
    /// [`Pool::sweep`](super::Pool::sweep) for when it is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = rustlet::pool::Pool::builder(|| Ok::<_, ()>(0))
    ///     .idle_timeout(Duration::from_secs(600))
    ///     .build();
    /// drop(pool.get());
    /// assert_eq!(pool.state().idle, 1);
    /// ```
    #[doc(alias = "SetConnMaxIdleTime")]
    pub fn idle_timeout(mut self, idle_timeout: Duration) -> Builder<M> {
        self.config.idle_timeout = Some(idle_timeout);
        self
    }

    /// Sets whether [`Manager::is_valid`] is called before an idle value is lent out. Default:
    /// `true`.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = rustlet::pool::Pool::builder(|| Ok::<_, ()>(0)).test_on_check_out(false).build();
    /// # let _ = pool;
    /// ```
    pub fn test_on_check_out(mut self, test_on_check_out: bool) -> Builder<M> {
        self.config.test_on_check_out = test_on_check_out;
        self
    }
}

impl<M: Manager> fmt::Debug for Builder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
