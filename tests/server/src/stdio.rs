//! The server on stdin and stdout.

use rmcp::{
    RoleServer, ServiceExt as _,
    model::{Extensions, GetExtensions, JsonRpcMessage, MetaObject, ServerJsonRpcMessage},
    service::{OriginatingRequestId, ServerInitializeError},
    transport::{Transport, async_rw::AsyncRwTransport, stdio_pipes},
};
use serde_json::json;

use super::server::Server;

/// Serves one session until stdin is closed.
///
/// # Errors
///
/// The client does not follow the MCP handshake.
pub(super) async fn serve() -> anyhow::Result<()> {
    let (stdin, stdout) = stdio_pipes();
    let transport = RelatedTransport(AsyncRwTransport::<RoleServer, _, _>::new(stdin, stdout));
    match Server::default().serve(transport).await {
        Ok(running) => {
            running.waiting().await?;
            Ok(())
        }
        Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A transport that adds to each message the id of the client request that it belongs to, for a
/// rejoin server at the other end.
struct RelatedTransport<T>(T);

impl<T: Transport<RoleServer>> Transport<RoleServer> for RelatedTransport<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        mut message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), T::Error>> + Send + 'static {
        match &mut message {
            JsonRpcMessage::Request(request) => {
                set_related_request_id(request.request.extensions_mut());
            }
            JsonRpcMessage::Notification(notification) => {
                set_related_request_id(notification.notification.extensions_mut());
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {}
        }
        self.0.send(message)
    }

    fn receive(
        &mut self,
    ) -> impl Future<Output = Option<rmcp::model::ClientJsonRpcMessage>> + Send {
        self.0.receive()
    }

    fn close(&mut self) -> impl Future<Output = Result<(), T::Error>> + Send {
        self.0.close()
    }
}

/// Copies the originating request id, which rmcp keeps in the extensions, to `_meta`.
fn set_related_request_id(extensions: &mut Extensions) {
    let Some(OriginatingRequestId(id)) = extensions.get().cloned() else { return };
    let meta = extensions.get_or_insert_default::<MetaObject>();
    meta.0.insert("rejoin/relatedRequestId".to_owned(), json!(id));
}
