//! A service whose every request is answered.

use std::{borrow::Cow, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use rmcp::{
    ErrorData, RoleServer, Service,
    model::{ClientNotification, ClientRequest, ProtocolVersion, ServerConfig, ServerResult},
    service::{NotificationContext, RequestContext},
};

use crate::ClientSender;

/// Gives every handler the session's [`ClientSender`], and answers for those that panic.
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
        let id = context.id.clone();
        let answer = AssertUnwindSafe(self.service.handle_request(request, context));
        answer.catch_unwind().await.unwrap_or_else(|_| {
            let session = self.client.session_id().short();
            tracing::error!(%session, %id, "handler of the request panicked");
            Err(ErrorData::internal_error("the server failed at this request", None))
        })
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
