//! From the child to its client, and to the log.

use std::vec::IntoIter;

use bytes::Bytes;
use rejoin_core::{Head, RequestId};
use tokio::{
    io,
    process::{ChildStderr, ChildStdout},
};

use super::{
    extension::{self, ChildMessage},
    lines::{Line, Lines},
    outline::OutlineScanner,
    parse::{self, AffectedRequests, LineLimits, Part, PendingRequests},
    printable::Printable,
    uncertain::UncertainRequests,
};
use crate::{
    ClientSender, SendError, SessionId, backend::client_sender::wait_for_release,
    session::ReleaseReceiver,
};

/// How much of a line is shown in the log, in bytes.
pub(super) const LOGGED_LINE_BYTES_MAX: usize = 4 << 10;

/// JSON-RPC 2.0, section 5.1.
const INVALID_REQUEST: i32 = -32_600;

/// Why a child says nothing more to its client.
#[derive(Debug)]
pub(super) enum StdoutEnd {
    Eof,
    Failed(io::Error),
}

/// Tells the client of a session what its child says.
pub(super) struct StdoutForwarder {
    client: ClientSender,
    limits: LineLimits,
    /// The line that is being told.
    line: Bytes,
    /// What is left of it: at most as many parts as a batch may have, or [`read::parts`] finds.
    parts: IntoIter<Part>,
    uncertain: UncertainRequests,
}

impl PendingRequests for ClientSender {
    fn contains(&self, id: &RequestId) -> bool {
        self.is_unanswered(id)
    }

    fn only(&self) -> Option<RequestId> {
        self.sole_unanswered()
    }
}

impl StdoutForwarder {
    pub(super) fn new(client: ClientSender) -> Self {
        // A session that has ended takes no message.
        let (batch_max, depth_max) = client.message_limits().unwrap_or_default();
        let limits = LineLimits { batch_max, depth_max };
        let (line, parts, doubts) =
            (Bytes::new(), IntoIter::default(), UncertainRequests::default());
        Self { client, limits, line, parts, uncertain: doubts }
    }

    /// Tells the client what the child says, until its stdout ends. Cancel-safe but for the
    /// rest of a line that is too long.
    ///
    /// It does not read on while it waits for the client, and so in time the child waits, too.
    pub(super) async fn forward(&mut self, stdout: &mut Lines<ChildStdout>) -> StdoutEnd {
        loop {
            self.forward_rest().await;
            let line = tokio::select! {
                biased;
                request = self.uncertain.next_expired() => {
                    self.fail_request(request, "other text comes before it in its line");
                    continue;
                }
                line = stdout.next() => line,
            };
            match line {
                Ok(Some(Line::Complete(line))) => self.start_line(line),
                Ok(Some(Line::Truncated(beginning))) => {
                    if let Err(error) = self.handle_too_long(beginning, stdout).await {
                        return StdoutEnd::Failed(error);
                    }
                }
                Ok(None) => return StdoutEnd::Eof,
                Err(error) => return StdoutEnd::Failed(error),
            }
        }
    }

    /// Takes a line, to tell the client what it says.
    pub(super) fn start_line(&mut self, line: Bytes) {
        self.parts = parse::split_line(&line, self.limits).into_iter();
        self.line = line;
    }

    /// Tells the client what is left of a line. Cancel-safe.
    pub(super) async fn forward_rest(&mut self) {
        while let Some(part) = self.parts.next() {
            wait_for_release(self.forward_part(part)).await;
        }
        self.line = Bytes::new();
    }

    /// Tells the client what is left of a line, and does not wait while it trails.
    pub(super) fn forward_rest_without_waiting(&mut self) {
        while let Some(part) = self.parts.next() {
            drop(self.forward_part(part));
        }
        self.line = Bytes::new();
    }

