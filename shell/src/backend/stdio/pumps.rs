//! From the child to its client, and to the log.

use std::vec::IntoIter;

use bytes::Bytes;
use rejoin_core::{Head, RequestId};
use tokio::{
    io,
    process::{ChildStderr, ChildStdout},
};

use super::{
    convention::{self, Said},
    doubts::Doubts,
    lines::{Line, Lines},
    outline::Outlines,
    printable::Printable,
    read::{self, Consequences, Limits, Part, Unanswered},
};
use crate::{
    ClientSender, SendError, SessionId, backend::client_sender::wait_for_release,
    session::ReleaseReceiver,
};

/// How much of a line is shown in the log, in bytes.
pub(super) const SHOWN_MAX: usize = 4 << 10;

/// JSON-RPC 2.0, section 5.1.
const INVALID_REQUEST: i32 = -32_600;

/// Why a child says nothing more to its client.
#[derive(Debug)]
pub(super) enum Silence {
    End,
    Unreadable(io::Error),
}

/// Tells the client of a session what its child says.
pub(super) struct Speaker {
    peer: ClientSender,
    limits: Limits,
    /// The line that is being told.
    line: Bytes,
    /// What is left of it: at most as many parts as a batch may have, or [`read::parts`] finds.
    parts: IntoIter<Part>,
    doubts: Doubts,
}

impl Unanswered for ClientSender {
    fn contains(&self, id: &RequestId) -> bool {
        self.is_unanswered(id)
    }

    fn sole(&self) -> Option<RequestId> {
        self.sole_unanswered()
    }
}

impl Speaker {
    pub(super) fn new(peer: ClientSender) -> Self {
        // A session that has ended takes no message.
        let (batch_max, depth_max) = peer.message_limits().unwrap_or_default();
        let limits = Limits { batch_max, depth_max };
        let (line, parts, doubts) = (Bytes::new(), IntoIter::default(), Doubts::default());
        Self { peer, limits, line, parts, doubts }
    }

    /// Tells the client what the child says, until its stdout ends. Cancel-safe but for the
    /// rest of a line that is too long.
    ///
    /// It does not read on while it waits for the client, and so in time the child waits, too.
    pub(super) async fn speak(&mut self, stdout: &mut Lines<ChildStdout>) -> Silence {
        loop {
            self.say_rest().await;
            let line = tokio::select! {
                biased;
                request = self.doubts.expired() => {
                    self.fail(request, "other text comes before it in its line");
                    continue;
                }
                line = stdout.next() => line,
            };
            match line {
                Ok(Some(Line::Whole(line))) => self.begin(line),
                Ok(Some(Line::Cut(beginning))) => {
                    if let Err(error) = self.say_too_long(beginning, stdout).await {
                        return Silence::Unreadable(error);
                    }
                }
                Ok(None) => return Silence::End,
                Err(error) => return Silence::Unreadable(error),
            }
        }
    }

    /// Takes a line, to tell the client what it says.
    pub(super) fn begin(&mut self, line: Bytes) {
        self.parts = read::parts(&line, self.limits).into_iter();
        self.line = line;
    }

    /// Tells the client what is left of a line. Cancel-safe.
    pub(super) async fn say_rest(&mut self) {
        while let Some(part) = self.parts.next() {
            wait_for_release(self.say(part)).await;
        }
        self.line = Bytes::new();
    }

    /// Tells the client what is left of a line, and does not wait while it trails.
    pub(super) fn say_rest_now(&mut self) {
        while let Some(part) = self.parts.next() {
            drop(self.say(part));
        }
        self.line = Bytes::new();
    }

    /// Returns what has to be waited for before more is said.
    fn say(&mut self, part: Part) -> Option<ReleaseReceiver> {
        match part {
            Part::Message { head, body } => {
                let (head, body) = read::name_request(head, body, &self.peer);
                if let Some(request) = read::answered(&head) {
                    self.doubts.remove(request);
                }
                self.send(head, &body)
            }
            Part::Unreadable { bytes, why, code } => {
                self.give_up(read::consequences(&bytes, &self.peer), &why, code);
                self.drop_line(&self.line, &why);
                None
            }
        }
    }

