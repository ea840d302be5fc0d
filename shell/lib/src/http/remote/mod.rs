//! Sessions of other processes: requests for them are passed on to their owners.

mod connection;
mod owner;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use http::{StatusCode, request::Parts};
use rejoin_core::{AnswerFormat, EventId, Post};

use self::connection::{EndAtShutdown, Kind};
pub(super) use self::{connection::RemoteConnection, owner::Owner};
use super::{
    head,
    refusal::Refusal,
    session::{self, AnyConnection},
};
use crate::{
    ClientMessage, ManagerError, SessionHandle, SessionId, SessionManager,
    cluster::{
        OpenRequest, Shutdown,
        link::{self, Call, CallError, Link, OpenCall, Operation, PostCall, Reply},
    },
    manager::Found,
};

/// A session that another process has. If it turns out not to have it, the session is looked for again.
pub(super) struct RemoteSession {
    sessions: SessionManager,
    id: SessionId,
    /// Of the request.
    head: Arc<Parts>,
    link: Link,
    /// Time after which clients reconnect whose stream ends because this process stops.
    retry: Duration,
}

/// Where a request was handled.
enum Handled {
    /// In another process, which has sent a first reply.
    There(Reply, OpenCall),
    /// Not yet, because this process has the session now.
    Here(SessionHandle),
}

/// What is passed on, for the shutdown of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// A POST with a request. It fails when this process closes.
    Request,
    /// A GET. Its client repeats it when this process closes.
    Get,
    /// Anything else. It is waited for.
    Other,
}

/// Number of times that a request is passed on, if the process that should have its session does not
/// have it.
const ATTEMPTS: usize = 3;

impl RemoteSession {
    pub(super) fn new(
        sessions: SessionManager,
        id: SessionId,
        head: Arc<Parts>,
        (link, retry): (Link, Duration),
    ) -> Self {
        Self { sessions, id, head, link, retry }
    }

    pub(super) async fn request(
        &self,
        post: Post<ClientMessage>,
        format: AnswerFormat,
        accepts_sse: bool,
    ) -> Result<AnyConnection, Refusal> {
        let request = self.link.shutdown().open_request();
        let operation = post_call(&self.head, &post, format == AnswerFormat::Json);
        match self.handle(operation, Purpose::Request).await? {
            Handled::There(reply, call) => {
                let kind = if accepts_sse { Kind::Request } else { Kind::Json };
                self.connection(reply, call, kind, Some(request))
            }
            Handled::Here(session) => Ok(AnyConnection::Here(session.request(post, format).await?)),
        }
    }

    pub(super) async fn notify(&self, post: Post<ClientMessage>) -> Result<(), Refusal> {
        match self.handle(post_call(&self.head, &post, true), Purpose::Other).await? {
            Handled::There(reply, _) => done(&reply),
            Handled::Here(session) => Ok(session.notify(post).await?),
        }
    }

    pub(super) async fn get(
        &self,
        last_event_id: Option<EventId>,
    ) -> Result<Option<AnyConnection>, Refusal> {
        match self.handle(Operation::Get { last_event_id }, Purpose::Get).await? {
            Handled::There(Reply::Cancelled, _) => Ok(None),
            Handled::There(reply, call) => self.connection(reply, call, Kind::Get, None).map(Some),
            Handled::Here(session) => {
                Ok(session::connect(&session, last_event_id)?.map(AnyConnection::Here))
            }
        }
    }

    pub(super) async fn delete(&self) -> Result<(), Refusal> {
        match self.handle(Operation::Delete, Purpose::Other).await? {
            Handled::There(reply, _) => done(&reply),
            Handled::Here(session) => Ok(self.sessions.delete_session(&session).await?),
        }
    }

    /// Returns the connection that begins with a reply.
    fn connection(
        &self,
        reply: Reply,
        call: OpenCall,
        kind: Kind,
        request: Option<OpenRequest>,
    ) -> Result<AnyConnection, Refusal> {
        let end = EndAtShutdown::new(call.shutdown().clone(), kind, self.retry);
        let message_bytes_max = self.sessions.config().session.message_bytes_max;
        let connection = RemoteConnection::begin(reply, call, message_bytes_max, end, request)?;
        Ok(AnyConnection::There(Box::new(connection)))
    }