    /// Returns what has to be waited for before more is said.
    fn forward_part(&mut self, part: Part) -> Option<ReleaseReceiver> {
        match part {
            Part::Message { head, body } => {
                let (head, body) = parse::restore_request_id(head, body, &self.client);
                if let Some(request) = parse::answered_request(&head) {
                    self.uncertain.remove(request);
                }
                self.send(head, &body)
            }
            Part::Unreadable { bytes, why, code } => {
                self.end_affected(parse::affected_requests(&bytes, &self.client), &why, code);
                self.log_ignored(&self.line, &why);
                None
            }
        }
    }

    /// Treats a line that is longer than allowed: each call that it answers fails as soon as
    /// its id is read, and nothing else does.
    pub(super) async fn handle_too_long(
        &mut self,
        beginning: Bytes,
        stdout: &mut Lines<ChildStdout>,
    ) -> io::Result<()> {
        let why = format!("it is longer than {} bytes", stdout.bytes_max());
        self.log_ignored(&beginning, &why);
        let (mut outlines, mut consequences) =
            (OutlineScanner::default(), AffectedRequests::default());
        let mut see = |part: &[u8]| {
            outlines.feed(part, |outline| consequences.add(outline, &self.client));
            if let Some(outline) = outlines.take_decided() {
                consequences.add(outline, &self.client);
            }
            self.end_affected(consequences.take(), &why, INVALID_REQUEST);
        };
        see(&beginning);
        drop(beginning);
        stdout.read_rest(&mut see).await?;
        if let Some(outline) = outlines.finish() {
            consequences.add(outline, &self.client);
        }
        consequences.finish(&self.client);
        self.end_affected(consequences, &why, INVALID_REQUEST);
        Ok(())
    }

    fn send(&self, head: Head, body: &Bytes) -> Option<ReleaseReceiver> {
        let session = self.client.session_id().short();
        let related = match extension::parse(body) {
            ChildMessage::Forward { related } => related,
            ChildMessage::Disconnect(close) => {
                if let Err(error) = self.client.disconnect(&close.request, close.retry()) {
                    tracing::debug!(%session, %error, "connection is not closed for the server");
                }
                return None;
            }
            ChildMessage::Invalid(error) => {
                tracing::warn!(%session, %error, "server says something to rejoin that is not understood");
                return None;
            }
        };
        match self.client.start_send_or_reject(head, body.clone(), related, INVALID_REQUEST) {
            Ok(wait) => wait,
            Err(SendError::Ended) => None,
            Err(error) => {
                self.log_ignored(body, &error.to_string());
                None
            }
        }
    }

    /// Ends the requests of both sides that wait for something that cannot be read.
    fn end_affected(&mut self, consequences: AffectedRequests, why: &str, code: i32) {
        let AffectedRequests { failed, uncertain: doubted, refused, .. } = consequences;
        for id in failed {
            self.fail_request(id, why);
        }
        for id in doubted {
            self.uncertain.add(id);
        }
        for id in &refused {
            self.client.reject_server_request(id, code, why);
        }
    }

    /// Ends a request of the client, unless it has ended.
    fn fail_request(&self, id: RequestId, why: &str) {
        if self.client.is_unanswered(&id) {
            let session = self.client.session_id().short();
            tracing::warn!(%session, %id, "request fails, because its answer cannot be read");
            self.client.fail_request(id, &format!("the server's answer cannot be read: {why}"));
        }
    }

    fn log_ignored(&self, line: &[u8], why: &str) {
        let session = self.client.session_id().short();
        tracing::warn!(%session, error = %why, "line of the server was dropped");
        tracing::debug!(%session, line = %Printable(logged_part(line)), "the line that was dropped");
    }
}

/// Returns as much of a line as is shown in the log.
fn logged_part(line: &[u8]) -> &[u8] {
    line.get(..LOGGED_LINE_BYTES_MAX).unwrap_or(line)
}

/// What the child writes to its stderr.
pub(super) struct Stderr {
    lines: Lines<ChildStderr>,
    session: SessionId,
    /// The beginning of the last line that is not blank: at most [`LAST_BYTES_MAX`] bytes.
    last: Bytes,
}

/// How much of the last line of its stderr a client is told of, in bytes.
const LAST_BYTES_MAX: usize = 256;

