//! The backend as a process of its own, on stdin and stdout.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
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

/// Serves one session on stdin and stdout, with what goes wrong by a seed, and writes down
/// what it hears in a folder.
///
/// # Errors
///
/// What comes cannot be read, or cannot be written down.
pub fn run_child(seed: u64, nth: u64, heard: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let scene = Scene::new(Knobs::draw_hurried(seed, Kind::Child, 1));
    let line_max = scene.knobs.world.config.message_bytes_max;
    let given_up = Arc::new(Notify::new());
    let mouth = Stdout { line_max, given_up: Arc::clone(&given_up) };
    let served = runtime.block_on(async {
        let mut speaker = Speaker::new(mouth, scene, nth, false);
        let died = speaker.died();
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let mut file = None;
        loop {
            tokio::select! {
                biased;
                () = died.notified() => return write_down(file.as_mut(), DIED),
                () = given_up.notified() => return write_down(file.as_mut(), DIED),
                line = lines.next_line() => {
                    let Some(line) = line? else { return Ok(()) };
                    if file.is_none() {
                        file = Some(begin(heard, &line)?);
                    }
                    write_down(file.as_mut(), line.as_bytes())?;
                    if let Err(garbled) = speaker.hear(line.as_bytes()) {
                        writeln!(io::stderr(), "{GARBLED}: {garbled}")?;
                    }
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

fn write_down(file: Option<&mut File>, line: &[u8]) -> anyhow::Result<()> {
    if let Some(file) = file {
        file.write_all(&[line, b"\n"].concat())?;
    }
    Ok(())
}

/// One line for each message.
#[derive(Clone, Debug)]
struct Stdout {
    /// The longest line that the program takes. Whoever writes a longer one is given up.
    line_max: usize,
    given_up: Arc<Notify>,
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
        if text.len() > self.line_max {
            self.given_up.notify_one();
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
