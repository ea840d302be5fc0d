//! What a handler can do about the stream that carries its answer.

use std::{future::Future, time::Duration};

use rmcp::{
    RoleServer, ServiceError,
    model::{GetExtensions, ServerNotification},
    service::{OriginatingRequestId, RequestContext},
};

use super::id;
use crate::{ClientSender, SendError};

/// What a handler can do about the stream that will carry its answer: an extension of
/// rmcp's [`RequestContext`].
///
/// ```
/// use std::time::Duration;
/// use rejoin::RequestContextExt;
/// use rmcp::{RoleServer, model::{CustomNotification, ServerNotification}, service::RequestContext};
/// use serde_json::json;
///
/// async fn handle(context: RequestContext<RoleServer>) {
///     let news = CustomNotification::new("notifications/news", Some(json!({})));
///     // The client hears it where it waits for the answer.
///     let _ = context.notify_related(ServerNotification::CustomNotification(news)).await;
///     // Does the rest while no connection is held open.
///     let _ = context.disconnect(Some(Duration::from_secs(5)));
/// }
/// ```
pub trait RequestContextExt {
    /// Notifies the client on the stream of the request.
    ///
    /// It waits only while a client that reads, but slowly, trails so far that it would
    /// lose events.
    ///
    /// # Errors
    ///
    /// The session has ended, or the notification is too large.
    fn notify_related(
        &self,
        notification: ServerNotification,
    ) -> impl Future<Output = Result<(), ServiceError>> + Send;

    /// Ends the connection of the request, so that the client polls: it is told to come
    /// back after `retry`, and gets then what has come meanwhile.
    ///
    /// # Errors
    ///
    /// As of [`ClientSender::disconnect`]; [`SendError::NotPending`] where the service was
    /// not served by an [`RmcpBackend`](super::RmcpBackend).
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
        let client = self.extensions.get::<ClientSender>().ok_or(SendError::NotPending)?;
        let request = id::from_rmcp(&self.id).ok_or(SendError::NotPending)?;
        client.disconnect(&request, retry)
    }
}
