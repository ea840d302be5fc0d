//! Messages of the backend for its client: they are recorded, or have to wait for room.

use rejoin_core::{Head, Input, Message, Overflow, Rejected, Rejection, RequestId, StreamId};

use super::{kept::Admission, shared::MemoryWaiter, state::LockedSession};
use crate::{payload::Payload, sync::oneshot};

/// A message of the backend for its client.
#[derive(Debug)]
pub(super) struct BackendMessage<P: Payload> {
    pub(super) message: Message<P::Server>,
    /// The client's request that it belongs to, if the backend knows it.
    pub(super) related: Option<RequestId>,
    /// If the message is a request, and is rejected, the backend gets an error with this code.
    pub(super) error_code: Option<i32>,
}

/// What became of a message that was not rejected.
#[derive(Debug)]
pub(super) enum Recorded<P: Payload> {
    /// It was recorded. Its sender waits for the release, if there is one.
    Yes(Option<ReleaseReceiver>),
    /// There is no room for it: it is sent again after the release, or at once if there is none.
    Full(BackendMessage<P>, Option<RoomReceiver>),
}

/// Ready when the senders that a stream holds are released.
pub(super) type ReleaseReceiver = oneshot::Receiver<()>;

/// Ready when there may be room for a message.
#[derive(Debug)]
pub(super) struct RoomReceiver {
    pub(super) released: ReleaseReceiver,
    /// If the message waits for the memory of all sessions.
    _waiter: Option<MemoryWaiter>,
}

impl RoomReceiver {
    fn in_session(released: ReleaseReceiver) -> Self {
        Self { released, _waiter: None }
    }

    pub(super) fn for_memory(released: ReleaseReceiver, waiter: MemoryWaiter) -> Self {
        Self { released, _waiter: Some(waiter) }
    }
}

impl<P: Payload> LockedSession<'_, P> {
    /// Records a message, unless it is rejected or there is no room for it.
    ///
    /// The error for a rejected request precedes any later message of the client.
    pub(super) fn record(
        &mut self,
        message: BackendMessage<P>,
        overflow: Overflow,
    ) -> Result<Recorded<P>, Rejection> {
        self.check_backend()?;
        #[cfg(feature = "store")]
        if self.take_handshake(&message.message.head) {
            return Ok(Recorded::Yes(None));
        }
        if let Admission::Waits(released) =
            self.admit(&message.message, message.related.as_ref(), overflow)
        {
            return Ok(Recorded::Full(message, released));
        }
        let BackendMessage { message, related, error_code } = message;
        let input = Input::BackendMessage { message, related, overflow };
        let (result, held_by) = self.handle_rejectable(input, None);
        let released = held_by.map(|stream| self.hold_sender(stream));
        let Err(rejected) = result else { return Ok(Recorded::Yes(released)) };
        match *rejected {
            Rejected {
                reason: Rejection::Full,
                input: Input::BackendMessage { message, related, .. },
            } => {
                let message = BackendMessage { message, related, error_code };
                Ok(Recorded::Full(message, released.map(RoomReceiver::in_session)))
            }
            Rejected { reason, input } => {
                if let Rejection::Backend(fault) = &reason
                    && let Some(code) = error_code
                    && let Input::BackendMessage { message, .. } = &input
                    && let Head::Request { id, .. } = &message.head
                {
                    self.send_to_backend(P::error_for_backend(id, code, &fault.to_string()));
                }
                Err(reason)
            }
        }
    }

    /// Holds a sender until the stream releases its senders.
    fn hold_sender(&mut self, stream: StreamId) -> ReleaseReceiver {
        let (sender, released) = oneshot::channel();
        let held_senders = &mut self.state.held_senders;
        let no_longer_wait = held_senders.extract_if(.., |(_, sender)| sender.is_closed());
        self.after_unlock.released_senders.extend(no_longer_wait.map(|(_, sender)| sender));
        held_senders.push((stream, sender));
        released
    }
}
