//! A long JSON response that a client reads only partly at first.

use rejoin_test_support::{Client, Program, script};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

/// More than the kernel buffers of both ends of a connection hold.
const BYTES: usize = 12 << 20;

/// Answers each request with this many bytes.
const LONG_RESPONSES: &str = r#"while receive; do
    printf '{"jsonrpc":"2.0","id":%s,"result":{"text":"' "$id"
    head -c 12582912 /dev/zero | tr '\0' x
    printf '"}}\n'
done"#;

/// Receive buffer of the client.
const RECEIVED_BYTES: u32 = 64 << 10;

/// Less than the head of a response.
const BEGINNING_BYTES: usize = 64;

pub(crate) struct LongResponse {
    stream: TcpStream,
    beginning: [u8; BEGINNING_BYTES],
}

/// Starts the program with a server of long responses, in JSON mode.
pub(crate) fn serve(options: &[&str]) -> Program {
    script::serve(&[options, &["--json-responses"]].concat(), LONG_RESPONSES)
}

impl LongResponse {
    /// Sends a request, and reads the beginning of the response.
    pub(crate) async fn start(client: &Client, address: &str) -> Self {
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

    /// Reads the rest. Returns whether the response is complete.
    pub(crate) async fn read_to_end(mut self) -> bool {
        let mut response = self.beginning.to_vec();
        let mut part = vec![0; 64 << 10];
        loop {
            // An error means that the connection was cut.
            let count = self.stream.read(&mut part).await.unwrap_or(0);
            response.extend_from_slice(&part[..count]);
            if count == 0 || response.len() > BYTES && response.ends_with(b"}") {
                return response.len() > BYTES && response.ends_with(b"}");
            }
        }
    }
}
