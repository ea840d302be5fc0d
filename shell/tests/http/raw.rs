//! Bytes on a socket.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Sends bytes, and returns the status line of what comes back; it is empty where the
/// connection just ends.
pub(crate) async fn status_of(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    status(&mut stream).await
}

pub(crate) async fn status(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.contains(&b'\n') {
        let mut part = [0; 1_024];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => break,
            Ok(length) => text.extend_from_slice(&part[..length]),
        }
    }
    let line = text.split(|byte| *byte == b'\r').next().unwrap_or_default();
    String::from_utf8(line.to_vec()).unwrap()
}
