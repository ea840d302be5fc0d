//! Backends of rejoin, as one writes them by hand: with a task, and without.

use std::collections::VecDeque;

use bytes::Bytes;
use rejoin::{
    Backend, ClientMessages, ClientSender, OpenError, SendError,
    rejoin_core::{Head, Initialized, Notification, ProtocolVersion},
};

use crate::message::{self, Heard, Tool};

/// How a backend hands its messages over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Says {
    /// With their heads, which it knows.
    Heads,
    /// As JSON alone, which rejoin reads.
    Json,
}

/// Answers the calls of the benchmark.
pub(crate) struct Handler(pub(crate) Says);

impl Backend for Handler {
    async fn open(&self, peer: ClientSender, inbox: ClientMessages) -> Result<(), OpenError> {
        tokio::spawn(serve(Voice { peer, says: self.0 }, inbox));
        Ok(())
    }
}

/// Answers likewise, where the messages come in. Echoes is all that it has.
pub(crate) struct InPlace(pub(crate) Says);

impl Backend for InPlace {
    async fn open(&self, peer: ClientSender, inbox: ClientMessages) -> Result<(), OpenError> {
        let voice = Voice { peer, says: self.0 };
        inbox.handle(move |heard| {
            let (head, answer) = match message::read(&heard) {
                Heard::Initialize => (welcome(), message::welcome()),
                Heard::Call(id, Tool::Echo, text) => (response(id), message::answer(id, text)),
                Heard::Call(..) | Heard::Other => return,
            };
            // An error says that the session has ended.
            let _ = voice.say_now(head, answer);
        });
        Ok(())
    }
}

async fn serve(voice: Voice, mut inbox: ClientMessages) -> Result<(), SendError> {
    let mut lagging = VecDeque::new();
    while let Some(heard) = inbox.recv().await {
        match message::read(&heard) {
            Heard::Initialize => voice.say(welcome(), message::welcome()).await?,
            Heard::Call(id, tool, text) => call(&voice, &mut lagging, id, tool, text).await?,
            Heard::Other => {}
        }
    }
    Ok(())
}

async fn call(
    voice: &Voice,
    lagging: &mut VecDeque<(Head, String)>,
    id: i64,
    tool: Tool,
    text: &str,
) -> Result<(), SendError> {
    for step in 1..=tool.events() {
        let head = Head::Notification(Notification::Progress { token: id.into() });
        voice.say(head, message::progress(id, step)).await?;
    }
    let answer = (response(id), message::answer(id, text));
    let (head, answer) = match tool {
        Tool::Echo | Tool::Events(_) => answer,
        Tool::Hang(_) => return Ok(()),
        Tool::Lag(count) => {
            lagging.push_back(answer);
            let Some(turn) = (lagging.len() > count).then(|| lagging.pop_front()).flatten() else {
                return Ok(());
            };
            turn
        }
        Tool::Announce => {
            let news = Head::Notification(Notification::Other);
            voice.say(news, Bytes::from_static(message::NEWS.as_bytes())).await?;
            answer
        }
    };
    voice.say(head, answer).await
}

/// Says messages one way or the other.
struct Voice {
    peer: ClientSender,
    says: Says,
}

impl Voice {
    async fn say(&self, head: Head, body: impl Into<Bytes>) -> Result<(), SendError> {
        match self.says {
            Says::Heads => self.peer.send_with_head(head, body, None).await,
            Says::Json => self.peer.send(body, None).await,
        }
    }

    fn say_now(&self, head: Head, body: impl Into<Bytes>) -> Result<(), SendError> {
        match self.says {
            Says::Heads => self.peer.send_with_head_now(head, body, None),
            Says::Json => self.peer.send_now(body, None),
        }
    }
}

fn response(id: i64) -> Head {
    Head::Response { id: id.into(), initialized: Initialized::default(), creates_task: false }
}

fn welcome() -> Head {
    let version = ProtocolVersion::new(message::REVISION);
    Head::Response {
        id: 0.into(),
        initialized: Initialized { version, logging: true },
        creates_task: false,
    }
}
