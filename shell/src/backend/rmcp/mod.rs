//! Any service of the crate `rmcp`, in this process.

mod catch_panic;
mod head;
mod id;
mod methods;
mod parse;
mod request_context;
mod transport;

use std::fmt;

use rmcp::{RoleServer, Service, ServiceExt, service::ServerInitializeError};
use tracing::Instrument;

pub use self::request_context::RequestContextExt;
use self::{catch_panic::CatchPanic, transport::SessionTransport};
use super::{Backend, ClientMessages, ClientSender, OpenError};

/// Serves each session by an rmcp service of its own, in this process.
///
/// ```
/// use rejoin::{RmcpBackend, SessionManager, Settings};
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
/// let sessions = SessionManager::new(RmcpBackend::new(|| Ok(Greeter)), Settings::default())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A session ends when its service does. When a session ends, so does its service: the
/// tokens of its requests are cancelled at once. A handler that does not look at its
/// token runs on, and nobody hears its answer.
///
/// A handler that panics has its request answered with an error, and so has a request
/// whose parameters rmcp cannot read.
///
/// # Where messages go
///
/// | what a handler sends | where it goes |
/// |---|---|
/// | its answer | where the request came from |
/// | progress | where the request with that token came from |
/// | a request of its own, such as elicitation | where the request came from that it handles; rmcp knows it only in the handler's own task |
/// | any other notification | rmcp does not know: to the standalone stream, unless it is sent by [`RequestContextExt::notify_related`] |
///
/// For services that do not say, [`Unrelated::SoleRequest`](rejoin_core::Unrelated) guesses.
/// A message that a handler marks itself with [`rmcp::service::OriginatingRequestId`] in its
/// extensions goes where that request came from.
///
/// A handler has the session's [`ClientSender`] in the extensions of its context.
pub struct RmcpBackend<F> {
    factory: F,
}

impl<F> RmcpBackend<F> {
    /// Makes a backend that has `factory` make the service of each session.
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

/// Runs a service until it ends, and cancels it when the session has ended.
async fn serve<S: Service<RoleServer>>(
    service: CatchPanic<S>,
    transport: SessionTransport,
    ended: impl Future<Output = ()>,
) {
    let mut ended = std::pin::pin!(ended);
    let served = tokio::select! {
        served = service.serve(transport) => served,
        // It may wait for something else than its client.
        () = &mut ended => return,
    };
    let running = match served {
        Ok(running) => running,
        Err(ServerInitializeError::ConnectionClosed(_)) => return,
        Err(error) => return tracing::warn!(%error, "service was not initialized"),
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
