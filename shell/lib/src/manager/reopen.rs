//! New backends for sessions whose backend was lost with its process.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use rejoin_core::Session;
use serde_json::value::RawValue;

use super::Inner;
use crate::{
    ClientMessage, ClientMessages, ClientSender, OpenError, Principal, clock, render,
    session::{HANDSHAKE_ID, SessionInner},
};

/// The notification with which `initialize` ends.
const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// Timeout for the response to `initialize`, if sessions have none.
const INIT_TIMEOUT: Duration = Duration::from_secs(60);

impl Inner {
    /// Opens a new backend for a session, and initializes it as its client did the one before. The
    /// messages are dropped if that fails, so the session goes on without a backend.
    pub(super) async fn reopen(
        &self,
        session: &Arc<SessionInner<Bytes>>,
        initialize: &Bytes,
        client: ClientSender,
        mut messages: ClientMessages,
    ) -> Result<(), OpenError> {
        let config = self.sessions.shared();
        let handshake = with_id(initialize)?;
        messages.set_first_message(Some(first_message(&handshake, session.principal())));
        let opening = self.backend.open_any(client.clone(), messages);
        clock::timeout(config.config.start_timeout, opening)
            .await
            .map_err(|_| "start timeout expired")??;
        let answer = session.begin_handshake(handshake.into());
        let timeout = config.session_config.init_timeout.unwrap_or(INIT_TIMEOUT);
        let negotiated = clock::timeout(timeout, answer).await;
        let before = session.inspect(Session::initialized);
        let failure = match negotiated {
            Err(_) => Some("the new server does not respond to `initialize`"),
            Ok(Err(_)) => Some("the new server has ended before it was initialized"),
            Ok(Ok(None)) => Some("the new server responds to `initialize` with an error"),
            Ok(Ok(negotiated)) if negotiated != before => {
                Some("the new server negotiates something else than the one before")
            }
            Ok(Ok(Some(_))) => None,
        };
        if let Some(failure) = failure {
            session.end_backend(failure);
            return Err(failure.into());
        }
        session.end_handshake(Bytes::from_static(INITIALIZED).into());
        if before.is_some_and(|before| before.logging) {
            client.send_now(render::reopened_notification());
        }
        Ok(())
    }
}

/// Returns the request with an id that no request of the client has.
fn with_id(initialize: &[u8]) -> Result<Bytes, OpenError> {
    let mut members: BTreeMap<String, &RawValue> = serde_json::from_slice(initialize)?;
    let id = serde_json::value::to_raw_value(HANDSHAKE_ID)?;
    members.insert("id".to_owned(), &id);
    Ok(serde_json::to_vec(&members)?.into())
}

/// Returns the request as a backend gets it before it is opened. The headers of the client's are not
/// stored.
fn first_message(handshake: &Bytes, principal: Option<&Principal>) -> ClientMessage {
    let message = ClientMessage::from(handshake.clone());
    #[cfg(feature = "http")]
    if let Some(principal) = principal {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.extensions.insert(principal.clone());
        return message.with_parts(Arc::new(parts));
    }
    #[cfg(not(feature = "http"))]
    let _ = principal;
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_has_an_id_of_its_own() {
        let initialize =
            br#"{"jsonrpc":"2.0","id":{"odd":1},"method":"initialize","params":{"a":1}}"#;
        let handshake: serde_json::Value =
            serde_json::from_slice(&with_id(initialize).unwrap()).unwrap();
        let expected = serde_json::json!({
            "jsonrpc": "2.0", "id": "rejoin-reopen", "method": "initialize", "params": {"a": 1},
        });
        assert_eq!(handshake, expected);
        assert!(with_id(b"[]").is_err());
    }
}
