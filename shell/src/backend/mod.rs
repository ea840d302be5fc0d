//! Backends: what answers the messages of a session.

mod client_messages;
mod client_sender;
mod overloaded;
#[cfg(feature = "rmcp")]
mod rmcp;
#[cfg(feature = "stdio")]
mod stdio;

use std::{error::Error, future::Future, pin::Pin};

pub(crate) use self::client_messages::{BackendQueue, QueueFull, QueuePermits, QueueTimeout};
#[cfg(feature = "rmcp")]
pub use self::rmcp::{RequestContextExt, RmcpBackend};
#[cfg(feature = "stdio")]
pub use self::stdio::{StdioBackend, StdioConfig, WatchdogCommand, run_watchdog};
pub use self::{
    client_messages::ClientMessages,
    client_sender::{ClientSender, SendError},
    overloaded::Overloaded,
};

/// Why a backend could not be opened: for the log, and for the client.
pub type OpenError = Box<dyn Error + Send + Sync>;

/// Answers the messages of sessions.
///
/// A backend is opened once for each session. It hears the client's messages from
/// the [`ClientMessages`] and speaks to the client through the [`ClientSender`], usually in a task
/// of its own:
///
/// ```
/// use rejoin::{Backend, ClientMessages, OpenError, Peer};
///
/// /// Answers every request with an empty result.
/// struct Agreeable;
///
/// impl Backend for Agreeable {
///     async fn open(&self, peer: Peer, mut inbox: ClientMessages) -> Result<(), OpenError> {
///         tokio::spawn(async move {
///             while let Some(message) = inbox.recv().await {
///                 let message: serde_json::Value = serde_json::from_slice(&message)?;
///                 if message["method"].is_string() && !message["id"].is_null() {
///                     let answer = serde_json::json!({
///                         "jsonrpc": "2.0", "id": message["id"], "result": {},
///                     });
///                     peer.send(answer.to_string(), None).await?;
///                 }
///             }
///             Ok::<(), OpenError>(())
///         });
///         Ok(())
///     }
/// }
/// ```
///
/// The session ends when the inbox is dropped and what the backend said before has been sent;
/// the inbox ends when the session does.
///
/// A backend that answers without waiting for anything needs no task, and is much faster:
///
/// ```
/// # use rejoin::{Backend, ClientMessages, OpenError, Peer};
/// # struct Agreeable;
/// impl Backend for Agreeable {
///     async fn open(&self, peer: Peer, inbox: ClientMessages) -> Result<(), OpenError> {
///         inbox.handle(move |message| {
///             # let answer = |_| None::<String>;
///             if let Some(answer) = answer(message) {
///                 // An error says that the session has ended.
///                 let _ = peer.send_now(answer, None);
///             }
///         });
///         Ok(())
///     }
/// }
/// ```
pub trait Backend: Send + Sync + 'static {
    /// Begins to serve a session.
    ///
    /// Returns when it can take messages. Nothing else of the session happens meanwhile.
    ///
    /// # Errors
    ///
    /// The backend cannot serve the session, and says why, also by [`Overloaded`]. The client
    /// that wanted the session is told.
    fn open(
        &self,
        peer: ClientSender,
        inbox: ClientMessages,
    ) -> impl Future<Output = Result<(), OpenError>> + Send;
}

type OpenFuture<'a> = Pin<Box<dyn Future<Output = Result<(), OpenError>> + Send + 'a>>;

/// A [`Backend`] whose type is forgotten.
pub(crate) trait AnyBackend: Send + Sync {
    fn open_any(&self, peer: ClientSender, inbox: ClientMessages) -> OpenFuture<'_>;
}

impl<B: Backend> AnyBackend for B {
    fn open_any(&self, peer: ClientSender, inbox: ClientMessages) -> OpenFuture<'_> {
        Box::pin(self.open(peer, inbox))
    }
}
