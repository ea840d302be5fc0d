//! Section "Initialization".

use rejoin_core::{
    Action, Answer, ClientFault, CloseReason, ConnectionId, Failure, FailureReason, Head, Input,
    Message, Method, Post, Profile, Rejection, RequestId, SessionCloseReason,
};

use super::{
    Model,
    backend::cost,
    connection::{Connection, Origin, Role},
    state::Stage,
};

impl Model {
    /// Returns whether the client should have sent `initialize` instead.
    pub(super) fn is_unexpected(&self, input: &Input<u64>) -> bool {
        matches!(self.stage, Stage::Expected) && is_from_client(input) && !is_initialize(input)
    }

    /// Checks whether an input is allowed in the present stage of `initialize`.
    pub(super) fn check_stage(&self, input: &Input<u64>) -> Result<(), Rejection> {
        match self.stage {
            Stage::Unanswered { .. } | Stage::Initialized(_) if is_initialize(input) => {
                Err(ClientFault::AlreadyInitialized.into())
            }
            Stage::Unanswered { .. } if is_from_client(input) && !is_ping(input) => {
                Err(ClientFault::NotInitialized.into())
            }
            Stage::Expected | Stage::Unanswered { .. } | Stage::Initialized(_) => Ok(()),
        }
    }

    pub(super) fn initialize(&mut self, connection: ConnectionId, post: Post<u64>) {
        if let Post::Single(Message { head: Head::Request { id, .. }, body, .. }) = post {
            self.connections.push(Connection::new(connection, Role::Initialize, None));
            self.connections[connection].origin = Origin::Initialize;
            self.stage = Stage::Unanswered { id, connection };
            self.emit(Action::Forward { message: body });
        }
    }

    /// Handles the backend's response to `initialize`.
    pub(super) fn answer_initialize(&mut self, id: &RequestId, message: &Message<u64>) {
        let Stage::Unanswered { connection, .. } = self.stage else {
            return;
        };
        let fits = message.bytes <= self.config.message_bytes_max;
        let initialized = match &message.head {
            Head::Response { initialized, .. } if fits => Some(*initialized),
            Head::Response { .. }
            | Head::Request { .. }
            | Head::Notification(_)
            | Head::Error { .. } => None,
        };
        let (answer, cost) = if fits {
            (Answer::Message(message.body), cost(message))
        } else {
            (Answer::Failure(Failure { id: id.clone(), reason: FailureReason::Evicted }), 0)
        };
        let version = initialized.and_then(|initialized| initialized.version);
        self.stage = Stage::Initialized(Profile::governing(version));
        self.initialized = initialized;
        self.respond(connection, cost, answer);
        self.close_connection(connection, CloseReason::Complete);
        if initialized.is_none() {
            self.close(SessionCloseReason::InitializeRejected);
        }
    }
}

pub(super) fn is_from_client(input: &Input<u64>) -> bool {
    matches!(input, Input::Post { .. } | Input::Get { .. })
}

fn is_initialize(input: &Input<u64>) -> bool {
    matches!(method(input), Some(Method::Initialize { .. }))
}

fn is_ping(input: &Input<u64>) -> bool {
    matches!(method(input), Some(Method::Ping))
}

/// Returns the method of the single request of a POST.
fn method(input: &Input<u64>) -> Option<Method> {
    match input {
        Input::Post {
            post: Post::Single(Message { head: Head::Request { method, .. }, .. }),
            ..
        } => Some(*method),
        Input::Post { .. }
        | Input::Get { .. }
        | Input::Acknowledged { .. }
        | Input::ConnectionClosed { .. }
        | Input::Abandon { .. }
        | Input::Delete
        | Input::CloseSession { .. }
        | Input::BackendMessage { .. }
        | Input::Disconnect { .. }
        | Input::BackendGone
        | Input::BackendLost
        | Input::Committed { .. }
        | Input::LimitBytes { .. }
        | Input::Drain { .. }
        | Input::Tick => None,
    }
}
