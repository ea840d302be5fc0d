//! Hand-written backends of rejoin: in a task, and inline.

use std::collections::VecDeque;

use bytes::Bytes;
use rejoin::{
    Backend, ClientMessages, ClientSender, OpenError, SendError, Sent, ServerMessage,
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
    async fn open(&self, client: ClientSender, messages: ClientMessages) -> Result<(), OpenError> {
        tokio::spawn(serve(Sender { client, form: self.0 }, messages));
        Ok(())
    }
}

/// Handles `initialize` and echo calls inline, in the task that sends the message.
pub(crate) struct Inline(pub(crate) MessageForm);

impl Backend for Inline {
    async fn open(&self, client: ClientSender, messages: ClientMessages) -> Result<(), OpenError> {
        let sender = Sender { client, form: self.0 };
        messages.handle(move |received| {
            let (head, response) = match message::parse(&received) {
                Parsed::Initialize => (initialize_head(), message::initialize_response()),
                Parsed::Call(id, Tool::Echo, text) => {
                    (response_head(id), message::tool_response(id, text))
                }
                Parsed::Call(..) | Parsed::Other => return,
            };
            // It fails only if the session has ended.
            drop(sender.send(head, response));
        });
        Ok(())
    }
}

async fn serve(sender: Sender, mut messages: ClientMessages) -> Result<(), SendError> {
    let mut delayed = VecDeque::new();
    while let Some(received) = messages.recv().await {
        match message::parse(&received) {
            Parsed::Initialize => {
                sender.send(initialize_head(), message::initialize_response()).await?;
            }
            Parsed::Call(id, tool, text) => call(&sender, &mut delayed, id, tool, text).await?,
            Parsed::Other => {}
        }
    }
    Ok(())
}

async fn call(
    sender: &Sender,
    delayed: &mut VecDeque<(Head, String)>,
    id: i64,
    tool: Tool,
    text: &str,
) -> Result<(), SendError> {
    for step in 1..=tool.events() {
        let head = Head::Notification(Notification::Progress { token: id.into() });
        sender.send(head, message::progress(id, step)).await?;
    }
    let response = (response_head(id), message::tool_response(id, text));
    let (head, response) = match tool {
        Tool::Echo | Tool::Events(_) => response,
        Tool::Hang(_) => return Ok(()),
        Tool::Lag(count) => {
            delayed.push_back(response);
            let Some(due) = (delayed.len() > count).then(|| delayed.pop_front()).flatten() else {
                return Ok(());
            };
            due
        }
        Tool::Announce => {
            let head = Head::Notification(Notification::Other);
            sender.send(head, Bytes::from_static(message::UNRELATED.as_bytes())).await?;
            response
        }
    };
    sender.send(head, response).await
}

/// Sends messages in one of the forms.
struct Sender {
    client: ClientSender,
    form: MessageForm,
}

impl Sender {
    fn send(&self, head: Head, body: impl Into<Bytes>) -> Sent {
        match self.form {
            MessageForm::WithHead => self.client.send(ServerMessage::with_head(head, body), None),
            MessageForm::Json => self.client.send(body, None),
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
