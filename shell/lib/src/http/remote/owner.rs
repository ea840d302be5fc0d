//! The owner of sessions, whose clients have sent their requests to other processes.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use http::{StatusCode, request::Parts};
use rejoin_core::{AnswerFormat, EventId, SessionCloseReason};

use super::super::{
    head,
    memory::{MemoryExhausted, RequestMemory, Reservation},
    post,
    receive::ReceiveError,
    refusal::Refusal,
    session::{self, AnyConnection, Next},
    stream,
};
use crate::{
    Principal, SessionHandle, SessionManager, SseEvent, clock,
    cluster::link::{Call, Control, Operation, PostCall, Replies, Reply, Room, Serve, ServeFuture},
    manager::{Owned, WeakSessionManager},
};

/// Does the calls that other processes pass on. They are never passed on again.
pub(in super::super) struct Owner(Arc<Inner>);

struct Inner {
    sessions: WeakSessionManager,
    memory: RequestMemory,
    body_bytes_max: usize,
}

/// What a call has led to.
enum Outcome {
    Reply(Reply),
    Connection(AnyConnection, Origin),
}

/// What a connection was opened by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A POST with a request. The ingress waits a little for the first events.
    Request,
    /// A GET. It is told at once whether there are some.
    Get,
}

impl Owner {
    pub(in super::super) fn new(
        sessions: WeakSessionManager,
        memory: RequestMemory,
        body_bytes_max: usize,
    ) -> Self {
        Self(Arc::new(Inner { sessions, memory, body_bytes_max }))
    }
}

impl Serve for Owner {
    fn serve(&self, call: Call, mut replies: Replies) -> ServeFuture {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let handled = tokio::select! {
                biased;
                handled = inner.handle(call) => handled,
                // As its client would be gone in this process.
                () = dropped(&mut replies) => return,
            };
            match handled {
                Ok(Outcome::Reply(reply)) => replies.send(&reply),
                Ok(Outcome::Connection(connection, origin)) => {
                    send_events(connection, origin, &mut replies).await;
                }
                Err(refusal) => replies.send(&refusal.into_reply()),
            }
        })
    }

    fn is_over(&self) -> bool {
        self.0.sessions.is_dropped()
    }
}

/// Waits until the client is gone, or the link is cut.
async fn dropped(replies: &mut Replies) {
    while !matches!(replies.control().await, Some(Control::Drop) | None) {}
}

impl Inner {
    async fn handle(&self, call: Call) -> Result<Outcome, Refusal> {
        let (Some(id), Some(sessions)) = (call.session(), self.sessions.upgrade()) else {
            return Ok(Outcome::Reply(Reply::Moved));
        };
        let principal = call.principal();
        let version = call.protocol_version;
        let request = match call.operation {
            Operation::Find => {
                let reply = if sessions.owns(id).await { Reply::Done } else { Reply::Moved };
                return Ok(Outcome::Reply(reply));
            }
            Operation::Post(post) => Request::Post(self.receive(*post, principal.clone())?),
            Operation::Get { last_event_id } => Request::Get { last_event_id },
            Operation::Delete => Request::Delete,
        };
        let session = match sessions.owned_session(principal.as_ref(), id).await? {
            Owned::Here(session) => session,
            Owned::Foreign => return Ok(Outcome::Reply(Reply::Foreign)),
            Owned::Moved => return Ok(Outcome::Reply(Reply::Moved)),
        };
        let handled = handle_in(&sessions, &session, version.as_deref(), request).await;
        if handled.is_err() && session.close_reason() == Some(SessionCloseReason::Moved) {
            return Ok(Outcome::Reply(Reply::Moved));
        }
        handled
    }

