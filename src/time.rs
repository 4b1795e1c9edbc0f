//! Time, with the names of [`std::time`], and waiting for it.
//!
//! [`Duration`], [`Instant`], [`SystemTime`] and the rest are std's own. [`sleep`] and [`sleep_until`] suspend the calling green thread; they
//! are those of [`thread`](crate::thread).
//!
//! ```
//! use rustlet::time::{self, Duration, Instant};
//!
//! rustlet::run(|| {
//!     let start = Instant::now();
//!     time::sleep(Duration::from_millis(2));
//!     assert!(start.elapsed() >= Duration::from_millis(2));
//! });
//! ```

pub use std::time::{
    Duration, Instant, SystemTime, SystemTimeError, TryFromFloatSecsError, UNIX_EPOCH,
};

pub use crate::thread::{sleep, sleep_until};
