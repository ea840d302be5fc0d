//! Backends of rejoin, as one writes them by hand: with a task, and without.

use std::collections::VecDeque;

use bytes::Bytes;
use rejoin::{Backend, Inbox, OpenError, Peer, SendError};

use crate::message::{self, Heard, Tool};

/// Answers the calls of the benchmark.
pub(crate) struct Handler;

impl Backend for Handler {
    async fn open(&self, peer: Peer, inbox: Inbox) -> Result<(), OpenError> {
        tokio::spawn(serve(peer, inbox));
        Ok(())
    }
}

/// Answers likewise, where the messages come in. Echoes is all that it has.
pub(crate) struct InPlace;

impl Backend for InPlace {
    async fn open(&self, peer: Peer, inbox: Inbox) -> Result<(), OpenError> {
        inbox.handle(move |heard| {
            let answer = match message::read(&heard) {
                Heard::Initialize => message::welcome(),
                Heard::Call(id, Tool::Echo, text) => message::answer(id, text),
                Heard::Call(..) | Heard::Other => return,
            };
            // An error says that the session has ended.
            let _ = peer.send_now(answer, None);
        });
        Ok(())
    }
}

async fn serve(peer: Peer, mut inbox: Inbox) -> Result<(), SendError> {
    let mut lagging = VecDeque::new();
    while let Some(heard) = inbox.recv().await {
        match message::read(&heard) {
            Heard::Initialize => peer.send(message::welcome(), None).await?,
            Heard::Call(id, tool, text) => call(&peer, &mut lagging, id, tool, text).await?,
            Heard::Other => {}
        }
    }
    Ok(())
}

async fn call(
    peer: &Peer,
    lagging: &mut VecDeque<String>,
    id: &str,
    tool: Tool,
    text: &str,
) -> Result<(), SendError> {
    for step in 1..=tool.events() {
        peer.send(message::progress(id, step), None).await?;
    }
    match tool {
        Tool::Echo | Tool::Events(_) => peer.send(message::answer(id, text), None).await,
        Tool::Hang(_) => Ok(()),
        Tool::Lag(count) => {
            lagging.push_back(message::answer(id, text));
            if lagging.len() <= count {
                return Ok(());
            }
            peer.send(lagging.pop_front().unwrap_or_default(), None).await
        }
        Tool::Announce => {
            peer.send(Bytes::from_static(message::NEWS.as_bytes()), None).await?;
            peer.send(message::answer(id, text), None).await
        }
    }
}
