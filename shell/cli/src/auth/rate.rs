//! The rate of requests of each principal.

use std::{num::NonZeroU32, time::Duration};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use rejoin::Principal;

/// Maximum number of principals whose rates are known. More of them at a time are refused.
const PRINCIPALS_MAX: usize = 100_000;

/// Limits the rate of requests of each principal.
#[derive(Debug)]
pub(super) struct RequestRate {
    /// At most [`PRINCIPALS_MAX`] entries, and as many as there are concurrent requests.
    limiter: DefaultKeyedRateLimiter<Principal>,
    principals_max: usize,
}

impl RequestRate {
    pub(super) fn new(requests_per_second_max: NonZeroU32) -> Self {
        let limiter = RateLimiter::keyed(Quota::per_second(requests_per_second_max));
        Self { limiter, principals_max: PRINCIPALS_MAX }
    }

    /// Counts a request.
    ///
    /// # Errors
    ///
    /// It is one too many. Returns when there will be room.
    pub(super) fn count(&self, principal: &Principal) -> Result<(), Duration> {
        if self.limiter.len() >= self.principals_max {
            // Forgets those that have not made a request in the last second.
            self.limiter.retain_recent();
            if self.limiter.len() >= self.principals_max {
                return Err(Duration::from_secs(1));
            }
        }
        let counted = self.limiter.check_key(principal);
        counted.map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_for_each_principal() {
        let rate = RequestRate::new(NonZeroU32::new(2).unwrap());
        let [ada, bob] = ["ada", "bob"].map(|subject| Principal::new("issuer", subject));
        assert_eq!([rate.count(&ada), rate.count(&ada)], [Ok(()), Ok(())]);
        let wait = rate.count(&ada).unwrap_err();
        assert!(wait <= Duration::from_millis(500), "{wait:?}");
        assert_eq!(rate.count(&bob), Ok(()));
    }

    #[test]
    fn the_number_of_principals_is_limited() {
        let rate = RequestRate { principals_max: 2, ..RequestRate::new(NonZeroU32::MIN) };
        let count = |subject: &str| rate.count(&Principal::new("issuer", subject));
        assert_eq!([count("ada"), count("bob")], [Ok(()), Ok(())]);
        assert!(count("eve").is_err());
        assert_eq!(rate.limiter.len(), 2);
    }
}
