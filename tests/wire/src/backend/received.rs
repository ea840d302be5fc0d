//! Messages that backends received, to be checked after the simulation.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rejoin_core::Head;
use serde_json::Value;

use crate::message::head_of;

/// A message that a backend received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReceivedMessage {
    pub(crate) head: Head,
    pub(crate) bytes: usize,
    /// The number that the client gave it, if it is not a request.
    pub(crate) number: Option<usize>,
}

/// All messages that a backend received, and whether it exited.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) messages: Vec<ReceivedMessage>,
    /// The first invalid message, and why it is invalid.
    pub(crate) invalid: Option<String>,
    /// Whether the backend exited by itself.
    pub(crate) has_exited: bool,
}

impl Received {
    /// Records a message. Returns its head.
    pub(crate) fn receive(&mut self, text: &[u8]) -> Result<Head, String> {
        let head = head_of(text).map_err(|why| {
            let invalid = format!("{why}: {:?}", String::from_utf8_lossy(text));
            self.invalid.get_or_insert(invalid).clone()
        })?;
        self.messages.push(ReceivedMessage {
            head: head.clone(),
            bytes: text.len(),
            number: number_of(text),
        });
        Ok(head)
    }
}

fn number_of(text: &[u8]) -> Option<usize> {
    let message: Value = serde_json::from_slice(text).ok()?;
    let number = message.pointer("/params/sent").or(message.pointer("/result/sent"))?;
    usize::try_from(number.as_u64()?).ok()
}

/// What the backend of each session received: by the first half of the session id if the
/// backend is in this process, and by the client's name otherwise.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReceivedBySession(BTreeMap<String, Arc<Mutex<Received>>>);

impl ReceivedBySession {
    pub(crate) fn insert(&mut self, session: String, received: Arc<Mutex<Received>>) {
        self.0.insert(session, received);
    }

    /// Returns what the backend of a session received.
    pub(crate) fn of(&self, id: &str, client_name: Option<&str>) -> Option<Received> {
        let of = |name| self.0.get(name).map(|received| received.lock().clone());
        of(id).or_else(|| of(client_name?))
    }

    /// Returns the first invalid message that any backend received.
    pub(crate) fn invalid(&self) -> Option<String> {
        self.0.values().find_map(|received| received.lock().invalid.clone())
    }

    /// Reads what processes have recorded in a directory, and empties it.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub(crate) fn take(directory: &Path) -> io::Result<Self> {
        let mut all = Self::default();
        for file in fs::read_dir(directory)? {
            let path = file?.path();
            let mut received = Received::default();
            for line in fs::read(&path)?.split(|byte| *byte == b'\n') {
                if line == EXITED {
                    received.has_exited = true;
                } else if !line.is_empty() {
                    // Invalid messages are recorded, too.
                    let _ = received.receive(line);
                }
            }
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .replace(SLASH_REPLACEMENT, "/");
            all.insert(name, Arc::new(Mutex::new(received)));
            fs::remove_file(path)?;
        }
        Ok(all)
    }
}

/// The last line of a process that exited by itself.
pub(super) const EXITED: &[u8] = b"exited";
/// Replaces slashes in file names.
const SLASH_REPLACEMENT: &str = "-";

/// Returns the name of the file in which the backend of a client records its messages.
pub(super) fn file_of(client_name: &str) -> String {
    client_name.replace('/', SLASH_REPLACEMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_removes_records_of_processes() {
        let directory = tempfile::tempdir().unwrap();
        let notification = r#"{"jsonrpc":"2.0","method":"notifications/wire"}"#;
        fs::write(directory.path().join(file_of("1/2")), format!("{notification}\nexited\n"))
            .unwrap();
        fs::write(
            directory.path().join(file_of("1/3")),
            format!("{notification}\n{{\n{notification}\n"),
        )
        .unwrap();
        let received = ReceivedBySession::take(directory.path()).unwrap();
        let exited = received.of("", Some("1/2")).unwrap();
        assert!(exited.has_exited && exited.invalid.is_none());
        assert_eq!(
            exited.messages.iter().map(|it| it.bytes).collect::<Vec<_>>(),
            [notification.len()]
        );
        let invalid = received.of("", Some("1/3")).unwrap();
        assert!(!invalid.has_exited && invalid.invalid.is_some() && invalid.messages.len() == 2);
        assert!(received.invalid().is_some());
        assert!(received.of("", Some("1/4")).is_none());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
