//! Counts of inputs, rejections, actions and events, by kind.
//!
//! The macro below turns each list of kinds into an exhaustive match and a table of the
//! expected kinds, so that a new variant cannot be forgotten.

use std::collections::BTreeMap;
use std::fmt;

use rejoin_core::{
    Action, AnswerFormat, ApiMisuse, BackendFault, ClientFault, CloseReason, CutReason, Event,
    EventId, Failure, FailureReason, Head, Input, Message, Notification, Post, Rejection, Report,
    RequestOutcome, SessionCloseReason, StreamId, UnansweredReason, UndeliverableReason,
};

use crate::{
    laws::Step,
    model::{Case, Cause},
};

/// How often each kind of input, rejection, action and event was seen.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    counts: BTreeMap<&'static str, u64>,
    /// How many inputs were accepted.
    pub accepted: u64,
    /// How many were rejected.
    pub rejected: u64,
    /// How many sessions were created.
    pub sessions: u64,
    /// How many inputs the longest session had.
    pub longest: u64,
}

impl Stats {
    /// Counts a step.
    pub fn count(&mut self, step: &Step) {
        if let Input::Post { post, .. } = &step.input
            && !post.has_request()
        {
            self.add(messages(post));
        } else {
            self.add(input(&step.input));
        }
        match &step.result {
            Ok(()) => self.accepted += 1,
            Err(fault) => {
                self.rejected += 1;
                self.add(rejection(fault));
                if let (Rejection::Full, Input::BackendMessage { message, .. }) =
                    (fault, &step.input)
                {
                    self.add(full(&message.head));
                }
            }
        }
        step.actions.iter().for_each(|done| self.add(action(done)));
        let sent = step.actions.iter().filter_map(|action| {
            let Action::Send { event, .. } = action else {
                return None;
            };
            Some(event)
        });
        sent.for_each(|event| self.add(sent_event(event)));
    }

    /// Counts a case that a model has reached.
    pub fn count_case(&mut self, reached: Case) {
        self.add(case(&reached));
    }

    /// Adds the counts of another instance.
    pub fn merge(&mut self, other: &Self) {
        for (kind, count) in &other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.sessions += other.sessions;
        self.longest = self.longest.max(other.longest);
    }

    /// Iterates over the kinds that every long run must see, and that were not seen.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        self.unseen(expected())
    }

    /// Iterates over the kinds that a long run with a model must see, and that were not seen.
    pub fn missing_with_model(&self) -> impl Iterator<Item = &'static str> {
        self.unseen(expected().chain(expected_with_model()))
    }

    fn unseen(
        &self,
        kinds: impl Iterator<Item = &'static str>,
    ) -> impl Iterator<Item = &'static str> {
        kinds.filter(|kind| !self.counts.contains_key(kind))
    }

    fn add(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, rejected, sessions, longest, .. } = self;
        writeln!(f, "{accepted:>10}  inputs accepted, {rejected} rejected")?;
        writeln!(f, "{sessions:>10}  sessions, the longest of {longest} inputs")?;
        for kind in expected().chain(expected_with_model()) {
            writeln!(f, "{:>10}  {kind}", self.counts.get(kind).copied().unwrap_or(0))?;
        }
        Ok(())
    }
}

/// Iterates over every kind that a long run must see.
fn expected() -> impl Iterator<Item = &'static str> {
    let kinds = [INPUT, MESSAGES, REJECTION, ACTION, SENT_EVENT];
    kinds.into_iter().flatten().copied()
}

/// Iterates over the other kinds that a long run with a model must see.
fn expected_with_model() -> impl Iterator<Item = &'static str> {
    [FULL, CASE].into_iter().flatten().copied()
}

macro_rules! kinds {
    (
        $name:ident of $type:ty, $expected:ident
        { $($pattern:pat => $kind:expr,)* }
        never { $($unexpected:pat => $strange:expr,)* }
    ) => {
        const $expected: &[&str] = &[$($kind),*];

        fn $name(value: &$type) -> &'static str {
            match value {
                $($pattern => $kind,)*
                $($unexpected => $strange,)*
            }
        }
    };
}

