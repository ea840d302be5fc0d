//! The marks of what the session does.

use rejoin::rejoin_core::{Action, Answer, ConnectionId, Event, EventId, Head, Report};

use super::{Class, Mark, Marks, Row, Timeline, What, mark};

impl Timeline {
    pub(super) fn on_action(&mut self, action: &Action<(), Option<Head>>, marks: &mut Marks<'_>) {
        match action {
            Action::Send { connection, id, event } => self.on_sent(*connection, *id, event, marks),
            Action::Respond { connection, answer } => {
                let row = self.connections.row(*connection);
                let (class, label) = match answer {
                    Answer::Message(head) => self.content(None, head.as_ref(), marks),
                    Answer::Failure(failure) => {
                        (Class::Failure, mark::failed(failure.reason).to_owned())
                    }
                };
                let (connection, event, again) = (connection.0, None, false);
                marks.add(row, What::Sent { connection, event, class, label, again });
                self.note_opened(row, answer, marks);
            }
            Action::Close { connection, reason } => {
                self.connections.close(*connection);
                let row = self.connections.row(*connection);
                let (connection, reason) = (connection.0, mark::ends(*reason));
                marks.add(row, What::Ends { connection, reason });
            }
            Action::Cut { connection, reason } => {
                let cut = self.connections.remove(*connection);
                let row = cut.map_or(Row::Session, |cut| cut.row);
                let (connection, reason) = (connection.0, mark::cut(*reason));
                marks.add(row, What::Cut { connection, reason });
            }
            Action::Hold { stream } => marks.add(Row::Stream(*stream), What::Held),
            Action::Release { stream } => marks.add(Row::Stream(*stream), What::Released),
            Action::Report(report) => self.on_report(report, marks),
            Action::SessionClosed { reason, .. } => {
                for (request, row) in std::mem::take(&mut self.pending) {
                    let request = request.to_string();
                    marks.add(row, What::Ended { request, outcome: "session-closed" });
                }
                marks.add(Row::Session, What::Closed { reason: mark::closed(*reason) });
            }
            Action::Forward { .. }
            | Action::Discard { .. }
            | Action::FailServerRequest { .. }
            | Action::CancelRequest { .. }
            | Action::Commit(_) => {}
        }
    }

    fn on_sent(
        &mut self,
        connection: ConnectionId,
        id: EventId,
        event: &Event<Option<Head>>,
        marks: &mut Marks<'_>,
    ) {
        let EventId { stream, index } = id;
        let (class, label) = match event {
            Event::Message(head) => self.content(Some(id), head.as_ref(), marks),
            Event::Failure(failure) => (Class::Failure, mark::failed(failure.reason).to_owned()),
            Event::Priming { .. } => (Class::Priming, String::new()),
            Event::Gap { first } => {
                self.connections.send(connection, stream, index);
                marks.add(Row::Stream(stream), What::Gap { first: *first, last: index });
                return;
            }
        };
        let again = self.connections.send(connection, stream, index);
        let (connection, event) = (connection.0, Some(index));
        marks.add(Row::Stream(stream), What::Sent { connection, event, class, label, again });
    }

    fn on_report(&mut self, report: &Report, marks: &mut Marks<'_>) {
        let Some(mut mark) = Mark::of_report(marks.at, report) else { return };
        match (&mut mark.what, report) {
            (What::Stalled { connection }, _) => {
                mark.row = self.connections.row(ConnectionId(*connection));
            }
            (What::Ended { outcome, .. }, Report::RequestEnded { id, .. })
                if Some(id) == marks.timed_out =>
            {
                *outcome = "timed-out";
            }
            _ => {}
        }
        self.forget_request(&mark.what);
        marks.out.push(mark);
    }

    /// Notes the answer to `initialize`, the only one that has no stream.
    fn note_opened(&mut self, row: Row, answer: &Answer<Option<Head>>, marks: &mut Marks<'_>) {
        let Answer::Message(Some(Head::Response { id, initialized, .. })) = answer else { return };
        if row == Row::Session && !self.is_opened {
            self.is_opened = true;
            let ended = What::Ended { request: id.to_string(), outcome: "result" };
            self.forget_request(&ended);
            marks.add(row, ended);
            let revision = initialized.version.map(|version| version.as_str().to_owned());
            marks.add(row, What::Opened { client: None, revision });
        }
    }

    fn forget_request(&mut self, what: &What) {
        if let What::Ended { request, .. } = what {
            self.pending.retain(|(pending, _)| pending.to_string() != *request);
        }
    }
}
