//! Raw requests with any header lines.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A response.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    /// The header lines, and the body.
    pub(crate) text: String,
}

impl Raw {
    /// Returns the value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.text.lines().take_while(|line| !line.is_empty());
        let mut fields = lines.filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Sends a GET request with additional header lines, in a session that does not exist.
pub(crate) async fn get(address: &str, target: &str, lines: &[&[u8]]) -> Raw {
    let mut request = format!(
        "GET {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         accept: text/event-stream\r\nmcp-session-id: 0123456789abcdef0123456789abcdef\r\n"
    )
    .into_bytes();
    for line in lines {
        request.extend_from_slice(line);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    send(address, &request).await
}

/// Sends a request, and reads the response until the end of the connection.
pub(crate) async fn send(address: &str, request: &[u8]) -> Raw {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (line, rest) = text.split_once("\r\n").unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    Raw { status, text: rest.to_owned() }
}

/// Returns the header line of a bearer token.
pub(crate) fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}")
}