kinds! {
    messages of Post<u64>, MESSAGES {
        Post::Single(_) => "input: message",
        Post::Batch(_) => "input: message, batch",
    }
    never {}
}

kinds! {
    input of Input<u64>, INPUT {
        Input::Post { format: AnswerFormat::Sse, post: Post::Single(_), .. } => "input: request",
        Input::Post { format: AnswerFormat::Json, post: Post::Single(_), .. } => {
            "input: request, JSON"
        },
        Input::Post { format: AnswerFormat::Sse, post: Post::Batch(_), .. } => {
            "input: request, batch"
        },
        Input::Post { format: AnswerFormat::Json, post: Post::Batch(_), .. } => {
            "input: request, batch, JSON"
        },
        Input::Get { last_event_id: None, .. } => "input: get",
        Input::Get { last_event_id: Some(EventId { stream: StreamId::Standalone, .. }), .. } => {
            "input: get, standalone id"
        },
        Input::Get { last_event_id: Some(EventId { stream: StreamId::Request(_), .. }), .. } => {
            "input: get, request id"
        },
        Input::Acknowledged { .. } => "input: acknowledged",
        Input::ConnectionClosed { through: Some(_), .. } => "input: connection closed",
        Input::ConnectionClosed { through: None, .. } => "input: connection closed, nothing acknowledged",
        Input::Abandon { .. } => "input: abandon",
        Input::Delete => "input: delete",
        Input::CloseSession { .. } => "input: close session",
        Input::BackendMessage { message: Message { head: Head::Request { .. }, .. }, related: None, overflow: _ } => {
            "input: server request"
        },
        Input::BackendMessage { message: Message { head: Head::Request { .. }, .. }, related: Some(_), overflow: _ } => {
            "input: server request, related"
        },
        Input::BackendMessage {
            message: Message { head: Head::Notification(Notification::Progress { .. }), .. },
            ..
        } => "input: backend progress",
        Input::BackendMessage {
            message: Message { head: Head::Notification(Notification::Cancelled { .. }), .. },
            ..
        } => "input: backend cancellation",
        Input::BackendMessage {
            message: Message { head: Head::Notification(Notification::Log), .. },
            related: None, overflow: _ } => "input: backend log message",
        Input::BackendMessage {
            message: Message { head: Head::Notification(Notification::Log), .. },
            related: Some(_), overflow: _ } => "input: backend log message, related",
        Input::BackendMessage {
            message: Message { head: Head::Notification(Notification::Other), .. },
            related: None, overflow: _ } => "input: backend notification",
        Input::BackendMessage {
            message: Message { head: Head::Notification(Notification::Other), .. },
            related: Some(_), overflow: _ } => "input: backend notification, related",
        Input::BackendMessage { message: Message { head: Head::Response { .. }, .. }, .. } => {
            "input: backend response"
        },
        Input::BackendMessage { message: Message { head: Head::Error { id: Some(_) }, .. }, .. } => {
            "input: backend error"
        },
        Input::BackendMessage { message: Message { head: Head::Error { id: None }, .. }, .. } => {
            "input: backend error without id"
        },
        Input::Disconnect { stream: StreamId::Standalone, retry: None } => {
            "input: disconnect standalone stream"
        },
        Input::Disconnect { stream: StreamId::Standalone, retry: Some(_) } => {
            "input: disconnect standalone stream, retry"
        },
        Input::Disconnect { stream: StreamId::Request(_), retry: None } => {
            "input: disconnect request stream"
        },
        Input::Disconnect { stream: StreamId::Request(_), retry: Some(_) } => {
            "input: disconnect request stream, retry"
        },
        Input::BackendGone => "input: backend gone",
        Input::BackendLost => "input: backend lost",
        Input::Committed { .. } => "input: committed",
        Input::LimitBytes { .. } => "input: limit bytes",
        Input::Drain { .. } => "input: drain",
        Input::Tick => "input: tick",
    }
    never {}
}

