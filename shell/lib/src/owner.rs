//! The owner of a session: its principal, and permits that count the session for it.

use std::{net::IpAddr, sync::Arc};

use crate::{
    Principal,
    counts::{CountPermit, Counts},
    peers,
};

/// For whom a session is created.
#[derive(Debug, Default)]
pub(crate) struct Owner {
    pub(crate) principal: Option<Principal>,
    pub(crate) permits: OwnerPermits,
}

/// Counts a session for the address of its client, and for its principal, until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct OwnerPermits {
    _address: Option<CountPermit<IpAddr>>,
    _principal: Option<CountPermit<Principal>>,
}

/// The number of sessions of each owner.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    addresses: Arc<Counts<IpAddr>>,
    principals: Arc<Counts<Principal>>,
}

/// The limit of sessions that an owner has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnerLimit {
    Address(usize),
    Principal(usize),
}

impl Owners {
    /// Counts a session for its owner. What is not known, or has no limit, is not counted.
    pub(crate) fn admit(
        &self,
        (principal, principal_max): (Option<Principal>, Option<usize>),
        (address, address_max): (Option<IpAddr>, Option<usize>),
    ) -> Result<Owner, OwnerLimit> {
        let address = match address.zip(address_max) {
            None => None,
            Some((address, max)) => {
                let permit = self.addresses.try_acquire(peers::network(address), max);
                Some(permit.ok_or(OwnerLimit::Address(max))?)
            }
        };
        let principal_permit = match principal.clone().zip(principal_max) {
            None => None,
            Some((principal, max)) => {
                let permit = self.principals.try_acquire(principal, max);
                Some(permit.ok_or(OwnerLimit::Principal(max))?)
            }
        };
        let permits = OwnerPermits { _address: address, _principal: principal_permit };
        Ok(Owner { principal, permits })
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_limited_for_each_principal_and_each_network() {
        let owners = Owners::default();
        let admit = |subject: Option<&str>, address: &str| {
            let principal = subject.map(|subject| Principal::new("issuer", subject));
            owners.admit((principal, Some(1)), (address.parse().ok(), Some(1)))
        };
        let first = admit(Some("a"), "2001:db8::1").unwrap();
        assert_eq!(first.principal, Some(Principal::new("issuer", "a")));
        assert_eq!(admit(Some("b"), "2001:db8::2").err(), Some(OwnerLimit::Address(1)));
        assert_eq!(admit(Some("a"), "192.0.2.1").err(), Some(OwnerLimit::Principal(1)));
        assert!(admit(Some("b"), "192.0.2.1").is_ok(), "a refused session is not counted");
        assert!(admit(None, "").is_ok() && admit(None, "").is_ok());
        drop(first);
        assert!(admit(Some("a"), "2001:db8::2").is_ok());
    }
}
