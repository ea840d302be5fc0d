//! From the child to its client, and to the log.

use bytes::Bytes;
use rejoin_core::{Head, RequestId};
use tokio::{
    io,
    process::{ChildStderr, ChildStdout},
};

use super::{
    convention::{self, Said},
    lines::{Line, Lines},
    outline::{Outline, Outlines},
    printable::Printable,
    read::{self, Consequences, Limits, Part, Unanswered},
};
use crate::{Peer, SendError, SessionId};

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
    peer: Peer,
    limits: Limits,
    /// Whether the child has sent a request: then an answer in a line of its log may be
    /// the one that it got.
    has_asked: bool,
}

impl Unanswered for Peer {
    fn contains(&self, id: &RequestId) -> bool {
        self.is_unanswered(id)
    }

    fn sole(&self) -> Option<RequestId> {
        self.sole_unanswered()
    }
}

impl Speaker {
    pub(super) fn new(peer: Peer) -> Self {
        // A session that has ended takes no message.
        let (batch_max, depth_max) = peer.message_limits().unwrap_or_default();
        Self { peer, limits: Limits { batch_max, depth_max }, has_asked: false }
    }

    /// Tells the client what the child says, until its stdout ends.
    ///
    /// It does not read on while it waits for the client, and so in time the child waits, too.
    pub(super) async fn speak(&mut self, stdout: &mut Lines<ChildStdout>) -> Silence {
        loop {
            match stdout.next().await {
                Ok(Some(Line::Whole(line))) => self.say(line).await,
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

    /// Tells the client what one line says.
    pub(super) async fn say(&mut self, line: Bytes) {
        for part in read::parts(&line, self.limits) {
            match part {
                Part::Message { head, body, is_prefixed } => {
                    let (head, body) = read::name_request(head, body, &self.peer);
                    if is_prefixed && !self.takes_prefixed(&head) {
                        self.drop_line(&line, "it is text, and no message");
                    } else {
                        self.send(head, body).await;
                    }
                }
                Part::Unreadable { outlines, why, code } => {
                    self.give_up(outlines, &why, code, &line);
                }
            }
        }
    }

    /// Treats a line that is longer than allowed: what it answers fails, and nothing else.
    async fn say_too_long(
        &self,
        beginning: Bytes,
        stdout: &mut Lines<ChildStdout>,
    ) -> io::Result<()> {
        let mut outlines = Outlines::default();
        outlines.feed(&beginning);
        let shown = Bytes::copy_from_slice(shown(&beginning));
        drop(beginning);
        if !outlines.is_decided() {
            let see = |part: &[u8]| {
                outlines.feed(part);
                outlines.is_decided()
            };
            stdout.show_rest(see).await?;
        }
        let why = format!("it is longer than {} bytes", stdout.bytes_max());
        self.give_up(outlines.finish(), &why, INVALID_REQUEST, &shown);
        Ok(())
    }

    async fn send(&mut self, head: Head, body: Bytes) {
        let session = self.peer.session_id().short();
        let related = match convention::read(&body) {
            Said::Message { related } => related,
            Said::CloseStream(close) => {
                if let Err(error) = self.peer.close_stream(&close.request, close.retry()) {
                    tracing::debug!(%session, %error, "connection is not closed for the server");
                }
                return;
            }
            Said::Unreadable(error) => {
                tracing::warn!(%session, %error, "server says something to rejoin that is not understood");
                return;
            }
        };
        let request = match &head {
            Head::Request { id, .. } => Some(id.clone()),
            Head::Notification(_) | Head::Response { .. } | Head::Error { .. } => None,
        };
        self.has_asked |= request.is_some();
        match self.peer.send_with_head(head, body.clone(), related).await {
            Ok(()) | Err(SendError::Ended) => {}
            Err(error) => {
                if let Some(id) = request {
                    self.peer.refuse(&id, INVALID_REQUEST, &error.to_string());
                }
                self.drop_line(&body, &error.to_string());
            }
        }
    }

    /// Returns whether a message is taken that follows text: only an answer that is waited
    /// for can be told from what a server notes in its log.
    fn takes_prefixed(&self, head: &Head) -> bool {
        let answered = read::answered(head);
        !self.has_asked && answered.is_some_and(|id| self.peer.is_unanswered(id))
    }

    /// Ends the requests of both sides that wait for something that cannot be read.
    fn give_up(&self, outlines: Vec<Outline>, why: &str, code: i32, line: &[u8]) {
        let Consequences { failed, refused } = read::consequences(outlines, &self.peer);
        let session = self.peer.session_id().short();
        for id in failed {
            tracing::warn!(%session, %id, "request fails, because its answer cannot be read");
            self.peer.fail(id, &format!("the server's answer cannot be read: {why}"));
        }
        for id in &refused {
            self.peer.refuse(id, code, why);
        }
        self.drop_line(line, why);
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
