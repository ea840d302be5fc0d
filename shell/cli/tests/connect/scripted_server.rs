//! A server over HTTP whose every response is scripted.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use rejoin_test_support::LATEST_REVISION;
use serde_json::{Value, json};

/// A request that it received.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    /// By name, in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) message: Value,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn is_call(&self) -> bool {
        self.message["method"] == "tools/call"
    }

    pub(crate) fn is_initialize(&self) -> bool {
        self.message["method"] == "initialize"
    }
}

/// What it does with a request.
pub(crate) enum Reply {
    /// Sends this, and closes the connection.
    Send(String),
    /// Closes the connection.
    Close,
}

/// A server that keeps what it received.
pub(crate) struct ScriptedServer {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl ScriptedServer {
    /// Starts a server. What `script` does not handle, it handles as a server without a
    /// standalone stream, with session ids `s1`, `s2` and so on.
    pub(crate) fn start(script: impl FnMut(&Received) -> Option<Reply> + Send + 'static) -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    /// Starts a server with a listener.
    pub(crate) fn start_on(
        listener: TcpListener,
        mut script: impl FnMut(&Received) -> Option<Reply> + Send + 'static,
    ) -> Self {
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&received);
        thread::spawn(move || {
            let mut sessions = 0;
            for connection in listener.incoming().map_while(Result::ok) {
                let Some(request) = read(&connection) else { continue };
                let reply =
                    script(&request).unwrap_or_else(|| default_reply(&request, &mut sessions));
                log.lock().unwrap().push(request);
                if let Reply::Send(text) = reply {
                    // The client may have left.
                    let _ = (&connection).write_all(text.as_bytes());
                }
            }
        });
        Self { url, received }
    }

    /// Returns the requests that it received.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Returns how many of the requests satisfy a condition.
    pub(crate) fn count(&self, condition: impl Fn(&Received) -> bool) -> usize {
        self.received().iter().filter(|request| condition(request)).count()
    }
}

/// Returns a response without a body.
pub(crate) fn status(status: u16, headers: &str) -> Reply {
    Reply::Send(format!(
        "HTTP/1.1 {status} X\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n"
    ))
}

/// Returns a response with a JSON body.
pub(crate) fn json_body(status: u16, headers: &str, body: &Value) -> Reply {
    let body = body.to_string();
    let length = body.len();
    Reply::Send(format!(
        "HTTP/1.1 {status} X\r\n{headers}Content-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    ))
}

/// Returns a response that is an event stream.
pub(crate) fn events(text: &str) -> Reply {
    Reply::Send(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{text}"
    ))
}

/// Returns an event with a message.
pub(crate) fn event(id: &str, message: &Value) -> String {
    format!("id: {id}\ndata: {message}\n\n")
}

/// Returns the response to a call.
pub(crate) fn result(request: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": request["id"], "result": { "content": [] } })
}

/// Returns the response to `initialize`.
pub(crate) fn initialized(request: &Value) -> Value {
    let result = json!({
        "protocolVersion": LATEST_REVISION,
        "capabilities": { "logging": {}, "tools": { "listChanged": true } },
        "serverInfo": { "name": "scripted", "version": "0" },
    });
    json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })
}

fn default_reply(request: &Received, sessions: &mut usize) -> Reply {
    let message = &request.message;
    if request.method != "POST" {
        status(405, "")
    } else if message.get("id").is_none() || message.get("method").is_none() {
        status(202, "")
    } else if request.is_initialize() {
        *sessions += 1;
        json_body(200, &format!("Mcp-Session-Id: s{sessions}\r\n"), &initialized(message))
    } else {
        json_body(200, "", &result(message))
    }
}

fn read(connection: &TcpStream) -> Option<Received> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let method = line.split(' ').next()?.to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let message = serde_json::from_slice(&body).unwrap_or_default();
    Some(Received { method, headers, message })
}
