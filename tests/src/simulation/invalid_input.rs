//! Invalid inputs, which a session must reject in any state.

use rejoin_core::{
    AnswerFormat, ConnectionId, Head, Input, Message, Method, Notification, Post, Profile,
    Rejection, StreamId,
};

use super::Simulation;
use super::event_queue::ServerNo;
use crate::kit::Fault;

/// What makes an input invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InvalidInput {
    /// A second `initialize`.
    SecondInitialize,
    /// A batch that is empty, or too long, or not allowed at all.
    EmptyBatch,
    OversizedBatch,
    /// An `initialize` in a batch with other requests.
    InitializeInBatch,
    /// Two requests with the same progress token.
    DuplicateToken,
    /// The driver opens a connection that is in use.
    ConnectionInUse,
    /// The driver abandons an unknown stream.
    UnknownStream,
    /// Not invalid, where batches are allowed.
    ValidBatch,
}

/// Everything that is invalid in an initialized session.
pub(super) const INVALID_INPUTS: [InvalidInput; 8] = [
    InvalidInput::SecondInitialize,
    InvalidInput::EmptyBatch,
    InvalidInput::OversizedBatch,
    InvalidInput::InitializeInBatch,
    InvalidInput::DuplicateToken,
    InvalidInput::ConnectionInUse,
    InvalidInput::UnknownStream,
    InvalidInput::ValidBatch,
];

/// Never the connection of a client.
pub(super) const CONNECTION: ConnectionId = ConnectionId(u64::MAX);

impl Simulation {
    /// Passes an invalid input to a session, and checks its rejection.
    pub(super) fn deliver_invalid(
        &mut self,
        no: ServerNo,
        invalid: InvalidInput,
    ) -> Result<(), String> {
        let Some(server) = self.servers.get(no).filter(|server| server.view.closed.is_none())
        else {
            return Ok(());
        };
        let used = server.view.connections.first().map(|conn| conn.connection);
        let batches =
            Profile::governing(server.version).batches && self.parameters.config.batch_max > 1;
        let input = match (invalid, used) {
            (InvalidInput::ConnectionInUse, None) => return Ok(()),
            (InvalidInput::ConnectionInUse, Some(connection)) => {
                Input::Get { connection, last_event_id: None }
            }
            (InvalidInput::UnknownStream, _) => {
                Input::Abandon { stream: StreamId::Request(u64::MAX / 2) }
            }
            (
                InvalidInput::SecondInitialize
                | InvalidInput::EmptyBatch
                | InvalidInput::OversizedBatch
                | InvalidInput::InitializeInBatch
                | InvalidInput::DuplicateToken
                | InvalidInput::ValidBatch,
                _,
            ) => {
                let post = self.invalid_post(no, invalid);
                Input::Post { connection: CONNECTION, format: AnswerFormat::Sse, post }
            }
        };
        let is_of_driver =
            matches!(invalid, InvalidInput::ConnectionInUse | InvalidInput::UnknownStream);
        let result = self.handle_input(no, input)?;
        let is_expected = match &result {
            Ok(()) => invalid == InvalidInput::ValidBatch && batches,
            Err(Rejection::Closed(_)) => true,
            Err(Rejection::ApiMisuse(_)) => is_of_driver,
            Err(Rejection::Client(_) | Rejection::Draining) => !is_of_driver,
            Err(Rejection::Backend(_) | Rejection::Full) => false,
        };
        if is_expected {
            self.coverage.hit_fault(Fault::InvalidInput);
            return Ok(());
        }
        Err(format!("an input with {invalid:?} returned {result:?}"))
    }

    fn invalid_post(&mut self, no: ServerNo, invalid: InvalidInput) -> Post<u64> {
        let batch_max = self.parameters.config.batch_max;
        let mut create = |head: Head| -> Message<u64> { self.messages.create(no, head, 10) };
        let request = |id: i64, method| Head::Request {
            id: id.into(),
            method,
            progress_token: Some((-1).into()),
        };
        let initialize = Method::Initialize { version: None };
        let notification = Head::Notification(Notification::Other);
        match invalid {
            InvalidInput::SecondInitialize => Post::Single(create(request(-1, initialize))),
            InvalidInput::EmptyBatch => Post::Batch(Vec::new()),
            InvalidInput::OversizedBatch => {
                let mut messages = vec![create(request(-1, Method::Other))];
                messages.extend((0..batch_max).map(|_| create(notification.clone())));
                Post::Batch(messages)
            }
            InvalidInput::InitializeInBatch => Post::Batch(vec![
                create(request(-1, Method::Other)),
                create(request(-2, initialize)),
            ]),
            InvalidInput::DuplicateToken => {
                let first = create(request(-1, Method::Other));
                Post::Batch(vec![first, create(request(-2, Method::Other))])
            }
            InvalidInput::ConnectionInUse | InvalidInput::UnknownStream => {
                Post::Single(create(notification))
            }
            InvalidInput::ValidBatch => {
                Post::Batch(vec![create(notification.clone()), create(notification)])
            }
        }
    }
}
