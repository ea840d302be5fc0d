//! Headers that authenticate the requests, and the bearer token that may change.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use http::{HeaderMap, HeaderValue, header};
use parking_lot::Mutex;

use super::options::Header;

/// Maximum size in bytes of a file with a bearer token.
const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// The headers that every request has besides those of the protocol.
#[derive(Clone)]
pub(super) struct Credentials {
    headers: Arc<[Header]>,
    file: Option<Arc<Path>>,
    token: Arc<Mutex<Option<HeaderValue>>>,
}

impl Credentials {
    /// Reads the bearer token, if there is one.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or does not contain a token.
    pub(super) fn read(headers: Vec<Header>, file: Option<PathBuf>) -> anyhow::Result<Self> {
        let token = file.as_deref().map(read_token).transpose()?;
        Ok(Self {
            headers: headers.into(),
            file: file.map(Into::into),
            token: Arc::new(Mutex::new(token)),
        })
    }

    /// Adds the headers to a request. Returns the token that was added.
    pub(super) fn add_to(&self, headers: &mut HeaderMap) -> Option<HeaderValue> {
        for Header { name, value } in self.headers.iter() {
            headers.append(name, value.clone());
        }
        let token = self.token.lock().clone();
        if let Some(token) = &token {
            headers.insert(header::AUTHORIZATION, token.clone());
        }
        token
    }

    /// Reads the bearer token again. Returns whether it is another one than that which was sent.
    pub(super) async fn reload(&self, sent: Option<&HeaderValue>) -> bool {
        let Some(file) = self.file.clone() else { return false };
        let read = tokio::task::spawn_blocking(move || read_token(&file)).await;
        match read.context("the task has failed").flatten() {
            Ok(token) => {
                let changed = Some(&token) != sent;
                *self.token.lock() = Some(token);
                changed
            }
            Err(error) => {
                tracing::warn!("the bearer token cannot be read again: {error:#}");
                false
            }
        }
    }
}

/// Reads a file with a token, and returns the value of the header.
fn read_token(file: &Path) -> anyhow::Result<HeaderValue> {
    let context = || format!("--bearer-file: {}", file.display());
    let mut text = String::new();
    let opened = File::open(file).with_context(context)?;
    opened.take(TOKEN_BYTES_MAX + 1).read_to_string(&mut text).with_context(context)?;
    anyhow::ensure!(
        text.len() as u64 <= TOKEN_BYTES_MAX,
        "--bearer-file: {}: larger than {TOKEN_BYTES_MAX} bytes",
        file.display()
    );
    let token = text.trim();
    let is_token = |byte: u8| byte.is_ascii_graphic();
    anyhow::ensure!(
        !token.is_empty() && token.bytes().all(is_token),
        "--bearer-file: {}: expected a token",
        file.display()
    );
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).with_context(context)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn changed_token_is_noticed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "one\n").unwrap();
        let credentials = Credentials::read(Vec::new(), Some(file.path().into())).unwrap();
        let mut headers = HeaderMap::new();
        let sent = credentials.add_to(&mut headers);
        assert_eq!(headers[header::AUTHORIZATION], "Bearer one");
        assert!(!credentials.reload(sent.as_ref()).await);
        fs::write(file.path(), "two").unwrap();
        assert!(credentials.reload(sent.as_ref()).await);
        // Another exchange was sent with the first token, too.
        assert!(credentials.reload(sent.as_ref()).await);
        let sent = credentials.add_to(&mut headers);
        assert_eq!(headers[header::AUTHORIZATION], "Bearer two");
        fs::write(file.path(), " \n").unwrap();
        assert!(!credentials.reload(sent.as_ref()).await);
        assert_eq!(credentials.add_to(&mut headers), sent);
    }

    #[test]
    fn invalid_token_file_is_an_error_without_its_content() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let longest = "t".repeat(64 << 10);
        fs::write(file.path(), &longest).unwrap();
        assert!(read_token(file.path()).is_ok());
        for text in ["", "  ", "two words", "\u{e9}", &format!("{longest}t")] {
            fs::write(file.path(), text).unwrap();
            let error = read_token(file.path()).unwrap_err().to_string();
            assert!(error.contains("--bearer-file") && !error.contains("words"), "{error}");
        }
        assert!(read_token(Path::new("/no/such")).is_err());
    }
}
