//! A long answer in JSON, of which a client reads only the beginning for a while.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::{client::Client, program::Program, script};

/// More than what the system holds on both sides of a connection.
const BYTES: usize = 12 << 20;

/// Answers each call by so many bytes.
const LONG_RESPONSES: &str = r#"while receive; do
    printf '{"jsonrpc":"2.0","id":%s,"result":{"text":"' "$id"
    head -c 12582912 /dev/zero | tr '\0' x
    printf '"}}\n'
done"#;

/// How much the system holds on the client's side.
const RECEIVED_BYTES: u32 = 64 << 10;

/// Less than any head of an answer.
const BEGINNING_BYTES: usize = 64;

pub(crate) struct LongResponse {
    stream: TcpStream,
    beginning: [u8; BEGINNING_BYTES],
}

/// Serves long answers in JSON.
pub(crate) fn serve(options: &[&str]) -> Program {
    script::serve(&[options, &["--json-responses"]].concat(), LONG_RESPONSES)
}

impl LongResponse {
    /// Calls a server that answers with JSON, and reads the beginning of its answer.
    pub(crate) async fn begin(client: &Client, address: &str) -> Self {
        let params = json!({ "name": "any" });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let body = body.to_string();
        let (session, length) = (client.session(), body.len());
        let request = format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\nmcp-session-id: {session}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(RECEIVED_BYTES).unwrap();
        let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut beginning = [0; BEGINNING_BYTES];
        stream.read_exact(&mut beginning).await.unwrap();
        assert!(beginning.starts_with(b"HTTP/1.1 200"), "{beginning:?}");
        Self { stream, beginning }
    }

    /// Reads the rest. Returns whether all of the answer came.
    pub(crate) async fn comes_whole(mut self) -> bool {
        let mut answer = self.beginning.to_vec();
        let mut part = vec![0; 64 << 10];
        loop {
            // An error says that the connection was cut.
            let count = self.stream.read(&mut part).await.unwrap_or(0);
            answer.extend_from_slice(&part[..count]);
            if count == 0 || answer.len() > BYTES && answer.ends_with(b"}") {
                return answer.len() > BYTES && answer.ends_with(b"}");
            }
        }
    }
}
