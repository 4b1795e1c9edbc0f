//! [`Histogram`]: counts of durations in buckets.

use std::time::Duration;

use crate::runtime::scheduler::shared::stats::BOUNDS;

/// Counts of durations in buckets by length, part of [`WorkerMetrics`](super::WorkerMetrics).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let runtime = rustlet::runtime::Builder::new().workers(1).build()?;
/// runtime.run(|| rustlet::sleep(Duration::from_millis(1)));
/// let metrics = runtime.metrics();
/// let latency = &metrics.per_worker[0].scheduling_latency;
/// assert_eq!(latency.buckets.iter().map(|bucket| bucket.count).sum::<u64>(), latency.count);
/// if let Some(median) = latency.quantile(0.5) {
///     println!("half of the threads ran within {median:?}");
/// }
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Histogram {
    /// The buckets, shortest durations first. The last one has no upper bound.
    pub buckets: Vec<Bucket>,
    /// Number of durations in all buckets.
    pub count: u64,
    /// Sum of all durations.
    pub sum: Duration,
}

/// A bucket of a [`Histogram`].
///
/// # Examples
///
/// ```
/// let runtime = rustlet::Builder::new().workers(1).build()?;
/// runtime.run(|| (0..100).for_each(|_| rustlet::yield_now()));
/// let latency = &runtime.metrics().per_worker[0].scheduling_latency;
/// let count: u64 = latency.buckets.iter().map(|bucket| bucket.count).sum();
/// assert_eq!(count, latency.count);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bucket {
    /// The longest duration that is counted here; `None` in the last bucket.
    pub up_to: Option<Duration>,
    /// Number of durations up to `up_to` and longer than the previous bucket's bound.
    pub count: u64,
}

impl Histogram {
    /// Creates a histogram from the counts of all buckets and a sum of nanoseconds.
    pub(super) fn new(counts: impl Iterator<Item = u64>, sum: u64) -> Histogram {
        let bounds = BOUNDS.iter().map(|&(nanos, _)| Some(nanos));
        let buckets: Vec<Bucket> = (bounds.chain([None]).zip(counts))
            .map(|(nanos, count)| Bucket {
                up_to: nanos.map(Duration::from_nanos),
                count,
            })
            .collect();
        Histogram {
            count: buckets.iter().map(|bucket| bucket.count).sum(),
            buckets,
            sum: Duration::from_nanos(sum),
        }
    }

    /// Returns a duration that the fraction `share` of all durations does not exceed. It is the
    /// upper bound of a bucket.
    ///
    /// `share` is a number from 0 to 1; 0.5 returns the median. Returns `None` if there are no
    /// durations, if the bucket has no upper bound, or if `share` is not such a number.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = rustlet::Builder::new().workers(1).build()?;
    /// runtime.run(|| (0..100).for_each(|_| rustlet::yield_now()));
    /// let latency = &runtime.metrics().per_worker[0].scheduling_latency;
    /// if let (Some(median), Some(most)) = (latency.quantile(0.5), latency.quantile(0.99)) {
    ///     assert!(median <= most);
    /// }
    /// assert_eq!(latency.quantile(1.5), None);
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        if self.count == 0 || !(0.0..=1.0).contains(&share) {
            return None;
        }
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut below = 0;
        let bucket = self.buckets.iter().find(|bucket| {
            below += bucket.count;
            below >= wanted
        });
        bucket?.up_to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(counts: &[(usize, u64)]) -> Histogram {
        let mut all = [0; BOUNDS.len() + 1];
        for &(bucket, count) in counts {
            all[bucket] = count;
        }
        Histogram::new(all.into_iter(), 7)
    }

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let some = histogram(&[(0, 50), (3, 49), (22, 1)]);
        assert_eq!(some.count, 100);
        let quantile = |share| some.quantile(share);
        assert_eq!(quantile(0.0), Some(Duration::from_micros(1)));
        assert_eq!(quantile(0.5), Some(Duration::from_micros(1)));
        assert_eq!(quantile(0.51), Some(Duration::from_micros(10)));
        assert_eq!(quantile(0.99), Some(Duration::from_micros(10)));
        assert_eq!(quantile(1.0), None);
        assert_eq!(quantile(f64::NAN), None);
        assert_eq!(quantile(-0.1), None);
        assert_eq!(histogram(&[]).quantile(0.5), None);
    }
}