impl Stderr {
    pub(super) fn new(stderr: ChildStderr, session: SessionId) -> Self {
        Self { lines: Lines::new(stderr, LOGGED_LINE_BYTES_MAX), session, last: Bytes::new() }
    }

    /// Logs it for another session from now on.
    pub(super) fn set_session(&mut self, session: SessionId) {
        self.session = session;
    }

    /// Logs it. Cancel-safe.
    pub(super) async fn log(&mut self) {
        let session = self.session.short();
        // What cannot be read is at its end, too.
        while let Ok(Some(line)) = self.lines.next().await {
            let (line, more) = match &line {
                Line::Complete(line) => (line, ""),
                Line::Truncated(line) => (line, "…"),
            };
            tracing::info!(target: "rejoin::stderr", %session, "{}{more}", Printable(line));
            if !line.trim_ascii().is_empty() {
                self.last = Bytes::copy_from_slice(line.get(..LAST_BYTES_MAX).unwrap_or(line));
            }
        }
    }

    /// Returns the last line so far, if there was one.
    pub(super) fn last(&self) -> Option<Printable<'_>> {
        (!self.last.is_empty()).then_some(Printable(&self.last))
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::Pin, time::Duration};

    use futures_core::Stream as _;
    use parking_lot::Mutex;
    use rejoin_core::{AnswerFormat, Config};
    use tokio::time::timeout;

    use super::*;
    use crate::{
        Backend, ClientMessages, Connection, ManagerConfig, OpenError, SessionManager, SseEvent,
        message,
    };

    const MESSAGES: u64 = 8;

    /// A backend that is spoken for elsewhere.
    #[derive(Default)]
    struct TestBackend(std::sync::Arc<Mutex<Vec<(ClientSender, ClientMessages)>>>);

    impl Backend for TestBackend {
        async fn open(
            &self,
            client: ClientSender,
            messages: ClientMessages,
        ) -> Result<(), OpenError> {
            self.0.lock().push((client, messages));
            Ok(())
        }
    }

    async fn next(connection: &mut Connection) -> Option<SseEvent> {
        poll_fn(|cx| Pin::new(&mut *connection).poll_next(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_a_line_is_not_lost_where_nobody_waits_for_its_reader() {
        // Half of what a session may keep is less than three events.
        let session = Config {
            window_events_max: 1,
            stream_events_max: 4,
            session_bytes_max: 1_000,
            ..Config::default()
        };
        let doors = TestBackend::default();
        let opened = std::sync::Arc::clone(&doors.0);
        let settings = ManagerConfig { session, ..ManagerConfig::default() };
        let sessions = SessionManager::new(doors, settings).unwrap();
        let post = r#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#;
        let post = message::parse_message(Bytes::from_static(post.as_bytes()), 0).unwrap();
        let (session, mut connection) =
            sessions.initialize_session(post, AnswerFormat::Sse).await.unwrap();
        let (client, _messages) = opened.lock().pop().unwrap();
        let mut forwarder = StdoutForwarder::new(client);
        forwarder.start_line(
            r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#.into(),
        );
        forwarder.forward_rest().await;
        while next(&mut connection).await.is_some() {}
        let mut standalone = session.standalone().unwrap();
        assert!(matches!(next(&mut standalone).await, Some(SseEvent::Priming { .. })));

        let messages = [r#"{"jsonrpc":"2.0","method":"n"}"#; 8].join("");
        forwarder.start_line(messages.into());
        let held = timeout(Duration::from_millis(1), forwarder.forward_rest()).await;
        assert!(held.is_err() && forwarder.parts.len() > 0, "a slow reader holds it up");
        forwarder.forward_rest_without_waiting();
        let is_last = |event: &SseEvent| matches!(event, SseEvent::Message { id: Some(id), .. } if id.index == MESSAGES);
        let mut is_said = false;
        while !is_said && let Some(event) = next(&mut standalone).await {
            is_said = is_last(&event);
        }
        assert!(is_said);
    }
}
