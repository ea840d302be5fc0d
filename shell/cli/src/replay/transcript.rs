//! Replay output as text: each input with its time, followed by its actions.

use std::io::{self, Write};

use rejoin::{
    journal::Header,
    rejoin_core::{
        Action, Answer, AnswerFormat, Event, Failure, Input, Instant, Message, Overflow, Post,
        Rejection,
    },
};

use super::Step;

/// Writes the session id and the version of rejoin that recorded it.
pub(super) fn write_header(out: &mut impl Write, header: &Header) -> io::Result<()> {
    writeln!(out, "session {}, of rejoin {}", header.session, header.version)
}

/// Writes an input and, indented below it, its actions and its rejection, if there is one.
pub(super) fn write_step(out: &mut impl Write, started: Instant, step: &Step) -> io::Result<()> {
    let time = step.now.since(started).as_secs_f64();
    writeln!(out, "{time:>10.3}  {}", describe_input(&step.input))?;
    let mut write_line = |line: String| writeln!(out, "{:12}  {line}", "");
    for action in &step.actions {
        write_line(describe_action(action))?;
    }
    match &step.result {
        Ok(()) => Ok(()),
        Err(rejection) => {
            write_line(format!("rejected, {} is at fault: {rejection}", party_at_fault(rejection)))
        }
    }
}

fn describe_input(input: &Input<String>) -> String {
    match input {
        Input::Post { post, .. } if !post.has_request() => format!("POST {}", describe_post(post)),
        Input::Post { connection, format, post } => {
            let format = match format {
                AnswerFormat::Sse => "",
                AnswerFormat::Json => " (wants JSON)",
            };
            format!("connection {connection}: POST {}{format}", describe_post(post))
        }
        Input::Get { connection, last_event_id: None } => format!("connection {connection}: GET"),
        Input::Get { connection, last_event_id: Some(id) } => {
            format!("connection {connection}: GET after {id}")
        }
        Input::Acknowledged { connection, through } => {
            format!("connection {connection}: acknowledged through {through}")
        }
        Input::ConnectionClosed { connection, through: Some(through) } => {
            format!("connection {connection}: closed, acknowledged through {through}")
        }
        Input::ConnectionClosed { connection, through: None } => {
            format!("connection {connection}: closed, nothing acknowledged")
        }
        Input::Abandon { stream } => format!("abandon {stream}"),
        Input::Delete => "DELETE".to_owned(),
        Input::CloseSession { reason } => format!("close: {reason:?}"),
        Input::BackendMessage { message, related, overflow } => {
            let related = related.as_ref().map(|id| format!(", related to {id}"));
            let overflow = match overflow {
                Overflow::Hold => "",
                Overflow::Evict => ", without waiting for room",
            };
            let (Message { body, bytes, .. }, related) = (message, related.unwrap_or_default());
            format!("backend: {body} ({bytes} bytes){related}{overflow}")
        }
        Input::Disconnect { stream, retry } => {
            let retry = retry.map(|retry| format!(", retry after {retry:?}"));
            format!("backend: disconnect {stream}{}", retry.unwrap_or_default())
        }
        Input::BackendGone => "backend: ended".to_owned(),
        Input::BackendLost => "backend: ended, and the session lives on".to_owned(),
        Input::Committed { through } => format!("committed through {through}"),
        Input::LimitBytes { bytes_max } => format!("limit to {bytes_max} bytes"),
        Input::Drain { retry } => format!("drain, retry after {retry:?}"),
        Input::Tick => "tick".to_owned(),
    }
}

fn describe_post(post: &Post<String>) -> String {
    let messages = post.messages().iter();
    let messages: Vec<_> =
        messages.map(|message| format!("{} ({} bytes)", message.body, message.bytes)).collect();
    match post {
        Post::Single(_) => messages.concat(),
        Post::Batch(_) => format!("[{}]", messages.join(", ")),
    }
}

fn describe_action(action: &Action<String>) -> String {
    match action {
        Action::Forward { message } => format!("forward {message}"),
        Action::Send { connection, id, event } => {
            format!("send on {connection}: {id} {}", describe_event(event, id.index))
        }
        Action::Respond { connection, answer } => {
            format!("respond on {connection}: {}", describe_answer(answer))
        }
        Action::Discard { connection } => format!("discard the buffer of {connection}"),
        Action::Cut { connection, reason } => format!("cut {connection}: {reason:?}"),
        Action::Close { connection, reason } => format!("close {connection}: {reason:?}"),
        Action::FailServerRequest { id, reason } => format!("fail server request {id}: {reason:?}"),
        Action::CancelRequest { id } => format!("cancel {id} at the backend"),
        Action::Hold { stream } => format!("hold the sender to {stream}"),
        Action::Release { stream } => format!("release the senders to {stream}"),
        Action::SessionClosed { reason, .. } => format!("close the session: {reason:?}"),
        Action::Commit(record) => format!("commit {}: {:?}", record.sequence, record.change),
        Action::Report(report) => format!("report {report:?}"),
    }
}

fn describe_answer(answer: &Answer<String>) -> String {
    match answer {
        Answer::Message(label) => label.clone(),
        Answer::Failure(failure) => describe_failure(failure),
    }
}

fn describe_failure(failure: &Failure) -> String {
    format!("failure {}: {:?}", failure.id, failure.reason)
}

fn describe_event(event: &Event<String>, index: u64) -> String {
    match event {
        Event::Message(label) => label.clone(),
        Event::Failure(failure) => describe_failure(failure),
        Event::Gap { first } => format!("gap: events {first} to {index} are missing"),
        Event::Priming { retry: None } => "priming".to_owned(),
        Event::Priming { retry: Some(retry) } => format!("priming, retry after {retry:?}"),
    }
}

fn party_at_fault(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::Client(_) => "the client",
        Rejection::Backend(_) => "the backend",
        Rejection::ApiMisuse(_) => "the driver",
        Rejection::Closed(_) | Rejection::Full | Rejection::Draining => "nobody",
    }
}
