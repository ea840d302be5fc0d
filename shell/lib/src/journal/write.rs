//! The writer of journals: one thread for all sessions, which opens files only to append.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
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

/// Writes the journals of sessions to a directory. A clone has the same writer, for another manager.
///
/// Dropping the last clone waits until everything is written.
#[derive(Clone, Debug)]
pub struct Journal {
    writer: Arc<WriterThread>,
}

#[derive(Debug)]
struct WriterThread {
    messages: Sender<WriterMessage>,
    thread: Option<JoinHandle<()>>,
}

/// Maximum number of messages that wait for the writer.
const QUEUE_MAX: usize = 1 << 16;
/// Maximum number of messages that are written at once.
const BATCH_MAX: usize = 1 << 10;

impl Journal {
    /// Starts a writer in a directory, which is created if it does not exist. It stops after
    /// `bytes_max` bytes, over all sessions. On Unix, only the owner can read the files.
    ///
    /// # Errors
    ///
    /// The directory cannot be created or written to, or the thread cannot be spawned.
    pub fn create(directory: impl Into<PathBuf>, bytes_max: u64) -> io::Result<Self> {
        let directory = directory.into();
        create_directory(&directory)?;
        check_writable(&directory)?;
        let (messages, queue) = crossbeam_channel::bounded(QUEUE_MAX);
        let writer = Writer { directory, bytes_left: bytes_max };
        let write = move || writer.write(&queue);
        let thread = thread::Builder::new().name("rejoin-journal".to_owned()).spawn(write)?;
        Ok(Self { writer: Arc::new(WriterThread { messages, thread: Some(thread) }) })
    }

