//! API keys: the names and the hashes of a file.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::Read as _,
    path::PathBuf,
    sync::Arc,
};

use anyhow::Context as _;
use parking_lot::RwLock;
use rejoin::{CredentialExpiry, Principal};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

/// The issuer of principals that have a key.
pub(crate) const ISSUER: &str = "rejoin:keys";

/// Maximum size of the file, in bytes, and maximum number of keys. Each request is compared with
/// every key.
const FILE_BYTES_MAX: u64 = 1 << 20;
const KEYS_MAX: usize = 4_096;

/// Maximum length of a name, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// The keys of a file, which can be read again.
#[derive(Debug)]
pub(super) struct Keys {
    file: PathBuf,
    /// At most [`KEYS_MAX`].
    keys: RwLock<Arc<[Arc<Key>]>>,
}

/// One key. While it is valid, exactly one list has it.
#[derive(Debug)]
struct Key {
    principal: Principal,
    hash: [u8; 32],
    /// Dropped with the key, which ends the streams that were opened with it.
    validity: watch::Sender<()>,
}

impl Keys {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or a line is invalid, which the error names.
    pub(super) fn read(file: PathBuf) -> anyhow::Result<Self> {
        let keys = read(&file, &[])?;
        Ok(Self { file, keys: RwLock::new(keys) })
    }

    /// Reads the file again. Keys that are not in it any more become invalid, and their streams
    /// end.
    ///
    /// # Errors
    ///
    /// Same as [`read`](Self::read); nothing is changed.
    pub(super) fn reload(&self) -> anyhow::Result<()> {
        let keys = read(&self.file, &self.keys.read())?;
        *self.keys.write() = keys;
        Ok(())
    }

    /// Finds whose key it is, in a time that does not depend on its bytes.
    pub(super) fn find(&self, key: &str) -> Option<(Principal, CredentialExpiry)> {
        let hash = Sha256::digest(key);
        let keys = Arc::clone(&self.keys.read());
        let mut found = None;
        for key in &*keys {
            if bool::from(key.hash.ct_eq(hash.as_slice())) {
                found = Some(key);
            }
        }
        let key = found?;
        let validity = key.validity.subscribe();
        let expiry = CredentialExpiry::when(move || {
            let mut validity = validity.clone();
            // An error means that the sender was dropped.
            async move { while validity.changed().await.is_ok() {} }
        });
        Some((key.principal.clone(), expiry))
    }
}

/// Reads a file. Keys that are in it still are taken from `former`.
fn read(file: &PathBuf, former: &[Arc<Key>]) -> anyhow::Result<Arc<[Arc<Key>]>> {
    let in_file = || file.display().to_string();
    let mut text = String::new();
    let opened = File::open(file).with_context(in_file)?;
    opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).with_context(in_file)?;
    let size = text.len() as u64;
    anyhow::ensure!(size <= FILE_BYTES_MAX, "{}: larger than {FILE_BYTES_MAX} bytes", in_file());
    parse(&text, former).with_context(in_file)
}

/// Parses lines of a name, white space and `sha256:` with the hash in hexadecimal digits. Empty
/// lines and those that begin with `#` are comments.
fn parse(text: &str, former: &[Arc<Key>]) -> anyhow::Result<Arc<[Arc<Key>]>> {
    let former: HashMap<_, _> = former.iter().map(|key| (key.principal.subject(), key)).collect();
    let mut names = HashSet::new();
    let mut hashes = HashSet::new();
    let mut keys = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, hash) = parse_line(line).with_context(|| format!("line {number}"))?;
        anyhow::ensure!(names.insert(name), "line {number}: the name `{name}` is not unique");
        anyhow::ensure!(hashes.insert(hash), "line {number}: another name has the same key");
        anyhow::ensure!(keys.len() < KEYS_MAX, "line {number}: more than {KEYS_MAX} keys");
        let principal = Principal::new(ISSUER, name);
        let known = former.get(name).filter(|key| key.hash == hash);
        keys.push(known.map_or_else(|| Key::new(principal, hash), |&key| Arc::clone(key)));
    }
    Ok(keys.into())
}

