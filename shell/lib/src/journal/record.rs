//! The recorder of a session, which sends its inputs to the writer of the journal.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crossbeam_channel::{Sender, TrySendError};
use rejoin_core::{Input, Instant};

use super::entry::{Entry, Header};
use crate::SessionId;

/// A message to the writer.
#[derive(Debug)]
pub(super) enum WriterMessage {
    Start(SessionJournal, Box<Header>),
    Entry(SessionJournal, Entry),
    /// Stops the writer.
    Stop,
}

/// The journal of a session.
#[derive(Clone, Debug)]
pub(super) struct SessionJournal {
    pub(super) session: SessionId,
    /// Whether the journal was truncated, because a line could not be written.
    pub(super) has_failed: Arc<AtomicBool>,
}

/// Records the inputs of one session. It never blocks: if the writer cannot keep up, the journal
/// is truncated.
#[derive(Debug)]
pub(crate) struct Recorder {
    journal: SessionJournal,
    /// `None` once an input could not be recorded: later ones could not be replayed without it.
    writer: Option<Sender<WriterMessage>>,
}

impl Recorder {
    pub(super) fn start(session: SessionId, writer: Sender<WriterMessage>, header: Header) -> Self {
        let journal = SessionJournal { session, has_failed: Arc::default() };
        let mut recorder = Self { journal: journal.clone(), writer: Some(writer) };
        recorder.send(WriterMessage::Start(journal, Box::new(header)));
        recorder
    }

    /// Records an input of the session.
    pub(crate) fn record<C, S>(&mut self, now: Instant, input: &Input<C, S>) {
        if self.journal.has_failed.load(Ordering::Relaxed) {
            // The writer has logged the error.
            self.writer = None;
        }
        if self.writer.is_some() {
            let input = input.map(|_, _| (), |_, _| ());
            self.send(WriterMessage::Entry(self.journal.clone(), Entry { now, input }));
        }
    }

    #[cfg(test)]
    pub(super) fn has_failed(&self) -> bool {
        self.journal.has_failed.load(Ordering::Relaxed)
    }

    fn send(&mut self, message: WriterMessage) {
        let Some(writer) = &self.writer else { return };
        match writer.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                tracing::warn!(session = %self.journal.session.short(), "journal truncated: the writer cannot keep up");
                self.writer = None;
            }
            // The writer has logged the error.
            Err(TrySendError::Disconnected(_)) => self.writer = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rejoin_core::Config;

    use super::*;

    #[test]
    fn a_journal_has_no_gaps() {
        let (writer, queue) = crossbeam_channel::bounded(1);
        let header = Header {
            format: Header::FORMAT,
            version: String::new(),
            session: String::new(),
            now: Instant::EPOCH,
            config: Config::default(),
        };
        let mut recorder = Recorder::start(SessionId::random(), writer, header);
        recorder.record(Instant::EPOCH, &Input::<()>::Tick);
        assert!(matches!(queue.try_recv(), Ok(WriterMessage::Start(..))));
        // The queue has space again, but an input before is missing.
        recorder.record(Instant::EPOCH, &Input::<()>::Delete);
        assert!(queue.try_recv().is_err());
    }
}