    /// Reserves memory for a POST, before its session is known.
    fn receive(&self, call: PostCall, principal: Option<Principal>) -> Result<Received, Refusal> {
        let head = Arc::new(call.head(principal));
        let PostCall { is_json, body, .. } = call;
        if body.len() > self.body_bytes_max {
            let message = format!("the request body is larger than {} bytes", self.body_bytes_max);
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        let mut reservation = self.memory.reservation(Some(self.memory.passed_on()));
        reservation.set_declared_length(body.len());
        let reserved = reservation.add_head(&head).and_then(|()| reservation.grow(body.len()));
        reserved.map_err(exhausted)?;
        Ok(Received { head, is_json, body, reservation })
    }
}

/// What a client has asked for.
enum Request {
    Post(Received),
    Get { last_event_id: Option<EventId> },
    Delete,
}

/// A POST, for which memory is reserved.
struct Received {
    head: Arc<Parts>,
    is_json: bool,
    body: Bytes,
    reservation: Reservation,
}

async fn handle_in(
    sessions: &SessionManager,
    session: &SessionHandle,
    version: Option<&str>,
    request: Request,
) -> Result<Outcome, Refusal> {
    if let Some(version) = version {
        head::check_version(version, session)?;
    }
    match request {
        Request::Post(received) => post_in(sessions, session, received).await,
        Request::Get { last_event_id } => Ok(match session::connect(session, last_event_id)? {
            Some(connection) => Outcome::Connection(AnyConnection::Here(connection), Origin::Get),
            None => Outcome::Reply(Reply::Cancelled),
        }),
        Request::Delete => {
            sessions.delete_session(session).await?;
            Ok(Outcome::Reply(Reply::Done))
        }
    }
}

async fn post_in(
    sessions: &SessionManager,
    session: &SessionHandle,
    received: Received,
) -> Result<Outcome, Refusal> {
    let Received { head, is_json, body, mut reservation } = received;
    reservation.move_to(session.request_memory()).map_err(exhausted)?;
    let post = post::parse(sessions.shared(), &head, &body, reservation)?;
    if !post.has_request() {
        session.notify(post).await?;
        return Ok(Outcome::Reply(Reply::Done));
    }
    let format = if is_json { AnswerFormat::Json } else { AnswerFormat::Sse };
    let connection = AnyConnection::Here(session.request(post, format).await?);
    Ok(Outcome::Connection(connection, Origin::Request))
}

fn exhausted(exhausted: MemoryExhausted) -> Refusal {
    match ReceiveError::from(exhausted) {
        ReceiveError::Refused(refusal) => refusal,
        ReceiveError::TooLarge => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too large"),
    }
}

/// Sends the events of a connection as the ingress pulls them, the first time without being asked. If there
/// are none for some time, the ingress is told: it holds the request until the first reply.
pub(super) async fn send_events(
    mut connection: AnyConnection,
    origin: Origin,
    replies: &mut Replies,
) {
    let room = replies.room();
    let mut events = Vec::new();
    let mut is_pulled = true;
    let mut expired: Option<Duration> = None;
    let mut patience = pin!(async {
        if origin == Origin::Request {
            clock::sleep(stream::COMMIT_TIMEOUT).await;
        }
    });
    let mut has_patience = true;
    loop {
        if let Some(retry) = expired
            && connection.expire(retry)
        {
            return replies.send(&Reply::end());
        }
        tokio::select! {
            biased;
            control = replies.control() => match control {
                Some(Control::Pull) => is_pulled = true,
                Some(Control::Disconnect { retry }) => connection.disconnect(retry),
                Some(Control::Expire { retry }) => expired = Some(retry),
                Some(Control::Drop) | None => return,
            },
            next = next(&mut connection, &room, &mut events), if is_pulled => {
                (is_pulled, has_patience) = (false, false);
                match next {
                    Next::Part(part) => replies.send(&Reply::Part(part)),
                    Next::Events { has_more } => {
                        send((&mut connection, origin), &mut events, has_more, replies);
                        if !has_more {
                            return;
                        }
                    }
                }
            }
            () = &mut patience, if has_patience => {
                has_patience = false;
                replies.send(&Reply::none_yet());
            }
        }
    }
}

/// Takes what is next, once the link has room for it: what was taken counts as acknowledged.
async fn next(connection: &mut AnyConnection, room: &Room, events: &mut Vec<SseEvent>) -> Next {
    loop {
        room.wait().await;
        let taken = poll_fn(|cx| {
            if !room.is_left() {
                return Poll::Ready(None);
            }
            connection.poll_next(cx, events).map(Some)
        });
        if let Some(next) = taken.await {
            return next;
        }
    }
}

/// Sends events, or if there are none, how the connection has ended.
fn send(
    (connection, origin): (&mut AnyConnection, Origin),
    events: &mut Vec<SseEvent>,
    has_more: bool,
    replies: &Replies,
) {
    if events.is_empty()
        && origin == Origin::Request
        && let Err(refusal) = connection.check_end()
    {
        return replies.send(&refusal.into_reply());
    }
    let is_complete = connection.is_complete();
    let events = events.drain(..).map(Into::into).collect();
    replies.send(&Reply::Events { events, has_more, is_complete });
}
