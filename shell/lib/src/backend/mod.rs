//! Backends: the servers behind sessions.

mod overloaded;
#[cfg(feature = "stdio")]
mod stdio;

use std::{error::Error, future::Future, pin::Pin};

pub use self::overloaded::Overloaded;
#[cfg(feature = "stdio")]
pub use self::stdio::{
    ChildSupervisor, SessionEnv, SessionSetup, StdioBackend, StdioConfig, watchdog,
};
use crate::{ClientMessages, ClientSender};

/// Why a backend could not be opened. It is logged, and sent to the client.
pub type OpenError = Box<dyn Error + Send + Sync>;

/// The server behind the sessions of a [`SessionManager`](crate::SessionManager).
///
/// A backend is opened once for each session. It receives the client's messages from
/// [`ClientMessages`] and sends messages to the client through [`ClientSender`], usually in a
/// task of its own:
///
/// ```
/// use rejoin::{Backend, ClientMessages, ClientSender, OpenError};
///
/// /// Answers every request with an empty result.
/// struct EmptyResults;
///
/// impl Backend for EmptyResults {
///     async fn open(
///         &self,
///         client: ClientSender,
///         mut messages: ClientMessages,
///     ) -> Result<(), OpenError> {
///         tokio::spawn(async move {
///             while let Some(message) = messages.recv().await {
///                 let message: serde_json::Value = serde_json::from_slice(&message)?;
///                 if message["method"].is_string() && !message["id"].is_null() {
///                     let response = serde_json::json!({
///                         "jsonrpc": "2.0", "id": message["id"], "result": {},
///                     });
///                     client.send(response.to_string(), None).await?;
///                 }
///             }
///             Ok::<(), OpenError>(())
///         });
///         Ok(())
///     }
/// }
/// ```
///
/// When the [`ClientMessages`] are dropped, the session sends what the backend has sent before,
/// and then ends. When the session ends, [`ClientMessages::recv`] returns `None`.
///
/// A server with tools, progress, server requests and cancellation is in `shell/cli/src/demo` of
/// the repository.
///
/// A backend that responds without waiting for anything needs no task, which is much faster:
///
/// ```
/// # use rejoin::{Backend, ClientMessages, ClientSender, OpenError};
/// # struct EmptyResults;
/// impl Backend for EmptyResults {
///     async fn open(
///         &self,
///         client: ClientSender,
///         messages: ClientMessages,
///     ) -> Result<(), OpenError> {
///         messages.handle(move |message| {
///             # let respond = |_| None::<String>;
///             if let Some(response) = respond(message) {
///                 // An error means that the session has ended.
///                 drop(client.send(response, None));
///             }
///         });
///         Ok(())
///     }
/// }
/// ```
pub trait Backend: Send + Sync + 'static {
    /// Starts to serve a session.
    ///
    /// Returns when the backend is ready for messages. The session does not start before.
    ///
    /// # Errors
    ///
    /// The backend cannot serve the session. The error is sent to the client;
    /// [`Overloaded`] also asks it to retry later.
    fn open(
        &self,
        client: ClientSender,
        messages: ClientMessages,
    ) -> impl Future<Output = Result<(), OpenError>> + Send;
}

type OpenFuture<'a> = Pin<Box<dyn Future<Output = Result<(), OpenError>> + Send + 'a>>;

/// A [`Backend`] as a trait object.
pub(crate) trait AnyBackend: Send + Sync {
    fn open_any(&self, client: ClientSender, messages: ClientMessages) -> OpenFuture<'_>;
}

impl<B: Backend> AnyBackend for B {
    fn open_any(&self, client: ClientSender, messages: ClientMessages) -> OpenFuture<'_> {
        Box::pin(self.open(client, messages))
    }
}
