//! The stdio server of one session of a cluster: its messages say which of its instances sent them.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::stamp::{Arguments, EXECUTED, RECEIVED, Stamp};

/// How long a call waits for the answer to its question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves one session on stdin and stdout. Each call that is executed, and each answer that is
/// received, is a line of the file `record`, which all servers have in common.
///
/// # Errors
///
/// A message cannot be read or recorded.
pub fn run_cluster_server(record: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(serve(record));
    // A task may still be blocked on stdin.
    runtime.shutdown_background();
    served
}

async fn serve(record: &Path) -> Result<()> {
    let record = OpenOptions::new().create(true).append(true).open(record)?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let Some(first) = lines.next_line().await? else { return Ok(()) };
    let initialize: Value = serde_json::from_str(&first)?;
    let server = Arc::new(Server::new(&initialize, record)?);
    respond(
        &initialize,
        &json!({
            "protocolVersion": initialize.pointer("/params/protocolVersion"),
            "capabilities": { "logging": {}, "tools": {} },
            "serverInfo": { "name": "cluster", "version": "0" },
        }),
    )?;
    while let Some(line) = lines.next_line().await? {
        let message: Value = serde_json::from_str(&line)?;
        match message.get("method").and_then(Value::as_str) {
            Some("tools/call") => {
                let server = Arc::clone(&server);
                tokio::spawn(async move {
                    if let Err(error) = server.call(&message).await {
                        // The next write fails, too, and ends the server.
                        let _ = writeln!(io::stderr(), "{error:#}");
                    }
                });
            }
            Some(_) => {}
            None => server.receive_answer(&message)?,
        }
    }
    Ok(())
}

struct Server {
    session: String,
    /// Names this process, among those that have served the session.
    instance: String,
    record: Mutex<File>,
    announced: AtomicU64,
    asked: AtomicU64,
    answers: Mutex<HashMap<String, oneshot::Sender<()>>>,
}

impl Server {
    fn new(initialize: &Value, record: File) -> Result<Self> {
        let session = initialize.pointer("/params/clientInfo/name").and_then(Value::as_str);
        Ok(Self {
            session: session.context("the client has no name")?.to_owned(),
            instance: format!("{}-{:08x}", process::id(), RandomState::new().hash_one(()) >> 32),
            record: Mutex::new(record),
            announced: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            answers: Mutex::default(),
        })
    }

    async fn call(&self, request: &Value) -> Result<()> {
        let arguments = request.pointer("/params/arguments").cloned().unwrap_or_default();
        let arguments = Arguments::of(&arguments).context("a call has no arguments")?;
        let id = request.get("id").context("a call has no id")?;
        self.record(EXECUTED, &arguments.call)?;
        let mut serial = 0;
        let mut stamp = || {
            serial += 1;
            Stamp {
                session: self.session.clone(),
                call: arguments.call.clone(),
                instance: self.instance.clone(),
                serial,
            }
            .to_json()
        };
        for step in 1..=arguments.steps {
            let params = json!({
                "progressToken": id, "progress": step, "total": arguments.steps, "stamp": stamp(),
            });
            notify("notifications/progress", &params)?;
            if arguments.announces && step % 4 == 0 {
                self.announce()?;
            }
            if arguments.asks && step == arguments.steps / 2 {
                self.ask(id, &stamp()).await?;
            }
            sleep(arguments.interval).await;
        }
        let announced = self.announced.load(Ordering::Relaxed);
        respond(request, &json!({ "content": [], "stamp": stamp(), "announced": announced }))
    }

    /// Sends a message that belongs to no call.
    fn announce(&self) -> Result<()> {
        let serial = self.announced.fetch_add(1, Ordering::Relaxed) + 1;
        let stamp = Stamp {
            session: self.session.clone(),
            call: String::new(),
            instance: self.instance.clone(),
            serial,
        };
        let params = json!({ "level": "info", "logger": "cluster", "data": stamp.to_json() });
        notify("notifications/message", &params)
    }

    /// Asks the client something during a call, and waits for the answer.
    async fn ask(&self, call: &Value, stamp: &Value) -> Result<()> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{number}", self.instance);
        let (answer, answered) = oneshot::channel();
        self.answers.lock().insert(id.clone(), answer);
        let params = json!({
            "message": "why?", "requestedSchema": { "type": "object", "properties": {} },
            "stamp": stamp, "_meta": { "rejoin/relatedRequestId": call },
        });
        write(&json!({
            "jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": params,
        }))?;
        // Its client may be away for long.
        let _ = timeout(ANSWER_TIMEOUT, answered).await;
        Ok(())
    }

    fn receive_answer(&self, answer: &Value) -> Result<()> {
        let id = answer.get("id").and_then(Value::as_str).unwrap_or_default();
        self.record(RECEIVED, id)?;
        if let Some(waiting) = self.answers.lock().remove(id) {
            // The call may have stopped waiting.
            let _ = waiting.send(());
        }
        Ok(())
    }

    fn record(&self, what: &str, name: &str) -> Result<()> {
        let line = format!("{what} {name} {}\n", self.instance);
        Ok(self.record.lock().write_all(line.as_bytes())?)
    }
}

fn notify(method: &str, params: &Value) -> Result<()> {
    write(&json!({ "jsonrpc": "2.0", "method": method, "params": params }))
}

fn respond(request: &Value, result: &Value) -> Result<()> {
    write(&json!({ "jsonrpc": "2.0", "id": request.get("id"), "result": result }))
}

fn write(message: &Value) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{message}")?;
    Ok(out.flush()?)
}
