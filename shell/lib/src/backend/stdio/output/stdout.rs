//! Stdout of a child, which goes to its client.

use std::vec::IntoIter;

use bytes::Bytes;
use rejoin_core::{Head, RequestId};
use tokio::{
    io,
    process::ChildStdout,
    time::{Instant, timeout, timeout_at},
};

use super::{
    LINGER_TIMEOUT, LOGGED_LINE_BYTES_MAX,
    affected::AffectedRequests,
    extension::{self, ChildMessage},
    lines::{Line, Lines},
    pending::{answered_request, restore_request_id},
    printable::Printable,
    scanner::OutlineScanner,
    split::{INVALID_REQUEST, LineLimits, Part, split_line},
    uncertain::UncertainRequests,
};
use crate::{ClientSender, SendError, Sent};

/// Why no more can be read from the stdout of a child.
#[derive(Debug)]
pub(crate) enum StdoutEnd {
    Eof,
    Failed(io::Error),
}

/// Forwards the stdout of a child to the client of its session.
pub(crate) struct StdoutForwarder {
    client: ClientSender,
    limits: LineLimits,
    /// The line that is being forwarded.
    line: Bytes,
    /// The rest of the line: at most as many parts as [`split_line`] returns.
    parts: IntoIter<Part>,
    /// The part that was sent last, while the client is slow.
    sent: Option<Sent>,
    uncertain: UncertainRequests,
}

impl StdoutForwarder {
    pub(crate) fn new(client: ClientSender) -> Self {
        // A session that has ended does not accept messages, so the limits do not matter.
        let (batch_max, depth_max) = client.message_limits().unwrap_or_default();
        let limits = LineLimits { batch_max, depth_max };
        let (line, parts) = (Bytes::new(), IntoIter::default());
        Self { client, limits, line, parts, sent: None, uncertain: UncertainRequests::default() }
    }

