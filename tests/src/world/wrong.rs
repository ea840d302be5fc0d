//! Wrong inputs: what a session must refuse, whatever else goes on in it.

use rejoin_core::{
    AnswerFormat, ConnectionId, Head, Input, Message, Method, Notification, Post, Profile,
    Rejection, StreamId,
};

use super::World;
use super::agenda::ServerNo;
use super::faults::Fault;

/// What is wrong with an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The driver reserves a stream before the session has begun.
    Early,
    /// It begins a session again.
    Again,
    /// It is a batch without a message, or with too many, or not allowed at all.
    EmptyBatch,
    LongBatch,
    /// It begins a session among other things.
    AmongOthers,
    /// It has one progress token for two requests.
    Tokens,
    /// The driver does not see that there is no request, or that there is one.
    NoRequest,
    Request,
    /// The driver uses a connection twice.
    Connection,
    /// The driver gives up a stream that is not there.
    Stream,
    /// Nothing, where batches are allowed.
    Nothing,
}

/// Everything that is wrong with an input of a session that has begun.
pub(super) const WRONGS: [Wrong; 10] = [
    Wrong::Again,
    Wrong::EmptyBatch,
    Wrong::LongBatch,
    Wrong::AmongOthers,
    Wrong::Tokens,
    Wrong::NoRequest,
    Wrong::Request,
    Wrong::Connection,
    Wrong::Stream,
    Wrong::Nothing,
];

/// Never a connection of a client.
const CONNECTION: ConnectionId = ConnectionId(u64::MAX);

impl World {
    /// Lets a session have an input that it must refuse.
    pub(super) fn arrive_wrong(&mut self, no: ServerNo, wrong: Wrong) -> Result<(), String> {
        let Some(server) = self.servers.get(no).filter(|server| server.view.closed.is_none())
        else {
            return Ok(());
        };
        let used = server.view.connections.first().map(|seat| seat.connection);
        let batches = Profile::governing(server.version).batches && self.knobs.config.batch_max > 1;
        let input = match (wrong, used) {
            (Wrong::Early, _) if !server.inputs.is_empty() => return Ok(()),
            (Wrong::Early, _) => Input::Reserve { connection: CONNECTION },
            (Wrong::Connection, None) => return Ok(()),
            (Wrong::Connection, Some(connection)) => Input::Get { connection, last_event_id: None },
            (Wrong::Stream, _) => Input::Abandon { stream: StreamId::Request(u64::MAX / 2) },
            (Wrong::Request | Wrong::Nothing, _) => {
                Input::Message { post: self.post_of(no, wrong) }
            }
            (
                Wrong::Again
                | Wrong::EmptyBatch
                | Wrong::LongBatch
                | Wrong::AmongOthers
                | Wrong::Tokens
                | Wrong::NoRequest,
                _,
            ) => {
                let post = self.post_of(no, wrong);
                Input::Request { connection: CONNECTION, format: AnswerFormat::Sse, post }
            }
        };
        let is_of_driver = matches!(
            wrong,
            Wrong::Early | Wrong::NoRequest | Wrong::Request | Wrong::Connection | Wrong::Stream
        );
        let result = self.tell_server(no, input)?;
        let is_right = match &result {
            Ok(_) => wrong == Wrong::Nothing && batches,
            Err(Rejection::Closed(_)) => true,
            Err(Rejection::ApiMisuse(_)) => is_of_driver,
            Err(Rejection::Client(_)) => !is_of_driver,
            Err(Rejection::Backend(_)) => false,
        };
        if is_right {
            self.tally.struck(Fault::Wrong);
            return Ok(());
        }
        Err(format!("an input with {wrong:?} was answered by {result:?}"))
    }

    fn post_of(&mut self, no: ServerNo, wrong: Wrong) -> Post<u64> {
        let batch_max = self.knobs.config.batch_max;
        let mut say = |head: Head| -> Message<u64> { self.messages.say(no, head, 10) };
        let request = |id: i64, method| Head::Request {
            id: id.into(),
            method,
            progress_token: Some((-1).into()),
        };
        let initialize = Method::Initialize { version: None };
        let note = Head::Notification(Notification::Other);
        match wrong {
            Wrong::Again => Post::Single(say(request(-1, initialize))),
            Wrong::EmptyBatch => Post::Batch(Vec::new()),
            Wrong::LongBatch => {
                let mut messages = vec![say(request(-1, Method::Other))];
                messages.extend((0..batch_max).map(|_| say(note.clone())));
                Post::Batch(messages)
            }
            Wrong::AmongOthers => {
                Post::Batch(vec![say(request(-1, Method::Other)), say(request(-2, initialize))])
            }
            Wrong::Tokens => {
                let one = say(request(-1, Method::Other));
                Post::Batch(vec![one, say(request(-2, Method::Other))])
            }
            Wrong::Request => Post::Single(say(request(-1, Method::Other))),
            Wrong::Early | Wrong::NoRequest | Wrong::Connection | Wrong::Stream => {
                Post::Single(say(note))
            }
            Wrong::Nothing => Post::Batch(vec![say(note.clone()), say(note)]),
        }
    }
}
