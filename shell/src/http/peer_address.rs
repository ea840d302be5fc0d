//! Where a request comes from.

use std::net::SocketAddr;

/// The address of a request's peer, for the log and for
/// [`sessions_per_ip_max`](crate::Settings::sessions_per_ip_max): an extension of the
/// request, which whoever accepts connections may insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);
