//! The peer address of a request, as an extension.

use std::net::{IpAddr, SocketAddr};

use crate::peers;

/// The address of a request's peer, for the log and for
/// [`sessions_per_ip_max`](crate::ManagerConfig::sessions_per_ip_max). The server that accepts
/// connections can insert it as an extension of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

impl PeerAddress {
    /// Returns the network that counts as one peer: the address, or the /64 prefix of an IPv6
    /// address, all of which a client often controls. An IPv4-mapped address is an IPv4 address.
    #[must_use]
    pub fn network(self) -> IpAddr {
        peers::network(self.0.ip())
    }
}
