//! The beginning of a link: both sides prove that they know the secret.
//!
//! The one that connects says who it is, whom it wants, and a nonce. The other one answers with a nonce
//! and the size of the largest call. Then each sends the HMAC-SHA-256 of all of that, first the one that
//! connects, so that a stranger gets nothing to guess the secret by.

use std::{fmt, io};

use hmac::{Hmac, KeyInit as _, Mac as _};
use rejoin_core::cluster::NodeId;
use sha2::Sha256;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The secret that the processes of a cluster share.
#[derive(Clone)]
pub(super) struct Secret(Box<[u8]>);

/// Both ends of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    /// Who connects.
    pub(super) ingress: NodeId,
    /// Whom it wants.
    pub(super) owner: NodeId,
}

/// There is no link.
#[derive(Debug, Error)]
pub(crate) enum HelloError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the peer is not a process of a cluster")]
    Stranger,
    #[error("the peer has version {0} of the protocol, not {VERSION}")]
    Version(u16),
    #[error("the peer has another secret")]
    Secret,
}

/// The version of the protocol: of the hello, of frames, and of what they carry.
const VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"rejoin\r\n";
const NONCE_BYTES: usize = 32;
const PROOF_BYTES: usize = 32;

/// Magic number, version, both ids, and a nonce.
const HELLO_BYTES: usize = 8 + 2 + 8 + 8 + NONCE_BYTES;
/// Magic number, version, size of the largest call, and a nonce.
const CHALLENGE_BYTES: usize = 8 + 2 + 4 + NONCE_BYTES;

impl Secret {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(secret.into())
    }

    fn mac(&self, role: &[u8], hello: &[u8], challenge: &[u8]) -> Result<Hmac<Sha256>, HelloError> {
        // A key of any length is valid.
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).map_err(|_| HelloError::Secret)?;
        Ok(mac.chain_update(role).chain_update(hello).chain_update(challenge))
    }
}

const INGRESS: &[u8] = b"rejoin link: ingress";
const OWNER: &[u8] = b"rejoin link: owner";

/// Says hello to a process that was connected to. Returns the size of the largest call that it accepts.
pub(super) async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ends: Ends,
    secret: &Secret,
) -> Result<u32, HelloError> {
    let nonce: [u8; NONCE_BYTES] = rand::random();
    let mut hello = Vec::with_capacity(HELLO_BYTES);
    hello.extend_from_slice(&MAGIC);
    hello.extend_from_slice(&VERSION.to_be_bytes());
    hello.extend_from_slice(&ends.ingress.0.to_be_bytes());
    hello.extend_from_slice(&ends.owner.0.to_be_bytes());
    hello.extend_from_slice(&nonce);
    stream.write_all(&hello).await?;
    let mut challenge = [0; CHALLENGE_BYTES];
    stream.read_exact(&mut challenge).await?;
    let rest = check_start(&challenge)?;
    let call_bytes_max = rest.first_chunk().ok_or(HelloError::Stranger)?;
    let proof = secret.mac(INGRESS, &hello, &challenge)?.finalize().into_bytes();
    stream.write_all(&proof).await?;
    let mut proof = [0; PROOF_BYTES];
    stream.read_exact(&mut proof).await?;
    let mac = secret.mac(OWNER, &hello, &challenge)?;
    mac.verify_slice(&proof).map_err(|_| HelloError::Secret)?;
    Ok(u32::from_be_bytes(*call_bytes_max))
}

/// Expects the hello of a process that has connected, and says whom that wants.
pub(super) async fn accept(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    call_bytes_max: u32,
    secret: &Secret,
) -> Result<Ends, HelloError> {
    let mut hello = [0; HELLO_BYTES];
    stream.read_exact(&mut hello).await?;
    let rest = check_start(&hello)?;
    let id = |rest: &[u8]| rest.first_chunk().map(|id| NodeId(u64::from_be_bytes(*id)));
    let (ingress, owner) = (id(rest), rest.get(8..).and_then(id));
    let (Some(ingress), Some(owner)) = (ingress, owner) else { return Err(HelloError::Stranger) };
    let nonce: [u8; NONCE_BYTES] = rand::random();
    let mut challenge = Vec::with_capacity(CHALLENGE_BYTES);
    challenge.extend_from_slice(&MAGIC);
    challenge.extend_from_slice(&VERSION.to_be_bytes());
    challenge.extend_from_slice(&call_bytes_max.to_be_bytes());
    challenge.extend_from_slice(&nonce);
    stream.write_all(&challenge).await?;
    let mut proof = [0; PROOF_BYTES];
    stream.read_exact(&mut proof).await?;
    let mac = secret.mac(INGRESS, &hello, &challenge)?;
    mac.verify_slice(&proof).map_err(|_| HelloError::Secret)?;
    let proof = secret.mac(OWNER, &hello, &challenge)?.finalize().into_bytes();
    stream.write_all(&proof).await?;
    Ok(Ends { ingress, owner })
}

