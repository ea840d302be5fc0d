//! A transcript, for people: each input with its time, and below it what was done.

use std::io::{self, Write};

use rejoin::{
    journal::Header,
    rejoin_core::{
        Action, AnswerFormat, Event, EventId, Input, Instant, Post, Pressure, Rejection, Session,
    },
};

use super::Step;

/// Prints how the session began.
pub(super) fn write_header(out: &mut impl Write, header: &Header) -> io::Result<()> {
    writeln!(out, "session {}, of rejoin {}", header.session, header.version)
}

/// Prints what a session was told and what it did.
pub(super) fn write_step(out: &mut impl Write, begun: Instant, turn: &Step<'_>) -> io::Result<()> {
    let time = turn.now.since(begun).as_secs_f64();
    writeln!(out, "{time:>10.3}  {}", describe_input(&turn.input))?;
    let mut say = |line: String| writeln!(out, "{:12}  {line}", "");
    for action in &turn.actions {
        describe_action(turn.session, action).into_iter().try_for_each(&mut say)?;
    }
    match &turn.result {
        Ok(Pressure::None) => Ok(()),
        Ok(Pressure::Hold(stream)) => say(format!("hold the sender to {stream}")),
        Err(rejection) => {
            say(format!("reject: {} is at fault: {rejection}", party_at_fault(rejection)))
        }
    }
}

fn describe_input(input: &Input<String>) -> String {
    match input {
        Input::Reserve { connection } => format!("connection {connection}: reserve"),
        Input::Request { connection, format, post } => {
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
        Input::Message { post } => format!("POST {}", describe_post(post)),
        Input::Acknowledged { connection, through } => {
            format!("connection {connection}: taken through {through}")
        }
        Input::ConnectionClosed { connection, through: Some(through) } => {
            format!("connection {connection}: closed, taken through {through}")
        }
        Input::ConnectionClosed { connection, through: None } => {
            format!("connection {connection}: closed, nothing taken")
        }
        Input::Abandon { stream } => format!("abandon {stream}"),
        Input::Delete => "DELETE".to_owned(),
        Input::CloseSession { reason } => format!("close: {reason:?}"),
        Input::BackendMessage { message, related: None } => {
            format!("backend: {} ({} bytes)", message.body, message.bytes)
        }
        Input::BackendMessage { message, related: Some(id) } => {
            format!("backend: {} ({} bytes), related to {id}", message.body, message.bytes)
        }
        Input::Disconnect { stream, retry } => {
            let retry = retry.map(|retry| format!(", retry after {retry:?}"));
            format!("backend: close the connection of {stream}{}", retry.unwrap_or_default())
        }
        Input::BackendGone => "backend: gone".to_owned(),
        Input::Tick => "time passes".to_owned(),
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

fn describe_action(session: &Session<String>, action: &Action<String>) -> Vec<String> {
    let line = match action {
        Action::Forward { message } => format!("forward {message}"),
        Action::Send { connection, id, event: sent, .. } => {
            let id = id.map_or(String::new(), |id| format!("{id} "));
            format!("send on {connection}: {id}{}", describe_event(sent))
        }
        Action::Replay { connection, stream, range } => {
            let replayed = session.replay(*stream, range.clone());
            let line = replayed.map(|logged| {
                let id = EventId::new(*stream, logged.index);
                format!("replay on {connection}: {id} {}", describe_event(&logged.entry.to_event()))
            });
            return line.collect();
        }
        Action::Gap { connection, missed, .. } => {
            format!("tell {connection} that it misses {} to {}", missed.start(), missed.end())
        }
        Action::Discard { connection } => format!("discard what {connection} holds"),
        Action::Close { connection, reason } => format!("end {connection}: {reason:?}"),
        Action::FailServerRequest { id, reason } => format!("fail {id} of the backend: {reason:?}"),
        Action::CancelRequest { id } => format!("cancel {id} at the backend"),
        Action::Release { stream } => format!("release the senders to {stream}"),
        Action::SessionClosed { reason } => format!("close the session: {reason:?}"),
        Action::Report(report) => format!("report {report:?}"),
    };
    vec![line]
}

fn describe_event(event: &Event<String>) -> String {
    match event {
        Event::Message(label) => label.clone(),
        Event::Failure(failure) => format!("failure {}: {:?}", failure.id, failure.reason),
        Event::Priming { retry: None } => "priming".to_owned(),
        Event::Priming { retry: Some(retry) } => format!("priming, retry after {retry:?}"),
    }
}

fn party_at_fault(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::Client(_) => "the client",
        Rejection::Backend(_) => "the backend",
        Rejection::ApiMisuse(_) => "the caller",
        Rejection::Closed(_) => "nobody",
    }
}
