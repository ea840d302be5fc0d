//! The peer address of a request, as an extension.

use std::net::SocketAddr;

/// The address of a request's peer, for the log and for
/// [`sessions_per_ip_max`](crate::ManagerConfig::sessions_per_ip_max). The server that accepts
/// connections can insert it as an extension of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);