/// Checks the magic number and the version, and returns what follows.
fn check_start(message: &[u8]) -> Result<&[u8], HelloError> {
    let rest = message.strip_prefix(&MAGIC).ok_or(HelloError::Stranger)?;
    let (version, rest) = rest.split_first_chunk().ok_or(HelloError::Stranger)?;
    match u16::from_be_bytes(*version) {
        VERSION => Ok(rest),
        other => Err(HelloError::Version(other)),
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    const ENDS: Ends = Ends { ingress: NodeId(1), owner: NodeId(2) };

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes())
    }

    #[tokio::test]
    async fn both_sides_know_each_other_afterwards() {
        let (mut near, mut far) = duplex(1_000);
        let (near_secret, far_secret) = (secret("same"), secret("same"));
        let both =
            tokio::join!(connect(&mut near, ENDS, &near_secret), accept(&mut far, 77, &far_secret));
        assert_eq!((both.0.unwrap(), both.1.unwrap()), (77, ENDS));
    }

    #[tokio::test]
    async fn another_secret_is_refused_by_either_side() {
        let (mut near, mut far) = duplex(1_000);
        let accepting = tokio::spawn(async move { accept(&mut far, 77, &secret("one")).await });
        let connected = connect(&mut near, ENDS, &secret("other")).await;
        assert!(matches!(connected, Err(HelloError::Io(_))), "it gets no proof: {connected:?}");
        assert!(matches!(accepting.await.unwrap(), Err(HelloError::Secret)));

        // An owner that accepts everything and knows no secret.
        let (mut near, mut far) = duplex(1_000);
        let imposter = async {
            let mut bytes = [0; HELLO_BYTES];
            far.read_exact(&mut bytes).await.unwrap();
            let mut challenge = bytes[..CHALLENGE_BYTES].to_vec();
            challenge[10..].fill(0);
            far.write_all(&challenge).await.unwrap();
            let mut proof = [0; PROOF_BYTES];
            far.read_exact(&mut proof).await.unwrap();
            far.write_all(&proof).await.unwrap();
        };
        let near_secret = secret("one");
        let (connected, ()) = tokio::join!(connect(&mut near, ENDS, &near_secret), imposter);
        assert!(matches!(connected, Err(HelloError::Secret)), "a reflection: {connected:?}");
    }

    #[tokio::test]
    async fn strangers_and_other_versions_are_refused() {
        for (position, byte) in [(0, b'G'), (9, 99)] {
            let (mut near, mut far) = duplex(1_000);
            let mut hello = [0; HELLO_BYTES];
            hello[..8].copy_from_slice(&MAGIC);
            hello[9] = 1;
            hello[position] = byte;
            near.write_all(&hello).await.unwrap();
            let refused = accept(&mut far, 77, &secret("one")).await;
            match position {
                0 => assert!(matches!(refused, Err(HelloError::Stranger)), "{refused:?}"),
                _ => assert!(matches!(refused, Err(HelloError::Version(99))), "{refused:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_proof_is_of_one_hello_only() {
        let near_secret = secret("same");
        let (mut near, mut far) = duplex(1_000);
        let mut seen = Vec::new();
        let listener = async {
            let mut relayed = [0; HELLO_BYTES];
            far.read_exact(&mut relayed).await.unwrap();
            seen = relayed.to_vec();
            let mut challenge = relayed[..CHALLENGE_BYTES].to_vec();
            challenge[10..].fill(1);
            far.write_all(&challenge).await.unwrap();
            let mut proof = [0; PROOF_BYTES];
            far.read_exact(&mut proof).await.unwrap();
            drop(far);
            proof
        };
        let (_, proof) = tokio::join!(connect(&mut near, ENDS, &near_secret), listener);
        // It is played again to another process, whose nonce is another one.
        let (mut near, mut far) = duplex(1_000);
        near.write_all(&seen).await.unwrap();
        near.write_all(&proof).await.unwrap();
        let replayed = accept(&mut far, 77, &secret("same")).await;
        assert!(matches!(replayed, Err(HelloError::Secret)), "{replayed:?}");
    }
}
