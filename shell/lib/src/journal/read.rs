//! The reader of journals.

use std::io::{self, BufRead, Read};

use thiserror::Error;

use super::entry::{Entry, Header};

/// The entries of a journal, in order.
#[derive(Debug)]
pub struct Reader<R> {
    header: Header,
    lines: Lines<R>,
}

/// Why a journal cannot be read to its end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The journal is empty.
    #[error("the journal is empty")]
    Empty,
    /// A line is invalid.
    #[error("line {line}: {error}")]
    Line {
        /// The number of the line, from 1.
        line: u64,
        /// Why it is invalid.
        error: serde_json::Error,
    },
    /// A line is longer than any that the writer produces.
    #[error("line {line} is longer than {LINE_BYTES_MAX} bytes")]
    TooLong {
        /// The number of the line, from 1.
        line: u64,
    },
    /// The journal has another format.
    #[error("the journal has format {0}, but this version reads format {expected}", expected = Header::FORMAT)]
    Format(u32),
}

const LINE_BYTES_MAX: u64 = 64 << 20;

impl<R: BufRead> Reader<R> {
    /// Reads the header of a journal.
    ///
    /// # Errors
    ///
    /// The journal cannot be read, or its header is invalid.
    pub fn new(journal: R) -> Result<Self, ReadError> {
        let mut lines = Lines { journal, line: 0 };
        let header: Header = lines.next()?.ok_or(ReadError::Empty)?;
        if header.format != Header::FORMAT {
            return Err(ReadError::Format(header.format));
        }
        Ok(Self { header, lines })
    }

    /// Returns the header.
    pub fn header(&self) -> &Header {
        &self.header
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.lines.next().transpose()
    }
}

#[derive(Debug)]
struct Lines<R> {
    journal: R,
    line: u64,
}

impl<R: BufRead> Lines<R> {
    /// Reads a line; `None` at the end. An incomplete last line is ignored.
    fn next<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, ReadError> {
        self.line = self.line.saturating_add(1);
        let line = self.line;
        let mut text = Vec::new();
        self.journal.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text)?;
        let is_complete = text.ends_with(b"\n");
        if !is_complete && text.len() as u64 == LINE_BYTES_MAX {
            return Err(ReadError::TooLong { line });
        }
        if text.is_empty() {
            return Ok(None);
        }
        match serde_json::from_slice(&text) {
            Ok(entry) => Ok(Some(entry)),
            Err(_) if !is_complete && line > 1 => Ok(None),
            Err(error) => Err(ReadError::Line { line, error }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"format":5,"version":"0.1.0","session":"00","now":0,"config":"#;

    fn journal(rest: &str) -> String {
        let config = serde_json::to_string(&rejoin_core::Config::default()).unwrap();
        format!("{HEADER}{config}}}\n{rest}")
    }

    fn entries(text: &str) -> Result<Vec<Entry>, ReadError> {
        Reader::new(text.as_bytes())?.collect()
    }

    #[test]
    fn an_incomplete_last_line_is_ignored() {
        let line = r#"{"now":1,"input":"Tick"}"#;
        assert_eq!(entries(&journal(&format!("{line}\n{line}\n{{\"now"))).unwrap().len(), 2);
        assert_eq!(entries(&journal("")).unwrap().len(), 0);
    }

    #[test]
    fn errors_name_the_cause() {
        for (text, expected) in [
            (String::new(), "the journal is empty"),
            ("hello\n".to_owned(), "line 1: expected value"),
            (journal("").replace("\"format\":5", "\"format\":7"), "the journal has format 7"),
            (journal("{\"now\":1,\"input\":\"Tock\"}\n"), "line 2: unknown variant `Tock`"),
        ] {
            let error = entries(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
