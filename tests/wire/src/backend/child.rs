//! The backend as a process of its own, on stdin and stdout.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rejoin_core::RequestId;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::Notify;

use super::heard::{DIED, file_of};
use super::speaker::{Mouth, Scene, Speaker};
use crate::knobs::{Kind, Knobs};
use crate::message::id_value;

/// How a process begins to say on stderr that what it heard is no message.
pub(crate) const GARBLED: &str = "the backend heard what is no message";

/// Serves one session on stdin and stdout, with what goes wrong in the world of its client,
/// who says in `initialize` which that is; and writes down what it hears in a folder.
///
/// # Errors
///
/// What comes cannot be read, or cannot be written down.
pub fn run_child(is_soaking: bool, heard: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let Some(first) = lines.next_line().await? else { return Ok(()) };
        // Who sends something wrong says nothing of a world.
        let (seed, nth) = origin(&first).unwrap_or_default();
        let knobs = if is_soaking {
            Knobs::draw_soaking(seed, Kind::Child)
        } else {
            Knobs::draw_hurried(seed, Kind::Child, 1)
        };
        let line_max = knobs.world.config.message_bytes_max;
        let given_up = Arc::new(Notify::new());
        let has_given_up = Arc::default();
        let mouth = Stdout { line_max, given_up: Arc::clone(&given_up), has_given_up };
        let mut speaker = Speaker::new(mouth, Scene::new(knobs), nth, false);
        let died = speaker.died();
        let mut file = begin(heard, &first)?;
        hear(&mut speaker, &mut file, &first)?;
        loop {
            tokio::select! {
                biased;
                () = died.notified() => return write_down(&mut file, DIED),
                () = given_up.notified() => return write_down(&mut file, DIED),
                line = lines.next_line() => {
                    let Some(line) = line? else { return Ok(()) };
                    hear(&mut speaker, &mut file, &line)?;
                }
            }
        }
    });
    // Somebody may wait for the next line.
    runtime.shutdown_background();
    served
}

/// Begins the file that is named by the client, which says its name first.
fn begin(heard: &Path, first: &str) -> anyhow::Result<File> {
    let first: Value = serde_json::from_str(first).unwrap_or_default();
    let name = first.pointer("/params/clientInfo/name").and_then(Value::as_str);
    let path = heard.join(file_of(name.unwrap_or("nobody")));
    Ok(OpenOptions::new().create(true).append(true).open(path)?)
}

fn hear(speaker: &mut Speaker<Stdout>, file: &mut File, line: &str) -> anyhow::Result<()> {
    write_down(file, line.as_bytes())?;
    if let Err(garbled) = speaker.hear(line.as_bytes()) {
        writeln!(io::stderr(), "{GARBLED}: {garbled}")?;
    }
    Ok(())
}

fn write_down(file: &mut File, line: &[u8]) -> anyhow::Result<()> {
    Ok(file.write_all(&[line, b"\n"].concat())?)
}

/// Returns the seed of a client's world, and which of the backends there this one is.
fn origin(initialize: &str) -> Option<(u64, u64)> {
    let message: Value = serde_json::from_str(initialize).ok()?;
    let client = message.pointer("/params/clientInfo")?;
    let seed = client.get("version")?.as_str()?.parse().ok()?;
    let (no, visit) = client.get("name")?.as_str()?.split_once('/')?;
    let (no, visit): (u64, u64) = (no.parse().ok()?, visit.parse().ok()?);
    Some((seed, no * VISITS_MAX + visit))
}

/// How many sessions a client enters, one after the other.
const VISITS_MAX: u64 = 1_000_000;

/// One line for each message.
#[derive(Clone, Debug)]
struct Stdout {
    /// The longest line that the program takes. A child dies in place of writing a longer
    /// one, since nothing that the program says of it would have a stamp.
    line_max: usize,
    given_up: Arc<Notify>,
    /// Nothing more is written then: it would stand in the place of that line.
    has_given_up: Arc<AtomicBool>,
}

impl Mouth for Stdout {
    async fn say(&self, text: String, related: Option<RequestId>) -> bool {
        self.say_now(text, related)
    }

    fn say_now(&self, text: String, related: Option<RequestId>) -> bool {
        let text = match related.and_then(|related| name(&text, &related)) {
            Some(named) => named,
            None => text,
        };
        if self.has_given_up.load(Ordering::Relaxed) {
            return false;
        }
        if text.len() > self.line_max {
            self.has_given_up.store(true, Ordering::Relaxed);
            self.given_up.notify_one();
            return false;
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).is_ok()
    }

    fn close_stream(&self, request: &RequestId, retry: Duration) -> bool {
        let params = json!({ "requestId": id_value(request), "retryMs": retry.as_millis() });
        let ask = json!({
            "jsonrpc": "2.0", "method": "notifications/rejoin/close_stream", "params": params,
        });
        self.say_now(ask.to_string(), None)
    }
}

/// Names the request that a message belongs to, where it is no answer.
fn name(text: &str, related: &RequestId) -> Option<String> {
    let mut message: Value = serde_json::from_str(text).ok()?;
    let params = message.get_mut("params")?.as_object_mut()?;
    params.insert("_meta".to_owned(), json!({ "rejoin/relatedRequestId": id_value(related) }));
    Some(message.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_says_where_it_is_from() {
        let client = json!({ "name": "3/5", "version": "17" });
        let initialize = json!({ "params": { "clientInfo": client } });
        assert_eq!(origin(&initialize.to_string()), Some((17, 3_000_005)));
        assert_eq!(origin(r#"{"params":{}}"#), None);
    }
}
