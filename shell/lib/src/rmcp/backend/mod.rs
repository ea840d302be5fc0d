//! Backend that serves sessions with services of the crate `rmcp`, in this process.

mod catch_panic;
mod methods;
mod parse;
mod transport;

use std::fmt;

use rmcp::{RoleServer, Service, ServiceExt, service::ServerInitializeError};
use tracing::Instrument;

use self::{catch_panic::CatchPanic, transport::SessionTransport};
use crate::{Backend, ClientMessages, ClientSender, OpenError};

/// Serves each session with its own rmcp service, in this process.
///
/// ```
/// use rejoin::{ManagerConfig, RmcpBackend, SessionManager};
/// use rmcp::{ServerHandler, model::{ServerCapabilities, ServerConfig}};
///
/// struct Greeter;
///
/// impl ServerHandler for Greeter {
///     fn get_info(&self) -> ServerConfig {
///         ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
///     }
/// }
///
/// let sessions = SessionManager::new(RmcpBackend::new(|| Ok(Greeter)), ManagerConfig::default())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A session ends when its service ends. When a session ends, its service is cancelled: the
/// cancellation tokens of its requests are cancelled immediately. A handler that ignores its token
/// runs to its end, and its response is dropped.
///
/// If a handler panics, its request gets an error. The same applies to a request whose
/// parameters rmcp cannot parse.
///
/// # Where messages go
///
/// | message of a handler | stream |
/// |---|---|
/// | the response | that of the request |
/// | progress | that of the request with this progress token |
/// | a server request, such as elicitation | that of the request being handled; rmcp knows it only in the handler's own task |
/// | any other notification | the standalone stream, since rmcp does not know the request; or that of the request, with [`RequestContextExt::notify_related`](crate::RequestContextExt::notify_related) |
///
/// With [`UnrelatedRouting::SoleRequest`](rejoin_core::UnrelatedRouting::SoleRequest), messages whose
/// request rmcp does not know are sent on the stream of the only pending request.
/// A message with an [`rmcp::service::OriginatingRequestId`] in its extensions goes to the stream
/// of that request.
///
/// The extensions of a handler's context contain the session's [`ClientSender`] and, behind
/// [`StreamableHttp`](crate::StreamableHttp), the [`http::request::Parts`] of the request, as with
/// the HTTP service of rmcp.
pub struct RmcpBackend<F> {
    factory: F,
}

impl<F> RmcpBackend<F> {
    /// Creates a backend that calls `factory` for the service of each session.
    pub fn new<S>(factory: F) -> Self
    where
        F: Fn() -> Result<S, OpenError> + Send + Sync + 'static,
        S: Service<RoleServer>,
    {
        Self { factory }
    }
}

impl<F, S> Backend for RmcpBackend<F>
where
    F: Fn() -> Result<S, OpenError> + Send + Sync + 'static,
    S: Service<RoleServer>,
{
    async fn open(&self, client: ClientSender, messages: ClientMessages) -> Result<(), OpenError> {
        let service = CatchPanic::new((self.factory)()?, client.clone());
        let span = tracing::info_span!("rmcp", session = %client.session_id().short());
        let ended = messages.ended();
        let transport = SessionTransport::new(client, messages);
        tokio::spawn(serve(service, transport, ended).instrument(span));
        Ok(())
    }
}

impl<F> fmt::Debug for RmcpBackend<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RmcpBackend").finish_non_exhaustive()
    }
}

/// Runs a service until it ends, and cancels it when the session ends.
async fn serve<S: Service<RoleServer>>(
    service: CatchPanic<S>,
    transport: SessionTransport,
    ended: impl Future<Output = ()>,
) {
    let mut ended = std::pin::pin!(ended);
    let served = tokio::select! {
        served = service.serve(transport) => served,
        // `initialize` may be waiting for something other than the client.
        () = &mut ended => return,
    };
    let running = match served {
        Ok(running) => running,
        Err(ServerInitializeError::ConnectionClosed(_)) => return,
        Err(error) => return tracing::warn!(%error, "service failed to initialize"),
    };
    let token = running.cancellation_token();
    let mut waiting = std::pin::pin!(running.waiting());
    let quit = tokio::select! {
        quit = &mut waiting => quit,
        () = ended => {
            token.cancel();
            waiting.await
        }
    };
    tracing::debug!(?quit, "service ended");
}
