//! Hand-written backends of rejoin: in a task, and inline.

use std::collections::VecDeque;

use bytes::Bytes;
use rejoin::{
    Backend, ClientMessages, ClientSender, OpenError, SendError,
    rejoin_core::{Head, Initialized, Notification, ProtocolVersion},
};

use crate::message::{self, Parsed, Tool};

/// The form in which a backend sends messages.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MessageForm {
    /// With heads that the backend supplies.
    WithHead,
    /// As JSON only, which rejoin parses.
    Json,
}

/// Handles the calls of the benchmark in a task.
pub(crate) struct Handler(pub(crate) MessageForm);

impl Backend for Handler {
    async fn open(&self, peer: ClientSender, inbox: ClientMessages) -> Result<(), OpenError> {
        tokio::spawn(serve(Sender { peer, form: self.0 }, inbox));
        Ok(())
    }
}

/// Handles `initialize` and echo calls inline, in the task that sends the message.
pub(crate) struct Inline(pub(crate) MessageForm);

impl Backend for Inline {
    async fn open(&self, peer: ClientSender, inbox: ClientMessages) -> Result<(), OpenError> {
        let voice = Sender { peer, form: self.0 };
        inbox.handle(move |heard| {
            let (head, answer) = match message::parse(&heard) {
                Parsed::Initialize => (initialize_head(), message::initialize_response()),
                Parsed::Call(id, Tool::Echo, text) => {
                    (response_head(id), message::tool_response(id, text))
                }
                Parsed::Call(..) | Parsed::Other => return,
            };
            // It fails only if the session has ended.
            let _ = voice.send_now(head, answer);
        });
        Ok(())
    }
}

async fn serve(voice: Sender, mut inbox: ClientMessages) -> Result<(), SendError> {
    let mut lagging = VecDeque::new();
    while let Some(heard) = inbox.recv().await {
        match message::parse(&heard) {
            Parsed::Initialize => {
                voice.send(initialize_head(), message::initialize_response()).await?
            }
            Parsed::Call(id, tool, text) => call(&voice, &mut lagging, id, tool, text).await?,
            Parsed::Other => {}
        }
    }
    Ok(())
}

async fn call(
    voice: &Sender,
    lagging: &mut VecDeque<(Head, String)>,
    id: i64,
    tool: Tool,
    text: &str,
) -> Result<(), SendError> {
    for step in 1..=tool.events() {
        let head = Head::Notification(Notification::Progress { token: id.into() });
        voice.send(head, message::progress(id, step)).await?;
    }
    let answer = (response_head(id), message::tool_response(id, text));
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
            voice.send(news, Bytes::from_static(message::UNRELATED.as_bytes())).await?;
            answer
        }
    };
    voice.send(head, answer).await
}

/// Sends messages in one of the forms.
struct Sender {
    peer: ClientSender,
    form: MessageForm,
}

impl Sender {
    async fn send(&self, head: Head, body: impl Into<Bytes>) -> Result<(), SendError> {
        match self.form {
            MessageForm::WithHead => self.peer.send_with_head(head, body, None).await,
            MessageForm::Json => self.peer.send(body, None).await,
        }
    }

    fn send_now(&self, head: Head, body: impl Into<Bytes>) -> Result<(), SendError> {
        match self.form {
            MessageForm::WithHead => self.peer.send_with_head_now(head, body, None),
            MessageForm::Json => self.peer.send_now(body, None),
        }
    }
}

fn response_head(id: i64) -> Head {
    Head::Response { id: id.into(), initialized: Initialized::default(), creates_task: false }
}

fn initialize_head() -> Head {
    let version = ProtocolVersion::new(message::REVISION);
    Head::Response {
        id: 0.into(),
        initialized: Initialized { version, logging: true },
        creates_task: false,
    }
}
