//! Extension trait for handlers: operations on the stream of the request being handled.

use std::{future::Future, time::Duration};

use rmcp::{
    RoleServer, ServiceError,
    model::{GetExtensions, ServerNotification},
    service::{OriginatingRequestId, RequestContext},
};

use super::{id, session_manager::RmcpMessages};
use crate::{ClientSender, SendError};

/// Extends rmcp's [`RequestContext`] with operations on the stream of the request being handled.
///
/// ```
/// use std::time::Duration;
/// use rejoin::RequestContextExt;
/// use rmcp::{RoleServer, model::{CustomNotification, ServerNotification}, service::RequestContext};
/// use serde_json::json;
///
/// async fn handle(context: RequestContext<RoleServer>) {
///     let news = CustomNotification::new("notifications/news", Some(json!({})));
///     // Sent on the stream on which the client waits for the response.
///     let _ = context.notify_related(ServerNotification::CustomNotification(news)).await;
///     // Continue without an open connection.
///     let _ = context.disconnect(Some(Duration::from_secs(5)));
/// }
/// ```
pub trait RequestContextExt {
    /// Sends a notification on the stream of the request.
    ///
    /// Waits only while a slow client is so far behind that it would lose events.
    ///
    /// # Errors
    ///
    /// The session has ended, or the notification is too large.
    fn notify_related(
        &self,
        notification: ServerNotification,
    ) -> impl Future<Output = Result<(), ServiceError>> + Send;

    /// Closes the connection of the request, so that the client polls: it reconnects after
    /// `retry`, and then gets the events that it has missed.
    ///
    /// # Errors
    ///
    /// Same as [`ClientSender::disconnect`]. [`SendError::NotPending`] if the session is neither
    /// that of an [`RmcpBackend`](super::RmcpBackend) nor that of a
    /// [`LocalSessionManager`](super::LocalSessionManager).
    fn disconnect(&self, retry: Option<Duration>) -> Result<(), SendError>;
}

impl RequestContextExt for RequestContext<RoleServer> {
    async fn notify_related(
        &self,
        mut notification: ServerNotification,
    ) -> Result<(), ServiceError> {
        notification.extensions_mut().insert(OriginatingRequestId(self.id.clone()));
        self.peer.send_notification(notification).await
    }

    fn disconnect(&self, retry: Option<Duration>) -> Result<(), SendError> {
        let request = id::from_rmcp(&self.id).ok_or(SendError::NotPending)?;
        if let Some(client) = self.extensions.get::<ClientSender>() {
            return client.disconnect(&request, retry);
        }
        let client = self.extensions.get::<ClientSender<RmcpMessages>>();
        client.ok_or(SendError::NotPending)?.disconnect(&request, retry)
    }
}
