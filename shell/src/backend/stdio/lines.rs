//! Lines of a child's output, of a bounded length.

use bytes::Bytes;
use memchr::memchr;
use tokio::io::{self, AsyncBufReadExt as _, AsyncRead, BufReader};

/// Reads lines, and holds at most `bytes_max` of one.
pub(super) struct Lines<R> {
    output: BufReader<R>,
    /// The beginning of the next line.
    line: Vec<u8>,
    bytes_max: usize,
    /// Whether the rest of a line is left out.
    is_skipping: bool,
    /// Whether nothing was read yet.
    is_unread: bool,
}

/// A line, without its end.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    Complete(Bytes),
    /// The beginning of one that is longer than allowed. Its rest is left out.
    Truncated(Bytes),
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(output: R, bytes_max: usize) -> Self {
        Self {
            output: BufReader::new(output),
            line: Vec::new(),
            bytes_max,
            is_skipping: false,
            is_unread: true,
        }
    }

    /// Waits for the next line; `None` is the end of the output. Cancel-safe.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
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
            let room = self.bytes_max.saturating_sub(self.line.len());
            let (taken, _) = part.split_at(length.min(room));
            self.line.extend_from_slice(taken);
            if length > room {
                self.is_skipping = true;
                self.output.consume(room);
                return Ok(Some(Line::Truncated(self.take_line())));
            }
            self.output.consume(through);
            if end.is_some() {
                return Ok(Some(Line::Complete(self.take_line())));
            }
        }
    }

    /// Shows the rest of a line of which the beginning was returned, piece by piece. What is
    /// not shown is skipped.
    pub(super) async fn read_rest(&mut self, mut see: impl FnMut(&[u8])) -> io::Result<()> {
        while self.is_skipping {
            let part = self.output.fill_buf().await?;
            let end = memchr(b'\n', part);
            let length = end.unwrap_or(part.len());
            self.is_skipping = end.is_none() && !part.is_empty();
            let (shown, _) = part.split_at(length);
            see(shown);
            self.output.consume(length + usize::from(end.is_some()));
        }
        Ok(())
    }

    /// Returns whether nothing was read yet, not even the end.
    pub(super) fn is_unread(&self) -> bool {
        self.is_unread
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Reads all that comes, and drops it.
    pub(super) async fn discard_all(&mut self) {
        // An output that cannot be read is at its end, too.
        let _ = io::copy_buf(&mut self.output, &mut io::sink()).await;
    }

    /// Takes what there is of the line, in no more memory than it needs.
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

    fn whole(text: &'static str) -> Line {
        Line::Complete(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn lines_end_with_a_line_feed_or_the_output() {
        assert_eq!(lines("a\r\n\nb\nc", 8).await, [whole("a"), whole(""), whole("b"), whole("c")]);
        assert_eq!(lines("", 8).await, []);
    }

    #[tokio::test]
    async fn of_a_line_that_is_too_long_there_is_the_beginning() {
        let cut = Line::Truncated(Bytes::from_static(b"1234"));
        assert_eq!(lines("1234\n12345678\n5", 4).await, [whole("1234"), cut, whole("5")]);
    }

    #[tokio::test]
    async fn the_rest_of_a_line_that_is_too_long_can_be_seen() {
        for (sees_all, seen) in [(true, "56789"), (false, "")] {
            let mut lines = Lines::new("123456789\na\n".as_bytes(), 4);
            assert_eq!(
                lines.next().await.unwrap(),
                Some(Line::Truncated(Bytes::from_static(b"1234")))
            );
            let mut rest = Vec::new();
            if sees_all {
                lines.read_rest(|part| rest.extend_from_slice(part)).await.unwrap();
            }
            assert_eq!(rest, seen.as_bytes());
            assert_eq!(lines.next().await.unwrap(), Some(whole("a")));
        }
    }

    #[tokio::test]
    async fn no_more_is_read_to_know_that_a_line_is_too_long() {
        let mut lines = Lines::new(io::repeat(b'x'), 100_000);
        let cut = Line::Truncated(vec![b'x'; 100_000].into());
        assert_eq!(lines.next().await.unwrap(), Some(cut));
    }
}
