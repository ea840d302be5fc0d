//! Lines of a child's output, of bounded length.
//!
//! A line is copied into memory of its own. The codecs of `tokio-util` return a slice of their
//! buffer, which would stay allocated as long as the line is in the log of a stream.

use bytes::Bytes;
use memchr::memchr;
use tokio::io::{self, AsyncBufReadExt as _, AsyncRead, BufReader};

/// Reads lines, and buffers at most `bytes_max` bytes of one.
pub(crate) struct Lines<R> {
    output: BufReader<R>,
    /// The beginning of the next line.
    line: Vec<u8>,
    bytes_max: usize,
    /// Whether the rest of the current line is skipped.
    is_skipping: bool,
    /// Whether nothing has been read yet.
    is_unread: bool,
}

/// A line without its line ending.
#[derive(Debug, PartialEq)]
pub(crate) enum Line {
    Complete(Bytes),
    /// The beginning of a line that exceeds the limit. The rest is skipped.
    Truncated(Bytes),
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(output: R, bytes_max: usize) -> Self {
        Self {
            output: BufReader::new(output),
            line: Vec::new(),
            bytes_max,
            is_skipping: false,
            is_unread: true,
        }
    }

    /// Waits for the next line, or returns `None` at the end of the output. Cancel-safe.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let part = self.output.fill_buf().await?;
            self.is_unread = false;
            if part.is_empty() {
                let line = self.take_line();
                return Ok((!line.is_empty()).then_some(Line::Complete(line)));
            }
            let end = memchr(b'\n', part);
            let length = end.unwrap_or(part.len());
            let through = length + usize::from(end.is_some());
            if self.is_skipping {
                self.is_skipping = end.is_none();
                self.output.consume(through);
                continue;
            }
            let remaining = self.bytes_max.saturating_sub(self.line.len());
            let (kept, _) = part.split_at(length.min(remaining));
            self.line.extend_from_slice(kept);
            if length > remaining {
                self.is_skipping = true;
                self.output.consume(remaining);
                return Ok(Some(Line::Truncated(self.take_line())));
            }
            self.output.consume(through);
            if end.is_some() {
                return Ok(Some(Line::Complete(self.take_line())));
            }
        }
    }

    /// Passes the rest of a truncated line to `on_part`, piece by piece. Without this call,
    /// [`next`](Self::next) skips the rest.
    pub(crate) async fn read_rest(&mut self, mut on_part: impl FnMut(&[u8])) -> io::Result<()> {
        while self.is_skipping {
            let part = self.output.fill_buf().await?;
            let end = memchr(b'\n', part);
            let length = end.unwrap_or(part.len());
            self.is_skipping = end.is_none() && !part.is_empty();
            let (rest, _) = part.split_at(length);
            on_part(rest);
            self.output.consume(length + usize::from(end.is_some()));
        }
        Ok(())
    }

    /// Returns whether nothing has been read yet, not even the end of the output.
    pub(crate) fn is_unread(&self) -> bool {
        self.is_unread
    }

    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Reads to the end of the output, and discards everything.
    pub(crate) async fn discard_all(&mut self) {
        // A read error counts as the end.
        let _ = io::copy_buf(&mut self.output, &mut io::sink()).await;
    }

    /// Takes the buffered line, without spare capacity.
    fn take_line(&mut self) -> Bytes {
        let mut line = std::mem::take(&mut self.line);
        line.pop_if(|last| *last == b'\r');
        line.into_boxed_slice().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &str, bytes_max: usize) -> Vec<Line> {
        let mut lines = Lines::new(text.as_bytes(), bytes_max);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        all
    }

    fn complete(text: &'static str) -> Line {
        Line::Complete(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn line_ends_at_a_line_feed_or_at_the_end() {
        assert_eq!(
            lines("a\r\n\nb\nc", 8).await,
            [complete("a"), complete(""), complete("b"), complete("c")]
        );
        assert_eq!(lines("", 8).await, []);
    }

    #[tokio::test]
    async fn line_that_is_too_long_is_truncated() {
        let truncated = Line::Truncated(Bytes::from_static(b"1234"));
        assert_eq!(
            lines("1234\n12345678\n5", 4).await,
            [complete("1234"), truncated, complete("5")]
        );
    }

    #[tokio::test]
    async fn rest_of_a_truncated_line_can_be_read() {
        for (reads_rest, expected) in [(true, "56789"), (false, "")] {
            let mut lines = Lines::new("123456789\na\n".as_bytes(), 4);
            assert_eq!(
                lines.next().await.unwrap(),
                Some(Line::Truncated(Bytes::from_static(b"1234")))
            );
            let mut rest = Vec::new();
            if reads_rest {
                lines.read_rest(|part| rest.extend_from_slice(part)).await.unwrap();
            }
            assert_eq!(rest, expected.as_bytes());
            assert_eq!(lines.next().await.unwrap(), Some(complete("a")));
        }
    }

    #[tokio::test]
    async fn endless_line_is_truncated_at_the_limit() {
        let mut lines = Lines::new(io::repeat(b'x'), 100_000);
        let truncated = Line::Truncated(vec![b'x'; 100_000].into());
        assert_eq!(lines.next().await.unwrap(), Some(truncated));
    }
}