kinds! {
    rejection of Rejection, REJECTION {
        Rejection::Client(ClientFault::NotInitialized) => "rejection: not initialized",
        Rejection::Client(ClientFault::AlreadyInitialized) => "rejection: already initialized",
        Rejection::Client(ClientFault::RequestIdInUse(_)) => "rejection: request id in use",
        Rejection::Client(ClientFault::ProgressTokenInUse(_)) => "rejection: progress token in use",
        Rejection::Client(ClientFault::BatchNotAllowed) => "rejection: batch not allowed",
        Rejection::Client(ClientFault::BatchEmpty) => "rejection: batch empty",
        Rejection::Client(ClientFault::BatchTooLong { .. }) => "rejection: batch too long",
        Rejection::Client(ClientFault::InitializeInBatch) => "rejection: initialize in batch",
        Rejection::Client(ClientFault::MessageTooLarge { .. }) => "rejection: message too large",
        Rejection::Client(ClientFault::TooManyRequests { .. }) => "rejection: too many requests",
        Rejection::Client(ClientFault::TooManyCancelled { .. }) => "rejection: too many cancelled requests",
        Rejection::Client(ClientFault::TooManyStreams { .. }) => "rejection: too many streams",
        Rejection::Client(ClientFault::TooManyConnections { .. }) => "rejection: too many connections",
        Rejection::Client(ClientFault::StandaloneConflict) => "rejection: standalone conflict",
        Rejection::Client(ClientFault::UnknownStream(_)) => "rejection: unknown stream",
        Rejection::Client(ClientFault::FutureEvent { .. }) => "rejection: future event",
        Rejection::Client(ClientFault::CancelledStream(_)) => "rejection: cancelled stream",
        Rejection::Client(ClientFault::ExpiredStream(_)) => "rejection: expired stream",
        Rejection::Backend(BackendFault::RequestIdInUse(_)) => "rejection: server request id in use",
        Rejection::Backend(BackendFault::TooManyRequests { .. }) => {
            "rejection: too many server requests"
        },
        Rejection::Backend(BackendFault::MessageTooLarge { .. }) => {
            "rejection: message of the backend too large"
        },
        Rejection::ApiMisuse(ApiMisuse::StreamNotOpen(_)) => "rejection: stream not open",
        Rejection::ApiMisuse(ApiMisuse::NothingToResumeFrom(_)) => {
            "rejection: nothing to resume from"
        },
        Rejection::ApiMisuse(ApiMisuse::ConnectionInUse(_)) => "rejection: connection in use",
        Rejection::ApiMisuse(ApiMisuse::UnknownStream(_)) => "rejection: abandon unknown stream",
        Rejection::ApiMisuse(ApiMisuse::CommittedUnrecorded(_)) => "rejection: committed unrecorded",
        Rejection::Closed(_) => "rejection: closed",
        Rejection::Full => "rejection: full",
        Rejection::Draining => "rejection: draining",
    }
    never {
        Rejection::Client(_) | Rejection::Backend(_) | Rejection::ApiMisuse(_) => {
            unreachable!("a rejection that is not listed")
        },
    }
}

kinds! {
    full of Head, FULL {
        Head::Request { .. } => "full: server request",
        Head::Notification(Notification::Progress { .. }) => "full: progress",
        Head::Notification(Notification::Cancelled { .. }) => "full: cancellation",
        Head::Notification(Notification::Log) => "full: log message",
        Head::Notification(Notification::Other) => "full: notification",
        Head::Response { .. } => "full: response",
        Head::Error { id: Some(_) } => "full: error",
    }
    never {
        Head::Error { id: None } => unreachable!("an error without an id is not recorded"),
    }
}

