//! The configuration of links, and the socket that other processes connect to.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use thiserror::Error;

use super::{CALL_HEAD_BYTES_MAX, Listener};

#[doc = include_str!("../../../docs/cluster.md")]
#[derive(Clone)]
pub struct LinkConfig {
    pub(crate) listener: Arc<Listener>,
    advertised: Arc<str>,
    local: SocketAddr,
}

/// Minimum size of a secret, in bytes.
const SECRET_BYTES_MIN: usize = 16;

/// Default maximum size of a request body, the same as that of
/// [`HttpConfig`](crate::HttpConfig::body_bytes_max).
const BODY_BYTES_MAX: usize = 4 << 20;

/// An invalid [`LinkConfig`]. The caller is at fault.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LinkConfigError {
    /// The secret is too short.
    #[error("the secret must have at least {SECRET_BYTES_MIN} bytes")]
    SecretTooShort,
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
}

impl LinkConfig {
    /// Listens on an address, for processes that know the secret. With port 0, the system chooses one.
    ///
    /// # Errors
    ///
    /// The secret has less than 16 bytes, or the address cannot be listened on.
    pub fn new(address: SocketAddr, secret: &[u8]) -> Result<Self, LinkConfigError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(LinkConfigError::SecretTooShort);
        }
        let listen = || {
            let socket = TcpListener::bind(address)?;
            socket.set_nonblocking(true)?;
            let local = socket.local_addr()?;
            Ok((socket, local))
        };
        let (socket, local) =
            listen().map_err(|error| LinkConfigError::Listen { address, error })?;
        let listener =
            Arc::new(Listener::new(socket, secret, BODY_BYTES_MAX + CALL_HEAD_BYTES_MAX));
        Ok(Self { listener, advertised: local.to_string().into(), local })
    }

    /// Sets how other processes reach this one: a host or an address, and a port. Necessary if it
    /// listens on all addresses. By default, the address that it listens on.
    #[must_use]
    pub fn advertise(self, address: &str) -> Self {
        Self { advertised: address.into(), ..self }
    }

    /// Sets the maximum size of the body of a request that is passed on to this process, in bytes.
    /// Default 4 MiB, like [`body_bytes_max`](crate::HttpConfig::body_bytes_max).
    #[must_use]
    pub fn body_bytes_max(self, bytes: usize) -> Self {
        self.listener.set_call_bytes_max(bytes.saturating_add(CALL_HEAD_BYTES_MAX));
        self
    }

    /// Returns the address that it listens on.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// Returns how other processes reach this one.
    pub(crate) fn advertised(&self) -> &Arc<str> {
        &self.advertised
    }
}

/// Does not show the secret.
impl fmt::Debug for LinkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkConfig")
            .field("local", &self.local)
            .field("advertised", &self.advertised)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret of some length";

    #[test]
    fn a_short_secret_is_refused_and_a_secret_is_not_shown() {
        let address = "127.0.0.1:0".parse().unwrap();
        let short = LinkConfig::new(address, &SECRET[..15]);
        assert!(matches!(short, Err(LinkConfigError::SecretTooShort)), "{short:?}");
        let config = LinkConfig::new(address, SECRET).unwrap();
        assert_eq!(&**config.advertised(), config.local_address().to_string());
        let shown = format!("{config:?} {:?}", config.listener);
        assert!(!shown.contains("secret of"), "{shown}");
        let taken = LinkConfig::new(config.local_address(), SECRET);
        assert!(matches!(taken, Err(LinkConfigError::Listen { .. })), "{taken:?}");
    }
}
