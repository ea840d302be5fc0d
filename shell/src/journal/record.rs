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
pub(super) enum Note {
    Began(Of, Box<Header>),
    Told(Of, Entry),
    /// The journal ends.
    End,
}

/// Whose journal a note belongs to.
#[derive(Clone, Debug)]
pub(super) struct Of {
    pub(super) session: SessionId,
    /// Whether the journal has ended, since something of it could not be written.
    pub(super) has_failed: Arc<AtomicBool>,
}

/// Records one session. It never waits: where the writer cannot keep up, the session
/// goes on, and its journal ends.
#[derive(Debug)]
pub(crate) struct Recorder {
    of: Of,
    /// `None` once something could not be recorded: what follows would mean nothing.
    notes: Option<Sender<Note>>,
}

impl Recorder {
    pub(super) fn begin(session: SessionId, notes: Sender<Note>, header: Header) -> Self {
        let of = Of { session, has_failed: Arc::default() };
        let mut recorder = Self { of: of.clone(), notes: Some(notes) };
        recorder.note(Note::Began(of, Box::new(header)));
        recorder
    }

    /// Records what the session is told.
    pub(crate) fn record(&mut self, now: Instant, input: &Input<Bytes>) {
        if self.of.has_failed.load(Ordering::Relaxed) {
            // The writer has said why.
            self.notes = None;
        }
        if self.notes.is_some() {
            let input = input.clone().map(|_, _| ());
            self.note(Note::Told(self.of.clone(), Entry { now, input }));
        }
    }

    #[cfg(test)]
    pub(super) fn has_failed(&self) -> bool {
        self.of.has_failed.load(Ordering::Relaxed)
    }

    fn note(&mut self, note: Note) {
        let Some(notes) = &self.notes else { return };
        match notes.try_send(note) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                tracing::warn!(session = %self.of.session.short(), "journal ends here: its writer cannot keep up");
                self.notes = None;
            }
            // The writer has said why.
            Err(TrySendError::Disconnected(_)) => self.notes = None,
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
        let mut recorder = Recorder::begin(SessionId::random(), notes, header);
        recorder.record(Instant::EPOCH, &Input::Tick);
        assert!(matches!(queue.try_recv(), Ok(Note::Began(..))));
        // There is room again, but something is missing before it.
        recorder.record(Instant::EPOCH, &Input::Delete);
        assert!(queue.try_recv().is_err());
    }
}