kinds! {
    case of Case, CASE {
        Case::AboveLimit => "case: above the limit",
        Case::EvictedStream(Cause::NewEvent) => "case: evicted stream",
        Case::EvictedStream(Cause::Shrinking) => "case: evicted stream to shrink",
        Case::EvictedAcknowledged(Cause::NewEvent) => "case: evicted acknowledged event",
        Case::EvictedAcknowledged(Cause::Shrinking) => "case: evicted acknowledged event to shrink",
        Case::EvictedWithoutReader(Cause::NewEvent) => {
            "case: evicted event of a stream without a reader"
        },
        Case::EvictedWithoutReader(Cause::Shrinking) => {
            "case: evicted event of a stream without a reader to shrink"
        },
        Case::EvictedStuck(Cause::NewEvent) => "case: evicted event of a stuck stream",
        Case::EvictedStuck(Cause::Shrinking) => "case: evicted event of a stuck stream to shrink",
        Case::EvictedUnsent => "case: evicted unsent event",
        Case::EvictedNewResponse => "case: evicted new response",
        Case::EvictedNewRequest => "case: evicted new server request",
        Case::EvictedNewNotification => "case: evicted new notification",
        Case::CutForRoom => "case: cut for room",
        Case::ReleasedForRoom => "case: released for room",
        Case::Waited => "case: waited",
        Case::Shrinks => "case: shrinks",
        Case::CutToShrink => "case: cut to shrink",
        Case::RaisedToKept => "case: raised to what is kept",
        Case::ReleasedByLimit => "case: released by a limit",
        Case::Drains => "case: drains",
        Case::DeferredDisconnect => "case: deferred disconnect",
        Case::KeptRetryIndex => "case: index kept for a retry",
        Case::DroppedDisconnect => "case: dropped disconnect",
    }
    never {}
}

kinds! {
    action of Action<u64>, ACTION {
        Action::Forward { .. } => "action: forward",
        Action::Send { event: Event::Gap { .. }, id: EventId { stream: StreamId::Standalone, .. }, .. } => "action: gap, standalone",
        Action::Send { event: Event::Gap { .. }, id: EventId { stream: StreamId::Request(_), .. }, .. } => "action: gap, request",
        Action::Send { .. } => "action: send",
        Action::Respond { .. } => "action: respond",
        Action::Close { reason: CloseReason::Complete, .. } => "action: close, complete",
        Action::Close { reason: CloseReason::Cancelled, .. } => "action: close, cancelled",
        Action::Close { reason: CloseReason::Abandoned, .. } => "action: close, abandoned",
        Action::Close { reason: CloseReason::Requested, .. } => "action: close, requested",
        Action::Close { reason: CloseReason::TooManyShadows, .. } => "action: close, too many shadows",
        Action::Close { reason: CloseReason::SessionClosed, .. } => "action: close, session closed",
        Action::Cut { reason: CutReason::Replaced, .. } => "action: cut, replaced",
        Action::Cut { reason: CutReason::Stalled, .. } => "action: cut, stalled",
        Action::FailServerRequest { reason: UnansweredReason::Undelivered, .. } => "action: fail, undelivered",
        Action::FailServerRequest { reason: UnansweredReason::Evicted, .. } => "action: fail, evicted",
        Action::FailServerRequest { reason: UnansweredReason::Cancelled, .. } => "action: fail, cancelled",
        Action::FailServerRequest { reason: UnansweredReason::TimedOut, .. } => "action: fail, timed out",
        Action::Discard { .. } => "action: discard",
        Action::CancelRequest { .. } => "action: cancel",
        Action::Hold { stream: StreamId::Standalone } => "action: hold, standalone",
        Action::Hold { stream: StreamId::Request(_) } => "action: hold, request",
        Action::Release { stream: StreamId::Standalone } => "action: release, standalone",
        Action::Release { stream: StreamId::Request(_) } => "action: release, request",
        Action::SessionClosed { reason: SessionCloseReason::Deleted, .. } => "closed: deleted",
        Action::SessionClosed { reason: SessionCloseReason::ServerShutdown, .. } => "closed: server shutdown",
        Action::SessionClosed { reason: SessionCloseReason::Cancelled, .. } => "closed: cancelled",
        Action::SessionClosed { reason: SessionCloseReason::InternalError, .. } => "closed: internal error",
        Action::SessionClosed { reason: SessionCloseReason::ExpectedInitialize, .. } => "closed: expected initialize",
        Action::SessionClosed { reason: SessionCloseReason::InitializeRejected, .. } => "closed: initialize rejected",
        Action::SessionClosed { reason: SessionCloseReason::InitializeTimeout, .. } => "closed: initialize timeout",
        Action::SessionClosed { reason: SessionCloseReason::InitializeUnacknowledged, .. } => "closed: initialize unacknowledged",
        Action::SessionClosed { reason: SessionCloseReason::Idle, .. } => "closed: idle",
        Action::SessionClosed { reason: SessionCloseReason::BackendGone, .. } => "closed: backend gone",
        Action::Commit(_) => "action: commit",
        Action::Report(Report::Undeliverable { reason: UndeliverableReason::UnknownRequest, .. }) => {
            "report: undeliverable, unknown request"
        },
        Action::Report(Report::Undeliverable { reason: UndeliverableReason::CancelledRequest, .. }) => {
            "report: undeliverable, cancelled request"
        },
        Action::Report(Report::Undeliverable { reason: UndeliverableReason::UnknownServerRequest, .. }) => {
            "report: undeliverable, unknown server request"
        },
        Action::Report(Report::ResponseEvicted { .. }) => "report: response evicted",
        Action::Report(Report::ResponseLost { .. }) => "report: response lost",
        Action::Report(Report::UnknownProgressToken { .. }) => "report: unknown progress token",
        Action::Report(Report::RequestEnded { outcome: RequestOutcome::Result, .. }) => "report: request ended, result",
        Action::Report(Report::RequestEnded { outcome: RequestOutcome::Error, .. }) => "report: request ended, error",
        Action::Report(Report::RequestEnded { outcome: RequestOutcome::TooLarge, .. }) => "report: request ended, too large",
        Action::Report(Report::RequestEnded { outcome: RequestOutcome::Cancelled, .. }) => "report: request ended, cancelled",
        Action::Report(Report::RequestEnded { outcome: RequestOutcome::Abandoned, .. }) => "report: request ended, abandoned",
        Action::Report(Report::RequestEnded { outcome: RequestOutcome::Orphaned, .. }) => "report: request ended, orphaned",
        Action::Report(Report::RequestEnded { outcome: RequestOutcome::BackendLost, .. }) => "report: request ended, backend lost",
        Action::Report(Report::StreamExpired { .. }) => "report: stream expired",
        Action::Report(Report::ReaderStalled { .. }) => "report: reader stalled",
    }
    never {
        // Histories have one process.
        Action::SessionClosed { reason: SessionCloseReason::Moved, .. } => "closed: moved",
        // No history is long enough to exhaust a counter.
        Action::SessionClosed { reason: SessionCloseReason::Exhausted, .. } => "closed: exhausted",
        Action::Report(_) => unreachable!("a report that is not listed"),
    }
}

