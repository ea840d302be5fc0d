//! Minimal HTTP/1.1 client on a TCP connection.

use anyhow::{Context as _, Result, bail, ensure};
use memchr::memmem;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use super::endpoint::Endpoint;

/// Minimum free space of the buffer for each read.
const READ_BYTES: usize = 4 << 10;

/// A keep-alive connection, with one request at a time.
pub(crate) struct Client {
    stream: Stream,
    /// The part of the current response that was received.
    read: Vec<u8>,
}

/// The bytes of a connection.
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The head of a response.
struct Head {
    status: u16,
    length: usize,
    body: Framing,
}

#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(endpoint: impl Into<Endpoint>) -> Result<Self> {
        let stream = endpoint.into().connect().await?;
        Ok(Self { stream, read: Vec::with_capacity(READ_BYTES) })
    }

    /// Sends a request and reads its response to the end. Returns the status, and the response
    /// including its head and framing.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        self.send(request).await?;
        let mut head = None;
        // Offset of the body or of its next chunk.
        let mut at = 0;
        loop {
            if head.is_none() {
                head = read_head(&self.read)?;
                at = head.as_ref().map_or(0, |head| head.length);
            }
            if let Some(Head { status, body, length }) = head
                && match body {
                    Framing::Length(bytes) => self.read.len() >= length + bytes,
                    Framing::Chunked => skip_chunks(&self.read, &mut at)?,
                }
            {
                return Ok((status, &self.read));
            }
            self.read_more().await?;
        }
    }

    /// Sends a request and reads until the response contains `needle`. Returns all data until then.
    pub(crate) async fn read_until(&mut self, request: &[u8], needle: &[u8]) -> Result<&[u8]> {
        self.send(request).await?;
        while memmem::find(&self.read, needle).is_none() {
            self.read_more()
                .await
                .with_context(|| String::from_utf8_lossy(&self.read).into_owned())?;
        }
        Ok(&self.read)
    }

    async fn send(&mut self, request: &[u8]) -> Result<()> {
        self.read.clear();
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(request).await?,
            Stream::Tls(stream) => {
                stream.write_all(request).await?;
                stream.flush().await?;
            }
        }
        Ok(())
    }

    async fn read_more(&mut self) -> Result<()> {
        self.read.reserve(READ_BYTES);
        let count = match &mut self.stream {
            Stream::Tcp(stream) => stream.read_buf(&mut self.read).await?,
            Stream::Tls(stream) => stream.read_buf(&mut self.read).await?,
        };
        ensure!(count > 0, "connection closed by the server");
        Ok(())
    }
}

fn read_head(bytes: &[u8]) -> Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(bytes)? else { return Ok(None) };
    let status = response.code.context("no status")?;
    let mut body = Framing::Length(0);
    for header in response.headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            body = Framing::Length(std::str::from_utf8(header.value)?.parse()?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            body = Framing::Chunked;
        }
    }
    Ok(Some(Head { status, length, body }))
}

/// Skips all complete chunks, and returns whether the last one was among them.
fn skip_chunks(bytes: &[u8], at: &mut usize) -> Result<bool> {
    loop {
        let rest = bytes.get(*at..).unwrap_or_default();
        let (data, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(chunk)) => chunk,
            Ok(httparse::Status::Partial) => return Ok(false),
            Err(_) => bail!("invalid chunk size: {}", String::from_utf8_lossy(rest)),
        };
        let next = *at + data + usize::try_from(size)? + 2;
        if bytes.len() < next {
            return Ok(false);
        }
        *at = next;
        if size == 0 {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_skipped_incrementally() {
        let whole = b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
        for cut in 0..whole.len() {
            let mut at = 0;
            assert!(!skip_chunks(&whole[..cut], &mut at).unwrap());
            assert!(skip_chunks(whole, &mut at).unwrap());
        }
    }

    #[test]
    fn head_has_the_length_of_the_body() {
        let head = read_head(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n").unwrap().unwrap();
        assert_eq!(head.status, 200);
        assert!(matches!(head.body, Framing::Length(7)));
        assert!(read_head(b"HTTP/1.1 200 OK\r\nCont").unwrap().is_none());
    }
}
