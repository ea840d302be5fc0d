//! From the child to its client, and to the log.

use bytes::Bytes;
use tokio::{
    io,
    process::{ChildStderr, ChildStdout},
};

use super::{
    convention::{self, Said},
    lines::{Line, Lines},
    printable::Printable,
};
use crate::{Peer, SendError, SessionId};

/// How much of a line is shown in the log, in bytes.
pub(super) const SHOWN_MAX: usize = 4 << 10;

/// Why a child says nothing more to its client.
#[derive(Debug)]
pub(super) enum Silence {
    End,
    Unreadable(io::Error),
    LineTooLong,
}

/// Tells the client what its child says. Cancel-safe.
///
/// It does not read on while it waits for the client, and so in time the child waits, too.
pub(super) async fn speak(stdout: &mut Lines<ChildStdout>, peer: &Peer) -> Silence {
    loop {
        match stdout.next().await {
            Ok(Some(Line::Whole(line))) => say(peer, line).await,
            Ok(Some(Line::Cut(_))) => return Silence::LineTooLong,
            Ok(None) => return Silence::End,
            Err(error) => return Silence::Unreadable(error),
        }
    }
}

pub(super) async fn say(peer: &Peer, line: Bytes) {
    let session = peer.session_id().short();
    let bytes = line.len();
    let related = match convention::read(&line) {
        Said::Message { related } => related,
        Said::CloseStream(close) => {
            if let Err(error) = peer.close_stream(&close.request, close.retry()) {
                tracing::debug!(%session, %error, "connection is not closed for the server");
            }
            return;
        }
        Said::Unreadable(error) => {
            tracing::warn!(%session, %error, "server says something to rejoin that is not understood");
            return;
        }
    };
    if line.trim_ascii().is_empty() {
        return;
    }
    let shown = line.slice(..bytes.min(SHOWN_MAX));
    match peer.send(line, related).await {
        Ok(()) | Err(SendError::Ended) => {}
        Err(error) => {
            tracing::warn!(%session, %error, bytes, "line of the server was dropped");
            tracing::debug!(%session, line = %Printable(&shown), "the line that was dropped");
        }
    }
}

/// Logs what the child writes to its stderr. Cancel-safe.
pub(super) async fn log(stderr: &mut Lines<ChildStderr>, session: SessionId) {
    let session = session.short();
    // What cannot be read is at its end, too.
    while let Ok(Some(line)) = stderr.next().await {
        let (line, more) = match &line {
            Line::Whole(line) => (line, ""),
            Line::Cut(line) => (line, "…"),
        };
        tracing::info!(target: "rejoin::stderr", %session, "{}{more}", Printable(line));
    }
}
