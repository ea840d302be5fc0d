//! Raw requests over a TCP socket.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Sends bytes and returns the status line of the response, which is empty if the connection
/// is closed without one.
pub(crate) async fn send(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    read_status(&mut stream).await
}

/// Reads the status line of a response.
pub(crate) async fn read_status(stream: &mut TcpStream) -> String {
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
