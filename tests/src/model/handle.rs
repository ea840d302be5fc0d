//! Section "Handling an input".

use std::mem;

use rejoin_core::{Action, ApiMisuse, Input, Instant, Rejection, SessionCloseReason, StreamId};

use super::{Case, Model, initialize::is_from_client, state::Stage, stream::Phase};

impl Model {
    /// Applies one input. Returns the result, and the actions in order.
    pub fn handle(
        &mut self,
        now: Instant,
        input: Input<u64>,
    ) -> (Result<(), Rejection>, Vec<Action<u64>>) {
        self.now = self.now.max(now);
        self.fire_due_timers();
        let result = self.apply(input);
        (result, mem::take(&mut self.actions))
    }

    fn apply(&mut self, input: Input<u64>) -> Result<(), Rejection> {
        if let Some(reason) = self.closed {
            let is_accepted = matches!(
                input,
                Input::Tick
                    | Input::LimitBytes { .. }
                    | Input::Drain { .. }
                    | Input::Committed { .. }
                    | Input::Acknowledged { .. }
                    | Input::ConnectionClosed { .. }
            );
            return if is_accepted { Ok(()) } else { Err(Rejection::Closed(reason)) };
        }
        if self.is_unexpected(&input) {
            let reason = SessionCloseReason::ExpectedInitialize;
            self.close(reason);
            return Err(Rejection::Closed(reason));
        }
        if let Err(rejection) = self.check(&input) {
            if rejection == Rejection::Full {
                self.hold_for_room(&input);
                self.settle();
            }
            return Err(rejection);
        }
        let is_of_backend =
            matches!(input, Input::BackendMessage { .. } | Input::Disconnect { .. });
        let sets_limit = matches!(input, Input::LimitBytes { .. });
        let drains = matches!(input, Input::Drain { .. });
        let commits = matches!(input, Input::Committed { .. });
        let resets_idle_timer = !(input == Input::Tick
            || sets_limit
            || drains
            || commits
            || is_of_backend && self.is_idle());
        self.was_used |= is_from_client(&input) && matches!(self.stage, Stage::Initialized(_));
        let recorded_on = self.perform(input);
        if resets_idle_timer {
            self.reset_idle_timer();
        }
        self.hold_above_mark(recorded_on);
        let before = self.actions.len();
        self.settle();
        let releases = |action: &Action<u64>| matches!(action, Action::Release { .. });
        if sets_limit && self.actions[before..].iter().any(releases) {
            self.reach(Case::ReleasedByLimit);
        }
        Ok(())
    }

    /// Does what follows each input and each timer: shrinks, cuts connections, releases senders,
    /// and closes the session if it has drained.
    pub(super) fn settle(&mut self) {
        self.shrink();
        self.cut_stopped_readers();
        self.release_senders();
        self.close_if_drained();
        self.settled_at = self.now;
        self.lacked_room = self.any_lacks_room();
    }

    fn check(&self, input: &Input<u64>) -> Result<(), Rejection> {
        self.check_drain(input)?;
        self.check_stage(input)?;
        match input {
            Input::Post { connection, post, .. } => self.check_post(*connection, post),
            Input::Get { connection, last_event_id } => self.check_get(*connection, *last_event_id),
            Input::Abandon { stream } => self.check_abandon(*stream),
            Input::BackendMessage { message, related, overflow } => {
                self.check_backend(message, related.as_ref(), *overflow)
            }
            Input::Disconnect { stream, retry } => self.check_disconnect(*stream, retry.is_some()),
            Input::Committed { through } => self.check_committed(*through),
            Input::Acknowledged { .. }
            | Input::ConnectionClosed { .. }
            | Input::Delete
            | Input::CloseSession { .. }
            | Input::BackendGone
            | Input::BackendLost
            | Input::LimitBytes { .. }
            | Input::Drain { .. }
            | Input::Tick => Ok(()),
        }
    }

    /// Performs an accepted input. Returns the stream on which a message of the backend was
    /// recorded.
    fn perform(&mut self, input: Input<u64>) -> Option<StreamId> {
        match input {
            Input::Post { connection, format, post } => match self.stage {
                Stage::Expected => self.initialize(connection, post),
                Stage::Unanswered { .. } | Stage::Initialized(_) if post.has_request() => {
                    self.request(connection, format, post);
                }
                Stage::Unanswered { .. } | Stage::Initialized(_) => self.forward_messages(post),
            },
            Input::Get { connection, last_event_id } => self.get(connection, last_event_id),
            Input::Acknowledged { connection, through } => {
                self.on_acknowledged(connection, through);
            }
            Input::ConnectionClosed { connection, through } => {
                self.on_connection_closed(connection, through);
            }
            Input::Abandon { stream } => self.abandon(stream),
            Input::Delete => self.close(SessionCloseReason::Deleted),
            Input::CloseSession { reason } => self.close(reason),
            Input::BackendMessage { message, related, overflow } => {
                return self.backend(&message, related.as_ref(), overflow);
            }
            Input::Disconnect { stream, retry } => {
                if !self.defer_disconnect(stream, retry) {
                    self.disconnect(stream, retry, None);
                }
            }
            Input::BackendGone => self.close(SessionCloseReason::BackendGone),
            Input::BackendLost => self.lose_backend(),
            Input::Committed { through } => self.on_committed(through),
            Input::LimitBytes { bytes_max } => self.limit_bytes(bytes_max),
            Input::Drain { retry } => self.draining = Some(retry),
            Input::Tick => {}
        }
        None
    }

    fn check_abandon(&self, stream: StreamId) -> Result<(), Rejection> {
        let phase = self.streams.get(stream).map(|stream| stream.phase);
        match phase {
            Some(Phase::Open | Phase::Complete) => Ok(()),
            Some(Phase::Standalone) | None => Err(ApiMisuse::UnknownStream(stream).into()),
        }
    }

    fn check_disconnect(&self, stream: StreamId, has_retry: bool) -> Result<(), Rejection> {
        if stream == StreamId::Standalone {
            return Ok(());
        }
        if self.streams.get(stream).map(|stream| stream.phase) != Some(Phase::Open) {
            return Err(ApiMisuse::StreamNotOpen(stream).into());
        }
        if self.lacks_event_id(stream, has_retry) && !self.awaits_event_id(stream) {
            return Err(ApiMisuse::NothingToResumeFrom(stream).into());
        }
        Ok(())
    }

    /// Returns whether the client on the connection of a stream has no event id to resume after,
    /// and gets none when the stream is disconnected.
    fn lacks_event_id(&self, stream: StreamId, has_retry: bool) -> bool {
        self.attached(stream).is_some_and(|attached| {
            !(attached.has_event_id() || has_retry && self.may_send_retry(stream))
        })
    }
}
