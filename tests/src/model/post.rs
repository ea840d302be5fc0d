//! Sections "A POST with requests" and "A POST without requests".

use rejoin_core::{
    Action, AnswerFormat, ApiMisuse, ClientFault, Config, ConnectionId, Head, Message, Method,
    Notification, Post, Profile, Rejection, Report, RequestId, StreamId, UndeliverableReason,
};

use super::{
    Model,
    connection::{Connection, Origin, Role},
    state::Stage,
    stream::{Phase, Request, Status, Stream},
};

impl Model {
    pub(super) fn check_post(
        &self,
        connection: ConnectionId,
        post: &Post<u64>,
    ) -> Result<(), Rejection> {
        if let Stage::Expected = self.stage {
            return self.check_sizes(post);
        }
        if is_batch(post) && messages(post).is_empty() {
            return Err(ClientFault::BatchEmpty.into());
        }
        let is_known = self.connections.get(connection).is_some();
        if post.has_request() && is_known {
            return Err(ApiMisuse::ConnectionInUse(connection).into());
        }
        self.check_batch(post)?;
        if is_batch(post) && messages(post).iter().any(is_initialize) {
            return Err(ClientFault::InitializeInBatch.into());
        }
        if !post.has_request() {
            return self.check_sizes(post);
        }
        self.check_messages(messages(post))?;
        self.check_streams()?;
        self.check_connections()
    }

    pub(super) fn request(
        &mut self,
        connection: ConnectionId,
        format: AnswerFormat,
        post: Post<u64>,
    ) {
        let stream = StreamId::Request(self.next_number);
        self.next_number += 1;
        self.streams.push(Stream::new(stream, Phase::Open));
        self.connections.push(Connection::new(connection, Role::Attached, Some(stream)));
        let number = self.take_number();
        let it = &mut self.streams[stream];
        it.last_number = number;
        it.requests = messages(&post).iter().filter_map(request).collect();
        for request in &it.requests {
            self.tasks.retain(|token| request.token.as_ref() != Some(token));
        }
        let is_sse = format == AnswerFormat::Sse || is_batch(&post);
        let it = &mut self.connections[connection];
        it.is_sse = is_sse;
        it.origin = if is_sse { Origin::Other } else { Origin::Json(stream) };
        self.commit_opening(stream, is_sse);
        self.attach(connection, stream, 0, is_sse && !self.config.commits);
        self.forward_messages(post);
    }

    /// Handles the messages of a POST.
    pub(super) fn forward_messages(&mut self, post: Post<u64>) {
        let messages = match post {
            Post::Single(message) => vec![message],
            Post::Batch(messages) => messages,
        };
        for Message { head, body, .. } in messages {
            match head {
                Head::Notification(Notification::Cancelled { request }) => {
                    self.emit(Action::Forward { message: body });
                    if let Some(stream) = self.stream_of(&request) {
                        self.cancel_by_client(stream, &request);
                    }
                }
                Head::Request { id, .. } if self.stream_of(&id).is_none() => {}
                Head::Request { .. } | Head::Notification(_) => {
                    self.emit(Action::Forward { message: body });
                }
                Head::Response { id, .. } => self.answer_server_request(Some(id), body),
                Head::Error { id } => self.answer_server_request(id, body),
            }
        }
    }

    fn answer_server_request(&mut self, id: Option<RequestId>, body: u64) {
        match id {
            Some(id) if self.server_request(&id).is_some() => {
                self.end_server_request(&id, false);
                self.emit(Action::Forward { message: body });
            }
            id => {
                let reason = UndeliverableReason::UnknownServerRequest;
                self.emit(Action::Report(Report::Undeliverable { id, reason }));
            }
        }
    }

    fn check_batch(&self, post: &Post<u64>) -> Result<(), ClientFault> {
        let profile = match self.stage {
            Stage::Initialized(profile) => profile,
            Stage::Expected | Stage::Unanswered { .. } => Profile::governing(None),
        };
        let max = self.config.batch_max;
        if is_batch(post) && !profile.batches {
            Err(ClientFault::BatchNotAllowed)
        } else if is_batch(post) && messages(post).len() > max {
            Err(ClientFault::BatchTooLong { max })
        } else {
            Ok(())
        }
    }

    fn check_messages(&self, messages: &[Message<u64>]) -> Result<(), ClientFault> {
        let mut ids = Vec::new();
        let mut tokens = Vec::new();
        for message in messages {
            self.check_size(message)?;
            let Head::Request { id, progress_token, .. } = &message.head else {
                continue;
            };
            if self.is_in_use(id) || ids.contains(id) {
                return Err(ClientFault::RequestIdInUse(id.clone()));
            }
            ids.push(id.clone());
            if let Some(token) = progress_token {
                if self.stream_of_token(token).is_some() || tokens.contains(token) {
                    return Err(ClientFault::ProgressTokenInUse(token.clone()));
                }
                tokens.push(token.clone());
            }
        }
        let pending = self.pending_requests() + ids.len();
        let Config { pending_requests_max, cancelled_requests_max, .. } = self.config;
        if pending > pending_requests_max {
            return Err(ClientFault::TooManyRequests { max: pending_requests_max });
        }
        if pending + self.reserved_ids.len()
            > pending_requests_max.saturating_add(cancelled_requests_max)
        {
            return Err(ClientFault::TooManyCancelled { max: cancelled_requests_max });
        }
        Ok(())
    }

    fn check_sizes(&self, post: &Post<u64>) -> Result<(), Rejection> {
        for message in messages(post) {
            self.check_size(message)?;
        }
        Ok(())
    }

    fn check_size(&self, message: &Message<u64>) -> Result<(), ClientFault> {
        let max = self.config.message_bytes_max;
        if message.bytes > max { Err(ClientFault::MessageTooLarge { max }) } else { Ok(()) }
    }

    pub(super) fn check_streams(&self) -> Result<(), Rejection> {
        let max = self.config.streams_max;
        let in_use = self.streams.iter().filter(|stream| stream.is_in_use()).count();
        if in_use >= max { Err(ClientFault::TooManyStreams { max }.into()) } else { Ok(()) }
    }

    pub(super) fn check_connections(&self) -> Result<(), Rejection> {
        let max = self.config.connections_max;
        let known = self.connections.len();
        if known >= max { Err(ClientFault::TooManyConnections { max }.into()) } else { Ok(()) }
    }
}

fn messages(post: &Post<u64>) -> &[Message<u64>] {
    match post {
        Post::Single(message) => std::slice::from_ref(message),
        Post::Batch(messages) => messages,
    }
}

fn is_batch(post: &Post<u64>) -> bool {
    matches!(post, Post::Batch(_))
}

fn is_initialize(message: &Message<u64>) -> bool {
    matches!(message.head, Head::Request { method: Method::Initialize { .. }, .. })
}

fn request(message: &Message<u64>) -> Option<Request> {
    match &message.head {
        Head::Request { id, progress_token, .. } => {
            Some(Request { id: id.clone(), token: progress_token.clone(), status: Status::Pending })
        }
        Head::Notification(_) | Head::Response { .. } | Head::Error { .. } => None,
    }
}
