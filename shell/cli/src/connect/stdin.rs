//! Lines of the application, read by a thread of their own: a read of stdin cannot be cancelled, and
//! must not keep the program from exiting.

use std::{
    io::{self, BufRead, BufReader},
    thread,
};

use bytes::Bytes;
use tokio::sync::{
    mpsc::{self, Receiver, Sender},
    oneshot,
};

/// Maximum lines that wait to be handled.
const LINES_MAX: usize = 4;

/// A line of stdin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end.
    Text(Bytes),
    /// A line that was dropped, because it is too long.
    TooLong,
}

/// Stdin, as it is read.
#[derive(Debug)]
pub(super) struct Stdin {
    /// The lines; ends with stdin.
    pub(super) lines: Receiver<Line>,
    /// Fails at the end of stdin, even if lines are left.
    pub(super) ended: oneshot::Receiver<()>,
}

/// Starts to read stdin.
///
/// # Errors
///
/// The system refuses a thread.
pub(super) fn start(bytes_max: usize) -> io::Result<Stdin> {
    let (sender, lines) = mpsc::channel(LINES_MAX);
    let (end, ended) = oneshot::channel();
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        if let Err(error) = read(BufReader::new(io::stdin()), bytes_max, &sender) {
            tracing::warn!("cannot read stdin: {error}");
        }
        drop(end);
    })?;
    Ok(Stdin { lines, ended })
}

/// Reads lines until the input ends, or nobody wants them.
fn read(mut input: impl BufRead, bytes_max: usize, lines: &Sender<Line>) -> io::Result<()> {
    let mut line = Vec::new();
    let mut is_too_long = false;
    loop {
        let available = match input.fill_buf() {
            Ok([]) => return Ok(()),
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = memchr::memchr(b'\n', available);
        let part = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
        if line.len() + part.len() > bytes_max {
            is_too_long = true;
            line = Vec::new();
        }
        if !is_too_long {
            line.extend_from_slice(part);
        }
        let consumed = part.len() + usize::from(end.is_some());
        input.consume(consumed);
        if end.is_none() {
            continue;
        }
        let text = std::mem::take(&mut line);
        let line = if std::mem::take(&mut is_too_long) {
            Line::TooLong
        } else if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        } else {
            Line::Text(text.into())
        };
        if lines.blocking_send(line).is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_the_unfinished_last_one_is_dropped() {
        let (sender, mut receiver) = mpsc::channel(10);
        let input = BufReader::with_capacity(3, &b"a b\r\n\n \n12345\n123456\nx\nunfinished"[..]);
        read(input, 5, &sender).unwrap();
        drop(sender);
        let lines: Vec<Line> = std::iter::from_fn(|| receiver.blocking_recv()).collect();
        let text = |text: &'static str| Line::Text(Bytes::from_static(text.as_bytes()));
        assert_eq!(lines, [text("a b\r"), text("12345"), Line::TooLong, text("x")]);
    }
}