    /// Treats a line that is longer than allowed: each call that it answers fails as soon as
    /// its id is read, and nothing else does.
    pub(super) async fn say_too_long(
        &mut self,
        beginning: Bytes,
        stdout: &mut Lines<ChildStdout>,
    ) -> io::Result<()> {
        let why = format!("it is longer than {} bytes", stdout.bytes_max());
        self.drop_line(&beginning, &why);
        let (mut outlines, mut consequences) = (Outlines::default(), Consequences::default());
        let mut see = |part: &[u8]| {
            outlines.feed(part, |outline| consequences.add(outline, &self.peer));
            if let Some(outline) = outlines.take_decided() {
                consequences.add(outline, &self.peer);
            }
            self.give_up(consequences.take(), &why, INVALID_REQUEST);
        };
        see(&beginning);
        drop(beginning);
        stdout.show_rest(&mut see).await?;
        if let Some(outline) = outlines.finish() {
            consequences.add(outline, &self.peer);
        }
        consequences.finish(&self.peer);
        self.give_up(consequences, &why, INVALID_REQUEST);
        Ok(())
    }

    fn send(&self, head: Head, body: &Bytes) -> Option<ReleaseReceiver> {
        let session = self.peer.session_id().short();
        let related = match convention::read(body) {
            Said::Message { related } => related,
            Said::CloseStream(close) => {
                if let Err(error) = self.peer.disconnect(&close.request, close.retry()) {
                    tracing::debug!(%session, %error, "connection is not closed for the server");
                }
                return None;
            }
            Said::Unreadable(error) => {
                tracing::warn!(%session, %error, "server says something to rejoin that is not understood");
                return None;
            }
        };
        match self.peer.start_send_or_reject(head, body.clone(), related, INVALID_REQUEST) {
            Ok(wait) => wait,
            Err(SendError::Ended) => None,
            Err(error) => {
                self.drop_line(body, &error.to_string());
                None
            }
        }
    }

    /// Ends the requests of both sides that wait for something that cannot be read.
    fn give_up(&mut self, consequences: Consequences, why: &str, code: i32) {
        let Consequences { failed, doubted, refused, .. } = consequences;
        for id in failed {
            self.fail(id, why);
        }
        for id in doubted {
            self.doubts.add(id);
        }
        for id in &refused {
            self.peer.reject_server_request(id, code, why);
        }
    }

    /// Ends a request of the client, unless it has ended.
    fn fail(&self, id: RequestId, why: &str) {
        if self.peer.is_unanswered(&id) {
            let session = self.peer.session_id().short();
            tracing::warn!(%session, %id, "request fails, because its answer cannot be read");
            self.peer.fail_request(id, &format!("the server's answer cannot be read: {why}"));
        }
    }

    fn drop_line(&self, line: &[u8], why: &str) {
        let session = self.peer.session_id().short();
        tracing::warn!(%session, error = %why, "line of the server was dropped");
        tracing::debug!(%session, line = %Printable(shown(line)), "the line that was dropped");
    }
}

/// Returns as much of a line as is shown in the log.
fn shown(line: &[u8]) -> &[u8] {
    line.get(..SHOWN_MAX).unwrap_or(line)
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
        Self { lines: Lines::new(stderr, SHOWN_MAX), session, last: Bytes::new() }
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
                Line::Whole(line) => (line, ""),
                Line::Cut(line) => (line, "…"),
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
    struct Doors(std::sync::Arc<Mutex<Vec<(ClientSender, ClientMessages)>>>);

    impl Backend for Doors {
        async fn open(&self, peer: ClientSender, inbox: ClientMessages) -> Result<(), OpenError> {
            self.0.lock().push((peer, inbox));
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
        let doors = Doors::default();
        let opened = std::sync::Arc::clone(&doors.0);
        let settings = ManagerConfig { session, ..ManagerConfig::default() };
        let sessions = SessionManager::new(doors, settings).unwrap();
        let post = r#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#;
        let post = message::parse_message(Bytes::from_static(post.as_bytes()), 0).unwrap();
        let (session, mut connection) =
            sessions.initialize_session(post, AnswerFormat::Sse).await.unwrap();
        let (peer, _inbox) = opened.lock().pop().unwrap();
        let mut speaker = Speaker::new(peer);
        speaker
            .begin(r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#.into());
        speaker.say_rest().await;
        while next(&mut connection).await.is_some() {}
        let mut standalone = session.standalone().unwrap();
        assert!(matches!(next(&mut standalone).await, Some(SseEvent::Priming { .. })));

        let messages = [r#"{"jsonrpc":"2.0","method":"n"}"#; 8].join("");
        speaker.begin(messages.into());
        let held = timeout(Duration::from_millis(1), speaker.say_rest()).await;
        assert!(held.is_err() && speaker.parts.len() > 0, "a slow reader holds it up");
        speaker.say_rest_now();
        let is_last = |event: &SseEvent| matches!(event, SseEvent::Message { id: Some(id), .. } if id.index == MESSAGES);
        let mut is_said = false;
        while !is_said && let Some(event) = next(&mut standalone).await {
            is_said = is_last(&event);
        }
        assert!(is_said);
    }
}
