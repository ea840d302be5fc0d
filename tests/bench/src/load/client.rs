//! The client: HTTP/1.1 on a TCP connection, and as little of it as will do.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use memchr::memmem;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How much is read at once, at least.
const READ_BYTES: usize = 4 << 10;

/// A connection that is kept alive, with one exchange at a time.
pub(crate) struct Client {
    stream: TcpStream,
    /// What was read of the current response.
    read: Vec<u8>,
}

/// What a client needs of the head of a response.
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
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::with_capacity(READ_BYTES) })
    }

    /// Sends a request, and reads its response to the end; returns its status, and the
    /// response with its head and its framing.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        self.send(request).await?;
        let mut head = None;
        // Where the body, or its next chunk, begins.
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

    /// Sends a request, and reads until something was said; returns all until then.
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
        Ok(self.stream.write_all(request).await?)
    }

    async fn read_more(&mut self) -> Result<()> {
        self.read.reserve(READ_BYTES);
        let count = self.stream.read_buf(&mut self.read).await?;
        ensure!(count > 0, "the server has closed the connection");
        Ok(())
    }
}

fn read_head(bytes: &[u8]) -> Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(bytes)? else { return Ok(None) };
    let status = response.code.context("there is no status")?;
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

/// Goes on behind all chunks that are complete, and says whether the last one was there.
fn skip_chunks(bytes: &[u8], at: &mut usize) -> Result<bool> {
    loop {
        let rest = bytes.get(*at..).unwrap_or_default();
        let (data, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(chunk)) => chunk,
            Ok(httparse::Status::Partial) => return Ok(false),
            Err(_) => bail!("a chunk has no size: {}", String::from_utf8_lossy(rest)),
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
    fn chunks_are_skipped_as_they_come() {
        let whole = b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
        for cut in 0..whole.len() {
            let mut at = 0;
            assert!(!skip_chunks(&whole[..cut], &mut at).unwrap());
            assert!(skip_chunks(whole, &mut at).unwrap());
        }
    }

    #[test]
    fn a_head_says_how_long_its_body_is() {
        let head = read_head(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n").unwrap().unwrap();
        assert_eq!(head.status, 200);
        assert!(matches!(head.body, Framing::Length(7)));
        assert!(read_head(b"HTTP/1.1 200 OK\r\nCont").unwrap().is_none());
    }
}
