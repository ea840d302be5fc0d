//! The scripted backend as a child process, on stdin and stdout.

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

use super::received::{EXITED, file_of};
use super::scripted::{BackendContext, MessageSink, ScriptedBackend, text_like};
use crate::message::id_value;
use crate::parameters::{BackendKind, Parameters};

/// The beginning of the stderr line for an invalid message.
pub(crate) const INVALID_MESSAGE: &str = "the backend received an invalid message";

/// Serves one session on stdin and stdout, with the faults of its client's simulation, which is
/// named in `initialize`, and records received messages in a directory.
///
/// # Errors
///
/// A message cannot be read or recorded.
pub fn run_child(is_soaking: bool, received: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let Some(first) = lines.next_line().await? else { return Ok(()) };
        // An invalid first message names no simulation.
        let (seed, nth) = seed_and_number(&first).unwrap_or_default();
        let parameters = if is_soaking {
            Parameters::draw_soak(seed, BackendKind::Child)
        } else {
            Parameters::draw_real_time(seed, BackendKind::Child, 1)
        };
        let line_max = parameters.base.config.message_bytes_max;
        let given_up = Arc::new(Notify::new());
        let has_given_up = Arc::default();
        let sink = Stdout { line_max, given_up: Arc::clone(&given_up), has_given_up };
        let mut backend = ScriptedBackend::new(sink, BackendContext::new(parameters), nth, false);
        let exited = backend.exited();
        let mut file = open_record(received, &first)?;
        receive(&mut backend, &mut file, &first)?;
        loop {
            tokio::select! {
                biased;
                () = exited.notified() => return record(&mut file, EXITED),
                () = given_up.notified() => return record(&mut file, EXITED),
                line = lines.next_line() => {
                    let Some(line) = line? else { return Ok(()) };
                    receive(&mut backend, &mut file, &line)?;
                }
            }
        }
    });
    // A task may still be blocked on stdin.
    runtime.shutdown_background();
    served
}

/// Opens the file that is named after the client in its first message.
fn open_record(received: &Path, first: &str) -> anyhow::Result<File> {
    let first: Value = serde_json::from_str(first).unwrap_or_default();
    let name = first.pointer("/params/clientInfo/name").and_then(Value::as_str);
    let path = received.join(file_of(name.unwrap_or("nobody")));
    Ok(OpenOptions::new().create(true).append(true).open(path)?)
}

fn receive(
    backend: &mut ScriptedBackend<Stdout>,
    file: &mut File,
    line: &str,
) -> anyhow::Result<()> {
    record(file, line.as_bytes())?;
    if let Err(invalid) = backend.receive(line.as_bytes()) {
        writeln!(io::stderr(), "{INVALID_MESSAGE}: {invalid}")?;
    }
    Ok(())
}

fn record(file: &mut File, line: &[u8]) -> anyhow::Result<()> {
    Ok(file.write_all(&[line, b"\n"].concat())?)
}

/// Returns the seed of the client's simulation, and the number of this backend in it.
fn seed_and_number(initialize: &str) -> Option<(u64, u64)> {
    let message: Value = serde_json::from_str(initialize).ok()?;
    let client = message.pointer("/params/clientInfo")?;
    let seed = client.get("version")?.as_str()?.parse().ok()?;
    let (no, session) = client.get("name")?.as_str()?.split_once('/')?;
    let (no, session): (u64, u64) = (no.parse().ok()?, session.parse().ok()?);
    Some((seed, no * SESSIONS_MAX + session))
}

/// Maximum number of consecutive sessions of one client.
const SESSIONS_MAX: u64 = 1_000_000;

/// Writes one line per message.
#[derive(Clone, Debug)]
struct Stdout {
    /// The longest line that the program accepts. The child exits instead of writing a longer
    /// one, because the error that the program would report has no stamp.
    line_max: usize,
    given_up: Arc<Notify>,
    /// Set before exit, so that no later line is written in place of the one that is too long.
    has_given_up: Arc<AtomicBool>,
}

impl MessageSink for Stdout {
    async fn write(&self, text: String, related: Option<RequestId>) -> bool {
        self.write_now(text, related)
    }

    fn write_now(&self, text: String, related: Option<RequestId>) -> bool {
        let text = match related.and_then(|related| with_related_request(&text, &related)) {
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

    fn disconnect(&self, request: &RequestId, retry: Duration) -> bool {
        let params = json!({ "requestId": id_value(request), "retryMs": retry.as_millis() });
        let notification = json!({
            "jsonrpc": "2.0", "method": "notifications/rejoin/close_stream", "params": params,
        });
        self.write_now(notification.to_string(), None)
    }
}

/// Adds the related request to a message that is not a response.
fn with_related_request(text: &str, related: &RequestId) -> Option<String> {
    let mut message: Value = serde_json::from_str(text).ok()?;
    let params = message.get_mut("params")?.as_object_mut()?;
    params.insert("_meta".to_owned(), json!({ "rejoin/relatedRequestId": id_value(related) }));
    // The length tells the number of the message.
    Some(text_like(text.len() as u64, &message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initialize_names_seed_and_number() {
        let client = json!({ "name": "3/5", "version": "17" });
        let initialize = json!({ "params": { "clientInfo": client } });
        assert_eq!(seed_and_number(&initialize.to_string()), Some((17, 3_000_005)));
        assert_eq!(seed_and_number(r#"{"params":{}}"#), None);
    }
}