    /// Forwards stdout until it ends. Cancel-safe, except for the rest of a line that is too
    /// long.
    ///
    /// Does not read while it waits for a slow client, so the pipe fills and holds up the child.
    pub(crate) async fn forward(&mut self, stdout: &mut Lines<ChildStdout>) -> StdoutEnd {
        loop {
            self.forward_rest().await;
            let line = tokio::select! {
                biased;
                request = self.uncertain.next_expired() => {
                    self.fail_request(request, "other text precedes it in its line");
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

    /// Forwards what is already in the pipe. After `until`, it does not wait for a slow client.
    pub(crate) async fn forward_remaining(
        &mut self,
        stdout: &mut Lines<ChildStdout>,
        until: Instant,
    ) {
        loop {
            if timeout_at(until, self.forward_rest()).await.is_err() {
                self.forward_rest_without_waiting();
            }
            match timeout(LINGER_TIMEOUT, stdout.next()).await {
                Ok(Ok(Some(Line::Complete(line)))) => self.start_line(line),
                Ok(Ok(Some(Line::Truncated(beginning)))) => {
                    if self.handle_too_long(beginning, stdout).await.is_err() {
                        return;
                    }
                }
                Ok(Ok(None) | Err(_)) | Err(_) => return,
            }
        }
    }

    /// Splits a line into the parts to forward.
    fn start_line(&mut self, line: Bytes) {
        self.parts = split_line(&line, self.limits).into_iter();
        self.line = line;
    }

    /// Forwards the rest of the line, and waits while the client is slow. Cancel-safe.
    async fn forward_rest(&mut self) {
        loop {
            if let Some(sent) = &mut self.sent {
                let result = sent.await;
                self.sent = None;
                if let Err(error) = result {
                    self.log_rejection(&self.line, &error);
                }
            }
            let Some(part) = self.parts.next() else { break };
            self.sent = self.forward_part(part);
        }
        self.line = Bytes::new();
    }

    /// Forwards the rest of the line, even if the client is slow.
    fn forward_rest_without_waiting(&mut self) {
        self.sent = None;
        while let Some(part) = self.parts.next() {
            drop(self.forward_part(part));
        }
        self.line = Bytes::new();
    }

    /// Forwards one part, unless it is rejected. Returns what to wait for before the next one.
    fn forward_part(&mut self, part: Part) -> Option<Sent> {
        match part {
            Part::Message { head, body } => {
                let (head, body) = restore_request_id(head, body, &self.client);
                if let Some(request) = answered_request(&head) {
                    self.uncertain.remove(request);
                }
                self.send(head, &body)
            }
            Part::Unreadable { bytes, reason, code } => {
                self.end_affected(AffectedRequests::of(&bytes, &self.client), &reason, code);
                self.log_ignored(&self.line, &reason);
                None
            }
        }
    }

    /// Handles a line that exceeds the limit: each request that it answers fails as soon as the
    /// id is read, and no other request does.
    async fn handle_too_long(
        &mut self,
        beginning: Bytes,
        stdout: &mut Lines<ChildStdout>,
    ) -> io::Result<()> {
        let reason = format!("line is longer than {} bytes", stdout.bytes_max());
        self.log_ignored(&beginning, &reason);
        let (mut scanner, mut affected) = (OutlineScanner::default(), AffectedRequests::default());
        let mut scan = |part: &[u8]| {
            scanner.feed(part, |outline| affected.add(outline, &self.client));
            if let Some(outline) = scanner.take_decided() {
                affected.add(outline, &self.client);
            }
            self.end_affected(affected.take(), &reason, INVALID_REQUEST);
        };
        scan(&beginning);
        drop(beginning);
        stdout.read_rest(&mut scan).await?;
        if let Some(outline) = scanner.finish() {
            affected.add(outline, &self.client);
        }
        affected.finish(&self.client);
        self.end_affected(affected, &reason, INVALID_REQUEST);
        Ok(())
    }

    fn send(&self, head: Head, body: &Bytes) -> Option<Sent> {
        let session = self.client.session_id().short();
        let related = match extension::parse(body) {
            ChildMessage::Forward { related } => related,
            ChildMessage::Disconnect(disconnect) => {
                if let Err(error) = self.client.disconnect(&disconnect.request, disconnect.retry())
                {
                    tracing::debug!(%session, %error, "close_stream notification ignored");
                }
                return None;
            }
            ChildMessage::Invalid(error) => {
                tracing::warn!(%session, %error, "invalid rejoin notification from stdio process");
                return None;
            }
        };
        let sent = self.client.send_or_reject(head, body.clone(), related, INVALID_REQUEST);
        if let Err(error) = sent.result() {
            self.log_rejection(body, error);
            return None;
        }
        Some(sent)
    }

    /// Fails or rejects the requests that an unreadable message affects.
    fn end_affected(&mut self, affected: AffectedRequests, reason: &str, code: i32) {
        let AffectedRequests { failed, uncertain, rejected, .. } = affected;
        for id in failed {
            self.fail_request(id, reason);
        }
        for id in uncertain {
            self.uncertain.add(id);
        }
        for id in &rejected {
            self.client.reject_server_request(id, code, reason);
        }
    }

    /// Fails a request of the client, if it is still pending.
    fn fail_request(&self, id: RequestId, reason: &str) {
        if self.client.is_pending(&id) {
            let session = self.client.session_id().short();
            tracing::warn!(%session, %id, "request failed: unreadable response from stdio process");
            self.client.fail_request(id, &format!("unreadable response from the server: {reason}"));
        }
    }

    fn log_rejection(&self, line: &[u8], error: &SendError) {
        if *error != SendError::Ended {
            self.log_ignored(line, &error.to_string());
        }
    }

    fn log_ignored(&self, line: &[u8], reason: &str) {
        let session = self.client.session_id().short();
        tracing::warn!(%session, error = %reason, "invalid line on stdout ignored");
        tracing::debug!(%session, line = %Printable(logged_part(line)), "ignored line");
    }
}

/// Returns the part of a line that is shown in the log.
fn logged_part(line: &[u8]) -> &[u8] {
    line.get(..LOGGED_LINE_BYTES_MAX).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::Pin, time::Duration};

    use futures_core::Stream as _;
    use parking_lot::Mutex;
    use rejoin_core::{AnswerFormat, Config, Post};
    use tokio::time::timeout;

    use super::*;
    use crate::{
        Backend, ClientMessage, ClientMessages, Connection, ManagerConfig, OpenError,
        SessionHandle, SessionManager, SseEvent, message,
    };

    const MESSAGES: u64 = 8;

    /// A backend whose sessions are served by the test.
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

    /// A session that is initialized, and the forwarder of its child.
    struct Fixture {
        _sessions: SessionManager,
        session: SessionHandle,
        forwarder: StdoutForwarder,
        _messages: ClientMessages,
    }

    impl Fixture {
        async fn new(session: Config) -> Self {
            let backend = TestBackend::default();
            let opened = std::sync::Arc::clone(&backend.0);
            let config = ManagerConfig { session, ..ManagerConfig::default() };
            let sessions = SessionManager::new(backend, config).unwrap();
            let initialize = post(r#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#);
            let (session, mut connection) =
                sessions.initialize_session(initialize, AnswerFormat::Sse).await.unwrap();
            let (client, messages) = opened.lock().pop().unwrap();
            let mut forwarder = StdoutForwarder::new(client);
            forwarder.start_line(
                r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#.into(),
            );
            forwarder.forward_rest().await;
            while next(&mut connection).await.is_some() {}
            Self { _sessions: sessions, session, forwarder, _messages: messages }
        }
    }

    fn post(message: &'static str) -> Post<ClientMessage> {
        message::parse_message(Bytes::from_static(message.as_bytes()), 0).unwrap()
    }

    /// Waits for a short time in vain.
    async fn is_held(forwarder: &mut StdoutForwarder) -> bool {
        timeout(Duration::from_millis(1), forwarder.forward_rest()).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn rest_of_a_line_is_forwarded_without_waiting_for_a_slow_reader() {
        // Half of the session's byte limit is less than three events.
        let mut session = Config::default();
        session.window_events_max = 1;
        session.stream_events_max = 4;
        session.session_bytes_max = 1_000;
        let Fixture { session, forwarder, .. } = &mut Fixture::new(session).await;
        let mut standalone = session.standalone().unwrap();
        assert!(matches!(next(&mut standalone).await, Some(SseEvent::Priming { .. })));

        let messages = [r#"{"jsonrpc":"2.0","method":"n"}"#; 8].join("");
        forwarder.start_line(messages.into());
        assert!(is_held(forwarder).await && forwarder.parts.len() > 0, "by a slow reader");
        forwarder.forward_rest_without_waiting();
        let is_last = |event: &SseEvent| matches!(event, SseEvent::Message { id: Some(id), .. } if id.index == MESSAGES);
        let has_last = async {
            while let Some(event) = next(&mut standalone).await {
                if is_last(&event) {
                    return true;
                }
            }
            false
        };
        assert_eq!(timeout(Duration::from_secs(60), has_last).await, Ok(true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_waits_for_room_is_sent_later() {
        let mut session = Config::default();
        session.session_bytes_max = 1_000;
        let Fixture { session, forwarder, .. } = &mut Fixture::new(session).await;
        let mut standalone = session.standalone().unwrap();
        let call = post(r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#);
        let mut connection = session.request(call, AnswerFormat::Sse).await.unwrap();
        while timeout(Duration::ZERO, next(&mut connection)).await.is_ok() {}

        let notification = format!(r#"{{"jsonrpc":"2.0","method":"n"{:600}}}"#, "");
        let response = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{}}{:600}}}"#, "");
        forwarder.start_line(notification.into());
        forwarder.forward_rest().await;
        forwarder.start_line(response.clone().into());
        assert!(is_held(forwarder).await && is_held(forwarder).await);
        while timeout(Duration::ZERO, next(&mut standalone)).await.is_ok() {}
        assert!(!is_held(forwarder).await);
        let Some(SseEvent::Message { data, .. }) = next(&mut connection).await else { panic!() };
        assert_eq!(data, response);
    }
}