kinds! {
    sent_event of Event<u64>, SENT_EVENT {
        Event::Message(_) => "sent: message",
        Event::Failure(Failure { reason: FailureReason::BackendGone, .. }) => "sent: backend gone",
        Event::Failure(Failure { reason: FailureReason::SessionClosed, .. }) => "sent: session closed",
        Event::Failure(Failure { reason: FailureReason::Evicted, .. }) => "sent: evicted",
        Event::Failure(Failure { reason: FailureReason::Expired, .. }) => "sent: expired",
        Event::Failure(Failure { reason: FailureReason::Orphaned, .. }) => "sent: orphaned",
        Event::Priming { retry: None } => "sent: priming",
        Event::Priming { retry: Some(_) } => "sent: priming, retry",
        Event::Gap { .. } => "sent: gap",
    }
    never {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_kinds_are_unique() {
        let mut kinds: Vec<&str> = expected().chain(expected_with_model()).collect();
        let count = kinds.len();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), count);
    }

    #[test]
    fn unseen_kinds_are_missing() {
        let mut stats = Stats::default();
        assert_eq!(stats.missing().count(), expected().count());
        stats.add("input: tick");
        assert_eq!(stats.missing().count(), expected().count() - 1);
        stats.count_case(Case::CutForRoom);
        let with_model = expected_with_model().count() - 1;
        assert_eq!(stats.missing_with_model().count(), stats.missing().count() + with_model);
    }
}
