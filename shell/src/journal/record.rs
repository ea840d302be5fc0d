//! The session's end of the journal.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use crossbeam_channel::{Sender, TrySendError};
use rejoin_core::{Input, Instant};

use super::entry::{Entry, Header};
use crate::SessionId;

/// What the writer is told.
#[derive(Debug)]
pub(super) enum WriterMessage {
    Start(SessionJournal, Box<Header>),
    Entry(SessionJournal, Entry),
    /// The journal ends.
    Stop,
}

/// Whose journal a note belongs to.
#[derive(Clone, Debug)]
pub(super) struct SessionJournal {
    pub(super) session: SessionId,
    /// Whether the journal has ended, since something of it could not be written.
    pub(super) has_failed: Arc<AtomicBool>,
}

/// Records one session. It never waits: where the writer cannot keep up, the session
/// goes on, and its journal ends.
#[derive(Debug)]
pub(crate) struct Recorder {
    journal: SessionJournal,
    /// `None` once something could not be recorded: what follows would mean nothing.
    writer: Option<Sender<WriterMessage>>,
}

impl Recorder {
    pub(super) fn start(session: SessionId, notes: Sender<WriterMessage>, header: Header) -> Self {
        let of = SessionJournal { session, has_failed: Arc::default() };
        let mut recorder = Self { journal: of.clone(), writer: Some(notes) };
        recorder.send(WriterMessage::Start(of, Box::new(header)));
        recorder
    }

    /// Records what the session is told.
    pub(crate) fn record(&mut self, now: Instant, input: &Input<Bytes>) {
        if self.journal.has_failed.load(Ordering::Relaxed) {
            // The writer has said why.
            self.writer = None;
        }
        if self.writer.is_some() {
            let input = input.clone().map(|_, _| ());
            self.send(WriterMessage::Entry(self.journal.clone(), Entry { now, input }));
        }
    }

    #[cfg(test)]
    pub(super) fn has_failed(&self) -> bool {
        self.journal.has_failed.load(Ordering::Relaxed)
    }

    fn send(&mut self, note: WriterMessage) {
        let Some(notes) = &self.writer else { return };
        match notes.try_send(note) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                tracing::warn!(session = %self.journal.session.short(), "journal ends here: its writer cannot keep up");
                self.writer = None;
            }
            // The writer has said why.
            Err(TrySendError::Disconnected(_)) => self.writer = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rejoin_core::Config;

    use super::*;

    #[test]
    fn a_journal_has_no_hole() {
        let (notes, queue) = crossbeam_channel::bounded(1);
        let header = Header {
            format: Header::FORMAT,
            version: String::new(),
            session: String::new(),
            now: Instant::EPOCH,
            config: Config::default(),
        };
        let mut recorder = Recorder::start(SessionId::random(), notes, header);
        recorder.record(Instant::EPOCH, &Input::Tick);
        assert!(matches!(queue.try_recv(), Ok(WriterMessage::Start(..))));
        // There is room again, but something is missing before it.
        recorder.record(Instant::EPOCH, &Input::Delete);
        assert!(queue.try_recv().is_err());
    }
}
