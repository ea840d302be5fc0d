//! What the machine posts: each message in the session that it belongs to.

use std::collections::{BTreeMap, BTreeSet};

use rejoin_core::client::{self, Content, ExchangeId};
use rejoin_core::{Head, Message, Method, Notification, RequestId};

use super::link::Link;
use super::world::World;

/// The messages that the machine may send by itself, and where. Each is one message, however often
/// it is posted: the simulation notices messages that are executed twice.
#[derive(Debug, Default)]
pub(super) struct OwnMessages {
    /// The sessions that the application has begun.
    of_application: BTreeSet<usize>,
    /// `notifications/initialized`, by the session that the machine has begun.
    initialized: BTreeMap<usize, u64>,
    /// Errors for requests that the application did not get, by session and request.
    busy: BTreeMap<(usize, RequestId), u64>,
    /// Errors in place of responses of the application, by session and request.
    dropped: BTreeMap<(usize, RequestId), u64>,
}

impl World {
    /// Notes what the machine may send after an event of a session.
    pub(super) fn expect_posts(
        &mut self,
        exchange: ExchangeId,
        session: usize,
        event: &client::Event<u64>,
    ) {
        for Message { head, .. } in &event.messages {
            match head {
                Head::Response { id, .. } => self.expect_initialized(exchange, session, id),
                Head::Request { id, .. } if self.session == Some(session) && !self.has_room() => {
                    let body = self.create_error(id);
                    self.own.busy.insert((session, id.clone()), body);
                }
                Head::Request { .. } | Head::Notification(_) | Head::Error { .. } => {}
            }
        }
    }

    fn expect_initialized(&mut self, exchange: ExchangeId, session: usize, id: &RequestId) {
        let Some(request) = self.requests.get(id) else { return };
        let sent = self.messages.get(request.body).map(|sent| &sent.head);
        if !sent.is_some_and(is_initialize) {
            return;
        }
        if request.outcome.is_none() {
            self.own.of_application.insert(session);
        } else if self.links.get(&exchange).is_some_and(Link::opens_session) {
            let head = Head::Notification(Notification::Other);
            let body = self.messages.create(0, head, 60).body;
            self.own.initialized.insert(session, body);
        }
    }

    /// Notes that the application gives the machine the response to a request of a session.
    pub(super) fn expect_dropped(&mut self, session: usize, request: RequestId) {
        let body = self.create_error(&request);
        self.own.dropped.insert((session, request), body);
    }

    fn create_error(&mut self, request: &RequestId) -> u64 {
        self.messages.create(0, Head::Error { id: Some(request.clone()) }, 60).body
    }

    /// Returns the message that the machine posts.
    ///
    /// # Errors
    ///
    /// It does not belong to this session.
    pub(super) fn posted_message(
        &mut self,
        session: Option<usize>,
        content: &Content<u64>,
    ) -> Result<Message<u64>, String> {
        let body = match content {
            Content::Message(body) => self.check_session(session, *body).map(|()| *body)?,
            Content::Initialized | Content::Busy { .. } | Content::Dropped { .. } => {
                let own = session.and_then(|session| self.own_message(session, content));
                own.ok_or_else(|| {
                    format!("{content:?} was posted in session {session:?}, and not expected there")
                })?
            }
        };
        let sent = self.messages.get(body).ok_or("an unknown message")?;
        Ok(Message { head: sent.head.clone(), body, bytes: 100 })
    }

    fn own_message(&mut self, session: usize, content: &Content<u64>) -> Option<u64> {
        let (hit, own) = match content {
            Content::Message(_) => return None,
            Content::Initialized => ("posted: initialized", self.own.initialized.get(&session)),
            Content::Busy { request } => {
                ("posted: busy", self.own.busy.get(&(session, request.clone())))
            }
            Content::Dropped { request } => {
                ("posted: dropped", self.own.dropped.get(&(session, request.clone())))
            }
        };
        self.coverage.hit(hit);
        own.copied()
    }

    /// Checks the session in which a message of the application is posted.
    fn check_session(&mut self, session: Option<usize>, body: u64) -> Result<(), String> {
        let expected = if let Some((server, _)) = self.answers.get(&body) {
            self.coverage.hit("posted: response");
            Some(*server)
        } else if let Some(request) = self.cancellations.get(&body) {
            self.coverage.hit("posted: cancellation");
            self.posted.get(request).copied().flatten()
        } else {
            session
        };
        if session != expected {
            return Err(format!(
                "message {body} belongs to session {expected:?}, but was posted in {session:?}"
            ));
        }
        self.posted.insert(body, session);
        let sent = self.messages.get(body).ok_or("an unknown message")?;
        match session {
            None if is_initialize(&sent.head) => Ok(()),
            Some(no) if self.is_initialized_at_server(no) => Ok(()),
            _ => Err(format!("message {body} was posted in {session:?} before `initialized`")),
        }
    }

    /// Returns whether the machine may use a session: it was begun by the application, or its server
    /// has the notification of the machine.
    fn is_initialized_at_server(&self, session: usize) -> bool {
        let notification = self.own.initialized.get(&session);
        self.own.of_application.contains(&session)
            || notification.is_some_and(|body| self.executed.contains_key(body))
    }
}

fn is_initialize(head: &Head) -> bool {
    matches!(head, Head::Request { method: Method::Initialize { .. }, .. })
}
