//! Service wrapper for what rmcp does not do at the end of a handler.

use std::{borrow::Cow, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use rmcp::{
    ErrorData, RoleServer, Service,
    model::{ClientNotification, ClientRequest, ProtocolVersion, ServerConfig, ServerResult},
    service::{NotificationContext, RequestContext},
};

use crate::{ClientSender, rmcp::id};

/// Wraps a service: fails requests whose handler panics, notes the end of those that were
/// cancelled, and adds the session's [`ClientSender`] to the extensions of every context.
pub(super) struct CatchPanic<S> {
    service: S,
    client: ClientSender,
}

impl<S> CatchPanic<S> {
    pub(super) fn new(service: S, client: ClientSender) -> Self {
        Self { service, client }
    }
}

impl<S: Service<RoleServer>> Service<RoleServer> for CatchPanic<S> {
    async fn handle_request(
        &self,
        request: ClientRequest,
        mut context: RequestContext<RoleServer>,
    ) -> Result<ServerResult, ErrorData> {
        context.extensions.insert(self.client.clone());
        let (id, cancellation) = (context.id.clone(), context.ct.clone());
        let response = AssertUnwindSafe(self.service.handle_request(request, context));
        let response = response.catch_unwind().await.unwrap_or_else(|_| {
            let session = self.client.session_id().short();
            tracing::error!(%session, %id, "request handler panicked");
            Err(ErrorData::internal_error("internal error: the request handler panicked", None))
        });
        // rmcp drops the response to a request that was cancelled.
        if cancellation.is_cancelled()
            && let Some(id) = id::from_rmcp(&id)
        {
            self.client.release_cancelled(&id);
        }
        response
    }

    async fn handle_notification(
        &self,
        notification: ClientNotification,
        mut context: NotificationContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        context.extensions.insert(self.client.clone());
        self.service.handle_notification(notification, context).await
    }

    fn get_info(&self) -> ServerConfig {
        self.service.get_info()
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        self.service.supported_protocol_versions()
    }
}
