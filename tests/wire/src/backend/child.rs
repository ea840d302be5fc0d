//! The backend as a process of its own, on stdin and stdout.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use rejoin_core::RequestId;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::speaker::{Mouth, Speaker};
use crate::knobs::{Kind, Knobs};
use crate::message::id_value;

/// Serves one session on stdin and stdout, with what goes wrong by a seed.
///
/// # Errors
///
/// What comes is no message, or cannot be read.
pub fn run_child(seed: u64, nth: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let knobs = Arc::new(Knobs::draw_hurried(seed, Kind::Child, 1));
    runtime.block_on(async {
        let mut speaker = Speaker::new(Stdout, knobs, nth, false, Arc::default());
        let died = speaker.died();
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        loop {
            tokio::select! {
                biased;
                () = died.notified() => return Ok(()),
                line = lines.next_line() => {
                    let Some(line) = line? else { return Ok(()) };
                    speaker.hear(line.as_bytes()).map_err(anyhow::Error::msg)?;
                }
            }
        }
    })
}

/// One line for each message.
#[derive(Clone, Copy, Debug)]
struct Stdout;

impl Mouth for Stdout {
    async fn say(&self, text: String, related: Option<RequestId>) -> bool {
        self.say_now(text, related)
    }

    fn say_now(&self, text: String, related: Option<RequestId>) -> bool {
        let text = match related.and_then(|related| name(&text, &related)) {
            Some(named) => named,
            None => text,
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).is_ok()
    }

    fn close_stream(&self, request: &RequestId, retry: Duration) {
        let params = json!({ "requestId": id_value(request), "retryMs": retry.as_millis() });
        let ask = json!({
            "jsonrpc": "2.0", "method": "notifications/rejoin/close_stream", "params": params,
        });
        self.say_now(ask.to_string(), None);
    }
}

/// Names the request that a message belongs to, where it is no answer.
fn name(text: &str, related: &RequestId) -> Option<String> {
    let mut message: Value = serde_json::from_str(text).ok()?;
    let params = message.get_mut("params")?.as_object_mut()?;
    params.insert("_meta".to_owned(), json!({ "rejoin/relatedRequestId": id_value(related) }));
    Some(message.to_string())
}