    /// Passes a request on to the owner. A POST that was written to a link is never sent again.
    async fn handle(&self, operation: Operation, purpose: Purpose) -> Result<Handled, Refusal> {
        let shutdown = self.link.shutdown();
        let can_repeat = !matches!(operation, Operation::Post(_));
        let principal = self.head.extensions.get();
        let version = head::protocol_version(&self.head.headers)?;
        let call = Call::new(self.id, principal, version, operation);
        let mut link = self.link.clone();
        for _ in 0..ATTEMPTS {
            if shutdown.stage() > purpose.last_stage() {
                return Err(ManagerError::StoreAway.into());
            }
            match link.call(&call) {
                Ok(mut open) => match first_reply(&mut open, purpose).await? {
                    Some(Reply::Moved) => {}
                    Some(Reply::Foreign) => {
                        return Err(Refusal::from(ManagerError::NotFound).foreign());
                    }
                    Some(Reply::Refused { status, code, message, retry_after }) => {
                        return Err(Refusal::of_owner(status, code, message, retry_after));
                    }
                    Some(reply) => return Ok(Handled::There(reply, open)),
                    None if can_repeat => {}
                    None => return Err(owner_gone()),
                },
                Err(CallError::Cut) => {}
                Err(CallError::Full) => {
                    let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, link::FULL);
                    return Err(refusal.retry_after(1));
                }
                Err(CallError::TooLarge) => {
                    let message = "the request is larger than the process of its session accepts";
                    return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message));
                }
            }
            let found = tokio::select! {
                biased;
                found = self.sessions.find_again(principal, self.id) => found?,
                _ = shutdown.clone().after(purpose.last_stage()) => {
                    return Err(ManagerError::StoreAway.into());
                }
            };
            match found {
                Found::There(found) => link = found,
                Found::Here(session) => {
                    head::check_protocol_version(&self.head.headers, &session)?;
                    return Ok(Handled::Here(session));
                }
            }
        }
        Err(ManagerError::StoreAway.into())
    }
}

impl Purpose {
    /// Returns the last stage of the shutdown in which it is passed on.
    fn last_stage(self) -> Shutdown {
        match self {
            Self::Request => Shutdown::Running,
            Self::Get | Self::Other => Shutdown::Draining,
        }
    }
}

/// Returns the first reply, or `None` if the link was cut.
async fn first_reply(open: &mut OpenCall, purpose: Purpose) -> Result<Option<Reply>, Refusal> {
    if purpose == Purpose::Other {
        return Ok(open.reply().await);
    }
    let closes = open.shutdown().clone().after(Shutdown::Draining);
    tokio::select! {
        biased;
        reply = open.reply() => Ok(reply),
        _ = closes => Err(match purpose {
            Purpose::Get => ManagerError::StoreAway.into(),
            Purpose::Request | Purpose::Other => closing(),
        }),
    }
}

fn post_call(head: &Parts, post: &Post<ClientMessage>, is_json: bool) -> Operation {
    let body = match post {
        Post::Single(message) => message.body.clone().into_bytes(),
        Post::Batch(messages) => {
            let bodies: Vec<&[u8]> = messages.iter().map(|message| &*message.body).collect();
            [b"[", &*bodies.join(&b","[..]), b"]"].concat().into()
        }
    };
    Operation::Post(Box::new(PostCall::new(head, is_json, body)))
}

fn done(reply: &Reply) -> Result<(), Refusal> {
    if *reply == Reply::Done { Ok(()) } else { Err(unexpected_reply()) }
}

/// This process closes, and the owner of the session may have handled the request.
fn closing() -> Refusal {
    let message = "the server is shutting down: whether the request was carried out is not known";
    Refusal::new(StatusCode::BAD_GATEWAY, message)
}

/// The owner of the session is gone, and may have handled the request.
fn owner_gone() -> Refusal {
    let message =
        "the process that handled the request is gone: whether it was carried out is not known";
    Refusal::new(StatusCode::BAD_GATEWAY, message)
}

fn unexpected_reply() -> Refusal {
    let message = "the process of the session has sent an unexpected reply";
    Refusal::new(StatusCode::BAD_GATEWAY, message)
}
