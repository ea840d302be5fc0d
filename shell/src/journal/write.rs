//! The writer: one thread for all sessions, with no file open between two writes.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender};
use rejoin_core::{Config, Instant};
use serde::Serialize;

use super::{
    entry::Header,
    record::{Recorder, SessionJournal, WriterMessage},
};
use crate::SessionId;

/// Writes what happens in the sessions of a manager to a folder.
///
/// To drop it waits until everything is written.
#[derive(Debug)]
pub struct Journal {
    messages: Sender<WriterMessage>,
    writer: Option<JoinHandle<()>>,
}

/// How many notes wait for the writer.
const QUEUE_MAX: usize = 1 << 16;
/// How many notes are written at once.
const BATCH_MAX: usize = 1 << 10;

impl Journal {
    /// Begins a journal in `folder`, which is made if it is not there. It ends when it
    /// has written `bytes_max` bytes, over all sessions. On Unix, nobody but the owner can read
    /// what is made.
    ///
    /// # Errors
    ///
    /// The folder cannot be made or written to, or there is no thread to be had.
    pub fn create(folder: impl Into<PathBuf>, bytes_max: u64) -> io::Result<Self> {
        let folder = folder.into();
        create_folder(&folder)?;
        check_writable(&folder)?;
        let (notes, queue) = crossbeam_channel::bounded(QUEUE_MAX);
        let writer = Writer { folder, bytes_left: bytes_max };
        let write = move || writer.write(&queue);
        let writer = thread::Builder::new().name("rejoin-journal".to_owned()).spawn(write)?;
        Ok(Self { messages: notes, writer: Some(writer) })
    }

    /// Begins to record a session.
    pub(crate) fn recorder(&self, session: SessionId, config: &Config, now: Instant) -> Recorder {
        let header = Header {
            format: Header::FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            session: session.short().to_string(),
            now,
            config: config.clone(),
        };
        Recorder::start(session, self.messages.clone(), header)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // An error says that the writer has ended.
        let _ = self.messages.send(WriterMessage::Stop);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

struct Writer {
    folder: PathBuf,
    /// How many bytes may still be written.
    bytes_left: u64,
}

impl Writer {
    fn write(mut self, queue: &Receiver<WriterMessage>) {
        loop {
            let Ok(first) = queue.recv() else { return };
            let mut is_over = false;
            let mut lines: Lines = BTreeMap::new();
            for note in std::iter::once(first).chain(queue.try_iter()).take(BATCH_MAX) {
                match note {
                    WriterMessage::Start(of, header) => add_line(&mut lines, of, &header),
                    WriterMessage::Entry(of, entry) => add_line(&mut lines, of, &entry),
                    WriterMessage::Stop => is_over = true,
                }
            }
            for (session, (of, lines)) in lines {
                let Err(error) = self.append(session, &lines) else { continue };
                // What follows would mean nothing. Other sessions may have more luck.
                of.has_failed.store(true, Ordering::Relaxed);
                let folder = self.folder.display();
                tracing::error!(session = %session.short(), %error, %folder, "journal ends here");
                if self.bytes_left == 0 {
                    return;
                }
            }
            if is_over {
                return;
            }
        }
    }

    /// Writes as many lines as may still be written, and fails if that is not all.
    fn append(&mut self, session: SessionId, lines: &[u8]) -> io::Result<()> {
        let fitting = lines_within(lines, self.bytes_left);
        if !fitting.is_empty() {
            let path = path_of(&self.folder, session);
            open_options().create(true).append(true).open(path)?.write_all(fitting)?;
            self.bytes_left -= fitting.len() as u64;
        }
        if fitting.len() < lines.len() {
            self.bytes_left = 0;
            return Err(io::Error::other("it may not grow any larger"));
        }
        Ok(())
    }
}

/// Returns the whole lines that fit into so many bytes.
fn lines_within(lines: &[u8], bytes_max: u64) -> &[u8] {
    let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let Some(part) = lines.get(..bytes_max) else { return lines };
    let end = part.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    part.get(..end).unwrap_or_default()
}

/// The lines of each session that are to be written next.
type Lines = BTreeMap<SessionId, (SessionJournal, Vec<u8>)>;

fn add_line(lines: &mut Lines, of: SessionJournal, line: &impl Serialize) {
    if of.has_failed.load(Ordering::Relaxed) {
        return;
    }
    let (_, lines) = lines.entry(of.session).or_insert_with(|| (of, Vec::new()));
    // What is written has string keys and goes to memory: there is nothing to fail.
    let _ = serde_json::to_writer(&mut *lines, line);
    lines.push(b'\n');
}

fn path_of(folder: &Path, session: SessionId) -> PathBuf {
    folder.join(format!("{}.jsonl", session.short()))
}

/// Makes a folder, for its owner alone.
fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// Finds out now whether files can be made and written, and not only with the first session.
///
/// The name of the file is random: others may do the same in this folder, and their process ids
/// are the same where each is the first one of a container.
fn check_writable(folder: &Path) -> io::Result<()> {
    let file = folder.join(format!(".test-{:016x}", rand::random::<u64>()));
    open_options().create_new(true).write(true).open(&file)?.write_all(b"\n")?;
    fs::remove_file(file)
}

/// How files are opened: those that are made are for their owner alone.
fn open_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use rejoin_core::Input;

    use super::*;

    #[test]
    fn all_is_written_when_a_journal_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let session = SessionId::random();
        let journal = Journal::create(folder.path(), u64::MAX).unwrap();
        let mut recorder = journal.recorder(session, &Config::default(), Instant::EPOCH);
        (0..10_000).for_each(|_| recorder.record(Instant::EPOCH, &Input::Tick));
        drop(journal);
        let text = fs::read_to_string(path_of(folder.path(), session)).unwrap();
        assert_eq!(text.lines().count(), 10_001);
    }

