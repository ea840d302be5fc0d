//! The owner of sessions, whose clients have sent their requests to other processes.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use http::{StatusCode, request::Parts};
use rejoin_core::{AnswerFormat, SessionCloseReason};

use super::super::{
    head,
    memory::RequestMemory,
    post,
    receive::ReceiveError,
    refusal::Refusal,
    session::{self, AnyConnection},
    stream,
};
use crate::{
    SessionHandle, SessionManager, SseEvent,
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
    /// A connection, whose first events an ingress may wait for.
    Connection {
        connection: AnyConnection,
        waits: bool,
    },
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
            match inner.handle(call).await {
                Ok(Outcome::Reply(reply)) => replies.send(&reply),
                Ok(Outcome::Connection { connection, waits }) => {
                    send_events(connection, waits, &mut replies).await;
                }
                Err(refusal) => replies.send(&refusal.into_reply()),
            }
        })
    }

    fn is_over(&self) -> bool {
        self.0.sessions.is_dropped()
    }
}

impl Inner {
    async fn handle(&self, call: Call) -> Result<Outcome, Refusal> {
        let (Some(id), Some(sessions)) = (call.session(), self.sessions.upgrade()) else {
            return Ok(Outcome::Reply(Reply::Moved));
        };
        if call.operation == Operation::Find {
            let reply = if sessions.has_session(id) { Reply::Done } else { Reply::Moved };
            return Ok(Outcome::Reply(reply));
        }
        let session = match sessions.owned_session(call.principal().as_ref(), id).await? {
            Owned::Here(session) => session,
            Owned::Foreign => return Ok(Outcome::Reply(Reply::Foreign)),
            Owned::Moved => return Ok(Outcome::Reply(Reply::Moved)),
        };
        let handled = self.handle_in(&sessions, &session, call).await;
        if handled.is_err() && session.close_reason() == Some(SessionCloseReason::Moved) {
            return Ok(Outcome::Reply(Reply::Moved));
        }
        handled
    }

    async fn handle_in(
        &self,
        sessions: &SessionManager,
        session: &SessionHandle,
        call: Call,
    ) -> Result<Outcome, Refusal> {
        if let Some(version) = &call.protocol_version {
            head::check_version(version, session)?;
        }
        let principal = call.principal();
        match call.operation {
            Operation::Find => Ok(Outcome::Reply(Reply::Done)),
            Operation::Post(post) => {
                let head = Arc::new(post.head(principal));
                self.post(sessions, session, &head, *post).await
            }
            Operation::Get { last_event_id } => {
                Ok(match session::connect(session, last_event_id)? {
                    Some(connection) => Outcome::Connection {
                        connection: AnyConnection::Here(connection),
                        waits: false,
                    },
                    None => Outcome::Reply(Reply::Cancelled),
                })
            }
            Operation::Delete => {
                sessions.delete_session(session).await?;
                Ok(Outcome::Reply(Reply::Done))
            }
        }
    }

    async fn post(
        &self,
        sessions: &SessionManager,
        session: &SessionHandle,
        head: &Arc<Parts>,
        call: PostCall,
    ) -> Result<Outcome, Refusal> {
        let PostCall { is_json, body, .. } = call;
        if body.len() > self.body_bytes_max {
            let message = format!("the request body is larger than {} bytes", self.body_bytes_max);
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        let mut reservation = self.memory.reservation(Some(session.request_memory()));
        reservation.set_declared_length(body.len());
        let reserved = reservation.add_head(head).and_then(|()| reservation.grow(body.len()));
        reserved.map_err(|exhausted| match ReceiveError::from(exhausted) {
            ReceiveError::Refused(refusal) => refusal,
            ReceiveError::TooLarge => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too large"),
        })?;
        let post = post::parse(sessions.shared(), head, &body, reservation)?;
        if !post.has_request() {
            session.notify(post).await?;
            return Ok(Outcome::Reply(Reply::Done));
        }
        let format = if is_json { AnswerFormat::Json } else { AnswerFormat::Sse };
        let connection = AnyConnection::Here(session.request(post, format).await?);
        Ok(Outcome::Connection { connection, waits: is_json })
    }
}

/// Sends the events of a connection as the ingress pulls them, the first time without being asked.
/// Unless the ingress `waits` for events, it is told at once that there will be some.
async fn send_events(mut connection: AnyConnection, waits: bool, replies: &mut Replies) {
    let room = replies.room();
    let mut events = Vec::new();
    let mut is_pulled = true;
    let mut expired: Option<Duration> = None;
    if !waits && room.is_left() {
        let has_more = stream::poll_briefly(&mut connection, &mut events).await;
        if has_more && events.is_empty() {
            replies.send(&Reply::Events { events: Vec::new(), has_more, is_complete: false });
        } else {
            is_pulled = false;
            if !send(&mut connection, &mut events, has_more, replies) {
                return;
            }
        }
    }
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
            has_more = next(&mut connection, &room, &mut events), if is_pulled => {
                is_pulled = false;
                if !send(&mut connection, &mut events, has_more, replies) {
                    return;
                }
            }
        }
    }
}

/// Takes the next events, once the link has room for them: what was taken counts as acknowledged.
/// Returns whether there can be more.
async fn next(connection: &mut AnyConnection, room: &Room, events: &mut Vec<SseEvent>) -> bool {
    loop {
        room.wait().await;
        let taken = poll_fn(|cx| {
            if !room.is_left() {
                return Poll::Ready(None);
            }
            connection.poll_small_events(cx, events).map(Some)
        });
        if let Some(has_more) = taken.await {
            return has_more;
        }
    }
}

/// Sends events, or if there are none, a part of a large message. Returns whether there can be more.
fn send(
    connection: &mut AnyConnection,
    events: &mut Vec<SseEvent>,
    has_more: bool,
    replies: &Replies,
) -> bool {
    let part = if has_more && events.is_empty() { connection.take_part() } else { None };
    if let Some(part) = part {
        replies.send(&Reply::Part(part));
        return true;
    }
    let has_more = has_more && !events.is_empty();
    let is_complete = connection.is_complete();
    let events = events.drain(..).map(Into::into).collect();
    replies.send(&Reply::Events { events, has_more, is_complete });
    has_more
}
