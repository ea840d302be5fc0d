//! What backends heard, to be judged when all is over.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rejoin_core::Head;
use serde_json::Value;

use crate::message::head_of;

/// A message that a backend heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) head: Head,
    pub(crate) bytes: usize,
    /// The number that the client has given it, if it is no request.
    pub(crate) told: Option<usize>,
}

/// All that a backend heard, and whether it has died.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hearing {
    pub(crate) heard: Vec<Heard>,
    /// Why the first thing that was no message is none.
    pub(crate) garbled: Option<String>,
    /// Whether it has died by itself.
    pub(crate) is_dead: bool,
}

impl Hearing {
    /// Hears a message. Returns its head.
    pub(crate) fn hear(&mut self, text: &[u8]) -> Result<Head, String> {
        let head = head_of(text).map_err(|why| {
            let garbled = format!("{why}: {:?}", String::from_utf8_lossy(text));
            self.garbled.get_or_insert(garbled).clone()
        })?;
        self.heard.push(Heard { head: head.clone(), bytes: text.len(), told: told(text) });
        Ok(head)
    }
}

fn told(text: &[u8]) -> Option<usize> {
    let message: Value = serde_json::from_slice(text).ok()?;
    let told = message.pointer("/params/told").or(message.pointer("/result/told"))?;
    usize::try_from(told.as_u64()?).ok()
}

/// What the backend of each session heard: by the first half of the session's id where the
/// backend is in this process, or else by what the client calls itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeardBy(BTreeMap<String, Arc<Mutex<Hearing>>>);

impl HeardBy {
    pub(crate) fn insert(&mut self, session: String, hearing: Arc<Mutex<Hearing>>) {
        self.0.insert(session, hearing);
    }

    /// Returns what the backend of a session heard.
    pub(crate) fn of(&self, session: &str, visit: Option<&str>) -> Option<Hearing> {
        let of = |name| self.0.get(name).map(|hearing| hearing.lock().clone());
        of(session).or_else(|| of(visit?))
    }

    /// Returns the first thing that came to any backend and was no message.
    pub(crate) fn garbled(&self) -> Option<String> {
        self.0.values().find_map(|hearing| hearing.lock().garbled.clone())
    }

    /// Takes what processes have written down in a folder, and leaves it empty.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(crate) fn take(folder: &Path) -> io::Result<Self> {
        let mut all = Self::default();
        for file in fs::read_dir(folder)? {
            let path = file?.path();
            let mut hearing = Hearing::default();
            for line in fs::read(&path)?.split(|byte| *byte == b'\n') {
                if line == DIED {
                    hearing.is_dead = true;
                } else if !line.is_empty() {
                    // What is no message is kept there.
                    let _ = hearing.hear(line);
                }
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().replace(DASH, "/");
            all.insert(name, Arc::new(Mutex::new(hearing)));
            fs::remove_file(path)?;
        }
        Ok(all)
    }
}

/// The last line of a process that has died by itself.
pub(super) const DIED: &[u8] = b"died";
/// What stands for a slash in the name of a file.
const DASH: &str = "-";

/// Returns the name of the file for what the backend of a client hears.
pub(super) fn file_of(visit: &str) -> String {
    visit.replace('/', DASH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_has_heard_is_read_and_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let note = r#"{"jsonrpc":"2.0","method":"notifications/wire"}"#;
        fs::write(folder.path().join(file_of("1/2")), format!("{note}\ndied\n")).unwrap();
        fs::write(folder.path().join(file_of("1/3")), format!("{note}\n{{\n{note}\n")).unwrap();
        let heard = HeardBy::take(folder.path()).unwrap();
        let died = heard.of("", Some("1/2")).unwrap();
        assert!(died.is_dead && died.garbled.is_none());
        assert_eq!(died.heard.iter().map(|it| it.bytes).collect::<Vec<_>>(), [note.len()]);
        let garbled = heard.of("", Some("1/3")).unwrap();
        assert!(!garbled.is_dead && garbled.garbled.is_some() && garbled.heard.len() == 2);
        assert!(heard.garbled().is_some());
        assert!(heard.of("", Some("1/4")).is_none());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