    #[test]
    fn no_more_is_written_than_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let session = SessionId::random();
        let mut writer = Writer { folder: folder.path().to_owned(), bytes_left: 11 };
        assert!(writer.append(session, b"one\n").is_ok());
        assert!(writer.append(session, b"two\nthree\n").is_err());
        let text = fs::read_to_string(path_of(folder.path(), session)).unwrap();
        assert_eq!(text, "one\ntwo\n");
    }

    /// The file of one session cannot be written, since there is a folder in its place.
    #[test]
    fn a_journal_that_cannot_be_written_ends_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (broken, other) = (SessionId::random(), SessionId::random());
        fs::create_dir(path_of(folder.path(), broken)).unwrap();
        let journal = Journal::create(folder.path(), u64::MAX).unwrap();
        let mut recorders = [broken, other]
            .map(|session| journal.recorder(session, &Config::default(), Instant::EPOCH));
        while !recorders[0].has_failed() {
            thread::yield_now();
        }
        for recorder in &mut recorders {
            recorder.record(Instant::EPOCH, &Input::Tick);
        }
        fs::remove_dir(path_of(folder.path(), broken)).unwrap();
        recorders[0].record(Instant::EPOCH, &Input::Tick);
        drop(journal);
        let text = fs::read_to_string(path_of(folder.path(), other)).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(!path_of(folder.path(), broken).exists(), "a journal has no hole");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_written_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("new");
        let journal = Journal::create(&folder, u64::MAX).unwrap();
        let session = SessionId::random();
        drop(journal.recorder(session, &Config::default(), Instant::EPOCH));
        drop(journal);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&path_of(&folder, session)), 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    /// In containers that share a folder, both may have the same process id.
    #[test]
    fn what_another_has_left_prevents_no_journal() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(format!(".test-{}", std::process::id())), "").unwrap();
        assert!(Journal::create(folder.path(), u64::MAX).is_ok());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_noticed_at_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Journal::create(file.path(), u64::MAX).is_err());
        // Where not even the superuser may make files.
        assert!(Journal::create("/proc/self", u64::MAX).is_err());
    }

    #[test]
    fn what_fits_is_written_by_whole_lines() {
        let lines = b"one\ntwo\n";
        for (bytes_max, expected) in
            [(9, &lines[..]), (8, lines), (7, b"one\n"), (4, b"one\n"), (3, b""), (0, b"")]
        {
            assert_eq!(lines_within(lines, bytes_max), expected, "{bytes_max}");
        }
    }
}