/// Parses a line. The error does not show it, because it may be a key.
fn parse_line(line: &str) -> anyhow::Result<(&str, [u8; 32])> {
    const EXPECTED: &str = "expected a name, a space, and `sha256:` with 64 hexadecimal digits";
    let (name, hash) = line.split_once(char::is_whitespace).context(EXPECTED)?;
    let digits = hash.trim_start().strip_prefix("sha256:").context(EXPECTED)?;
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    anyhow::ensure!(
        name.len() <= NAME_BYTES_MAX && name.bytes().all(is_name_byte),
        "a name has at most {NAME_BYTES_MAX} letters, digits, and characters of `._@-`"
    );
    Ok((name, parse_hash(digits).context(EXPECTED)?))
}

fn parse_hash(digits: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != 32 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut hash = [0; 32];
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(hash)
}

impl Key {
    fn new(principal: Principal, hash: [u8; 32]) -> Arc<Self> {
        Arc::new(Self { principal, hash, validity: watch::Sender::new(()) })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The hash of `secret`.
    const HASH: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_key_is_found_by_its_hash() {
        let zeros = "0".repeat(64);
        let file =
            file(&format!("# people\n\n  ada@example.com \t sha256:{HASH}\nbob sha256:{zeros}"));
        let keys = Keys::read(file.path().into()).unwrap();
        let (principal, _) = keys.find("secret").unwrap();
        assert_eq!(principal, Principal::new(ISSUER, "ada@example.com"));
        for other in ["", "Secret", "secret ", HASH] {
            assert!(keys.find(other).is_none(), "{other}");
        }
    }

    #[test]
    fn invalid_lines_are_errors_that_do_not_show_them() {
        let upper = HASH.to_uppercase();
        assert!(parse(&format!("ada sha256:{upper}"), &[]).is_ok());
        for (text, expected) in [
            ("secret".to_owned(), "line 1"),
            (format!("\nada sha256:{HASH}0"), "line 2"),
            (format!("ada sha256:{}", &HASH[1..]), "line 1"),
            (format!("ada sha1:{HASH}"), "line 1"),
            (format!("ada sha256:{HASH} x"), "line 1"),
            (format!("ada secret:{HASH}"), "line 1"),
            (format!("a/b sha256:{HASH}"), "line 1: a name has"),
            (format!("ada sha256:{HASH}\nada sha256:{}", "0".repeat(64)), "line 2: the name `ada`"),
            (format!("ada sha256:{HASH}\nbob sha256:{HASH}"), "line 2: another name"),
        ] {
            let error = format!("{:#}", parse(&text, &[]).unwrap_err());
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("secret") && !error.contains(&HASH[1..]), "{error}");
        }
    }

    #[tokio::test]
    async fn reloading_ends_the_keys_that_were_removed() {
        let file = file(&format!("ada sha256:{HASH}"));
        let keys = Keys::read(file.path().into()).unwrap();
        let (_, expiry) = keys.find("secret").unwrap();
        let mut expired = std::pin::pin!(expiry.expired());
        fs::write(file.path(), "ada").unwrap();
        keys.reload().unwrap_err();
        fs::write(file.path(), format!("bob sha256:{}\nada sha256:{HASH}", "0".repeat(64)))
            .unwrap();
        keys.reload().unwrap();
        let now = std::time::Duration::ZERO;
        assert!(tokio::time::timeout(now, &mut expired).await.is_err(), "it is still valid");
        fs::write(file.path(), format!("eve sha256:{HASH}")).unwrap();
        keys.reload().unwrap();
        expired.await;
        assert_eq!(keys.find("secret").unwrap().0.subject(), "eve");
    }
}