    /// Starts to record a session.
    pub(crate) fn recorder(&self, session: SessionId, config: &Config, now: Instant) -> Recorder {
        let header = Header {
            format: Header::FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            session: session.short().to_string(),
            now,
            config: config.clone(),
        };
        Recorder::start(session, self.writer.messages.clone(), header)
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        // An error means that the writer has stopped.
        let _ = self.messages.send(WriterMessage::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Writer {
    directory: PathBuf,
    /// Number of bytes that may still be written.
    bytes_left: u64,
}

impl Writer {
    fn write(mut self, queue: &Receiver<WriterMessage>) {
        loop {
            let Ok(first) = queue.recv() else { return };
            let mut must_stop = false;
            let mut lines: Lines = BTreeMap::new();
            for message in std::iter::once(first).chain(queue.try_iter()).take(BATCH_MAX) {
                match message {
                    WriterMessage::Start(journal, header) => add_line(&mut lines, journal, &header),
                    WriterMessage::Entry(journal, entry) => add_line(&mut lines, journal, &entry),
                    WriterMessage::Stop => must_stop = true,
                }
            }
            for (session, (journal, lines)) in lines {
                let Err(error) = self.append(session, &lines) else { continue };
                // Later inputs could not be replayed. Other sessions may still be written.
                journal.has_failed.store(true, Ordering::Relaxed);
                let directory = self.directory.display();
                tracing::error!(session = %session.short(), %error, %directory, "journal truncated");
                if self.bytes_left == 0 {
                    return;
                }
            }
            if must_stop {
                return;
            }
        }
    }

    /// Appends the lines that are within the size limit, and fails if that is not all.
    fn append(&mut self, session: SessionId, lines: &[u8]) -> io::Result<()> {
        let within_limit = lines_within(lines, self.bytes_left);
        if !within_limit.is_empty() {
            let path = path_of(&self.directory, session);
            open_options().create(true).append(true).open(path)?.write_all(within_limit)?;
            self.bytes_left -= within_limit.len() as u64;
        }
        if within_limit.len() < lines.len() {
            self.bytes_left = 0;
            return Err(io::Error::other("journal size limit reached"));
        }
        Ok(())
    }
}

/// Returns the complete lines within the first `bytes_max` bytes.
fn lines_within(lines: &[u8], bytes_max: u64) -> &[u8] {
    let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let Some(part) = lines.get(..bytes_max) else { return lines };
    let end = part.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    part.get(..end).unwrap_or_default()
}

/// The lines of each session to write next.
type Lines = BTreeMap<SessionId, (SessionJournal, Vec<u8>)>;

fn add_line(lines: &mut Lines, journal: SessionJournal, line: &impl Serialize) {
    if journal.has_failed.load(Ordering::Relaxed) {
        return;
    }
    let (_, lines) = lines.entry(journal.session).or_insert_with(|| (journal, Vec::new()));
    // Cannot fail: the keys are strings, and the output is memory.
    let _ = serde_json::to_writer(&mut *lines, line);
    lines.push(b'\n');
}

fn path_of(directory: &Path, session: SessionId) -> PathBuf {
    directory.join(format!("{}.jsonl", session.short()))
}

/// Creates a directory that only its owner can access.
fn create_directory(directory: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory)
}

/// Checks that files can be created and written, so that errors are reported at start and not
/// with the first session.
///
/// The name of the file is random rather than a process id, which is not unique if containers
/// share the directory.
fn check_writable(directory: &Path) -> io::Result<()> {
    let file = directory.join(format!(".test-{:016x}", rand::random::<u64>()));
    open_options().create_new(true).write(true).open(&file)?.write_all(b"\n")?;
    fs::remove_file(file)
}

/// Returns options that create files which only their owner can access.
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
    fn dropping_a_journal_writes_everything() {
        let directory = tempfile::tempdir().unwrap();
        let session = SessionId::random();
        let journal = Journal::create(directory.path(), u64::MAX).unwrap();
        let mut recorder = journal.recorder(session, &Config::default(), Instant::EPOCH);
        (0..10_000).for_each(|_| recorder.record(Instant::EPOCH, &Input::<()>::Tick));
        drop(journal);
        let text = fs::read_to_string(path_of(directory.path(), session)).unwrap();
        assert_eq!(text.lines().count(), 10_001);
    }

    #[test]
    fn the_size_limit_is_enforced() {
        let directory = tempfile::tempdir().unwrap();
        let session = SessionId::random();
        let mut writer = Writer { directory: directory.path().to_owned(), bytes_left: 11 };
        assert!(writer.append(session, b"one\n").is_ok());
        assert!(writer.append(session, b"two\nthree\n").is_err());
        let text = fs::read_to_string(path_of(directory.path(), session)).unwrap();
        assert_eq!(text, "one\ntwo\n");
    }

    /// The file of one session cannot be written, because it is a directory.
    #[test]
    fn a_write_error_only_affects_its_own_session() {
        let directory = tempfile::tempdir().unwrap();
        let (failing, other) = (SessionId::random(), SessionId::random());
        fs::create_dir(path_of(directory.path(), failing)).unwrap();
        let journal = Journal::create(directory.path(), u64::MAX).unwrap();
        let mut recorders = [failing, other]
            .map(|session| journal.recorder(session, &Config::default(), Instant::EPOCH));
        while !recorders[0].has_failed() {
            thread::yield_now();
        }
        for recorder in &mut recorders {
            recorder.record(Instant::EPOCH, &Input::<()>::Tick);
        }
        fs::remove_dir(path_of(directory.path(), failing)).unwrap();
        recorders[0].record(Instant::EPOCH, &Input::<()>::Tick);
        drop(journal);
        let text = fs::read_to_string(path_of(directory.path(), other)).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(!path_of(directory.path(), failing).exists(), "a journal has no gaps");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_access_the_files() {
        use std::os::unix::fs::PermissionsExt as _;
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("new");
        let journal = Journal::create(&directory, u64::MAX).unwrap();
        let session = SessionId::random();
        drop(journal.recorder(session, &Config::default(), Instant::EPOCH));
        drop(journal);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&path_of(&directory, session)), 0o600);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }

    /// Process ids are not unique if containers share a directory.
    #[test]
    fn leftover_test_files_are_harmless() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(format!(".test-{}", std::process::id())), "").unwrap();
        assert!(Journal::create(directory.path(), u64::MAX).is_ok());
    }

    #[test]
    fn an_unwritable_directory_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Journal::create(file.path(), u64::MAX).is_err());
        // Not even root can create files there.
        assert!(Journal::create("/proc/self", u64::MAX).is_err());
    }

    #[test]
    fn only_complete_lines_are_written() {
        let lines = b"one\ntwo\n";
        for (bytes_max, expected) in
            [(9, &lines[..]), (8, lines), (7, b"one\n"), (4, b"one\n"), (3, b""), (0, b"")]
        {
            assert_eq!(lines_within(lines, bytes_max), expected, "{bytes_max}");
        }
    }
}
