//! Session counts by client address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use crate::sync::Mutex;

/// The number of sessions of each address: at most as many entries as there are sessions.
#[derive(Debug, Default)]
pub(super) struct PeerSessions(Mutex<HashMap<IpAddr, usize>>);

/// Counts a session for its address until it is dropped.
#[derive(Debug)]
pub(crate) struct PeerPermit {
    peers: Arc<PeerSessions>,
    network: IpAddr,
}

impl PeerSessions {
    /// Counts a session, unless its address has `max` already.
    pub(super) fn try_acquire(self: &Arc<Self>, address: IpAddr, max: usize) -> Option<PeerPermit> {
        let network = network(address);
        let mut counts = self.0.lock();
        let count = counts.entry(network).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(PeerPermit { peers: Arc::clone(self), network })
    }
}

impl Drop for PeerPermit {
    fn drop(&mut self) {
        let mut counts = self.peers.0.lock();
        if let Some(count) = counts.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

/// Returns the address, or the /64 network of an IPv6 address: a client often controls all of it.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_limited_for_each_address() {
        let peers = Arc::new(PeerSessions::default());
        let take = |address: &str| peers.try_acquire(address.parse().unwrap(), 1);
        let first = take("192.0.2.1");
        assert!(first.is_some() && take("192.0.2.1").is_none() && take("192.0.2.2").is_some());
        assert!(take("::ffff:192.0.2.1").is_none(), "an IPv4-mapped address is the same");
        drop(first);
        assert!(take("192.0.2.1").is_some());
        let permit = take("2001:db8::1");
        assert!(take("2001:db8::2").is_none() && take("2001:db8:0:1::1").is_some());
        drop(permit);
        assert!(peers.0.lock().is_empty());
    }
}
