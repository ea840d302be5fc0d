//! The beginning of a link: both sides prove that they know the secret.
//!
//! The one that connects says who it is, whom it wants, the address that it has connected to, and a nonce.
//! The other one answers with a nonce and the size of the largest call. Then each sends the HMAC-SHA-256
//! of all of that, first the one that connects, so that a stranger gets nothing to guess the secret by.
//! The other one also says whether it accepts the link: the address must be its own, so that somebody who can
//! only write to the store cannot stand in between.

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
    #[error("the address has more than {ADDRESS_BYTES_MAX} bytes")]
    AddressTooLong,
    #[error(transparent)]
    Denied(#[from] Denial),
}

/// Why a process that knows the secret gets no link. Numbered as on the wire, where 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Denial {
    #[error("another process answers at the address")]
    OtherProcess = 1,
    #[error("the process does not advertise the address that was connected to")]
    OtherAddress = 2,
}

/// The version of the protocol: of the hello, of frames, and of what they carry.
const VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"rejoin\r\n";
/// The magic number, and the version.
const START: [u8; START_BYTES] = *b"rejoin\r\n\x00\x01";
const NONCE_BYTES: usize = 32;
const PROOF_BYTES: usize = 32;

/// Magic number and version, with which both messages begin.
const START_BYTES: usize = 8 + 2;
/// Both ids, a nonce, and the length of the address, which follows.
const HELLO_BYTES: usize = 8 + 8 + NONCE_BYTES + 2;
/// Size of the largest call, and a nonce.
const CHALLENGE_BYTES: usize = 4 + NONCE_BYTES;

/// Maximum length of an address: a name of the DNS, and a port.
const ADDRESS_BYTES_MAX: usize = 512;

impl Secret {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(secret.into())
    }

    fn mac(&self, role: &[u8], messages: [&[u8]; 2]) -> Result<Hmac<Sha256>, HelloError> {
        // A key of any length is valid.
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).map_err(|_| HelloError::Secret)?;
        let [hello, challenge] = messages;
        Ok(mac.chain_update(role).chain_update(hello).chain_update(challenge))
    }
}

const INGRESS: &[u8] = b"rejoin link: ingress";
const OWNER: &[u8] = b"rejoin link: owner";

/// Says hello to a process that was connected to at an address. Returns the size of the largest call that
/// it accepts.
pub(super) async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ends: Ends,
    address: &str,
    secret: &Secret,
) -> Result<u32, HelloError> {
    let nonce: [u8; NONCE_BYTES] = rand::random();
    let length = u16::try_from(address.len()).ok();
    let length = length.filter(|_| address.len() <= ADDRESS_BYTES_MAX);
    let length = length.ok_or(HelloError::AddressTooLong)?;
    let mut hello = Vec::with_capacity(START_BYTES + HELLO_BYTES + address.len());
    hello.extend_from_slice(&START);
    hello.extend_from_slice(&ends.ingress.0.to_be_bytes());
    hello.extend_from_slice(&ends.owner.0.to_be_bytes());
    hello.extend_from_slice(&nonce);
    hello.extend_from_slice(&length.to_be_bytes());
    hello.extend_from_slice(address.as_bytes());
    stream.write_all(&hello).await?;
    read_start(stream).await?;
    let mut challenge = [0; CHALLENGE_BYTES];
    stream.read_exact(&mut challenge).await?;
    let call_bytes_max = challenge.first_chunk().ok_or(HelloError::Stranger)?;
    let call_bytes_max = u32::from_be_bytes(*call_bytes_max);
    let proof = secret.mac(INGRESS, [&hello, &challenge])?.finalize().into_bytes();
    stream.write_all(&proof).await?;
    let (mut denial, mut proof) = ([0; 1], [0; PROOF_BYTES]);
    if let Err(error) = stream.read_exact(&mut denial).await {
        let has_closed =
            [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset].contains(&error.kind());
        // A peer that does not accept the proof says nothing.
        return Err(if has_closed { HelloError::Secret } else { error.into() });
    }
    stream.read_exact(&mut proof).await?;
    let mac = secret.mac(OWNER, [&hello, &challenge])?.chain_update(denial);
    mac.verify_slice(&proof).map_err(|_| HelloError::Secret)?;
    match denial {
        [0] => Ok(call_bytes_max),
        [2] => Err(Denial::OtherAddress.into()),
        _ => Err(Denial::OtherProcess.into()),
    }
}

/// Expects the hello of a process that has connected, which `deny` can refuse, by whom it wants and the
/// address that it has connected to.
pub(super) async fn accept(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    call_bytes_max: u32,
    secret: &Secret,
    deny: impl FnOnce(NodeId, &str) -> Option<Denial>,
) -> Result<Ends, HelloError> {
    let started = read_start(stream).await;
    if let Err(HelloError::Version(_)) = started {
        // Tells which one would be right.
        stream.write_all(&START).await?;
    }
    started?;
    let mut hello = START.to_vec();
    hello.resize(START_BYTES + HELLO_BYTES, 0);
    stream.read_exact(hello.get_mut(START_BYTES..).unwrap_or_default()).await?;
    let rest = hello.get(START_BYTES..).unwrap_or_default();
    let id = |rest: &[u8]| rest.first_chunk().map(|id| NodeId(u64::from_be_bytes(*id)));
    let (ingress, owner) = (id(rest), rest.get(8..).and_then(id));
    let (Some(ingress), Some(owner), Some(length)) = (ingress, owner, rest.last_chunk()) else {
        return Err(HelloError::Stranger);
    };
    let length = usize::from(u16::from_be_bytes(*length));
    if length > ADDRESS_BYTES_MAX {
        return Err(HelloError::AddressTooLong);
    }
    let mut address = vec![0; length];
    stream.read_exact(&mut address).await?;
    hello.extend_from_slice(&address);
    let nonce: [u8; NONCE_BYTES] = rand::random();
    let mut challenge = [0; CHALLENGE_BYTES];
    let (size, place) = challenge.split_at_mut(size_of::<u32>());
    size.copy_from_slice(&call_bytes_max.to_be_bytes());
    place.copy_from_slice(&nonce);
    stream.write_all(&[&START[..], &challenge].concat()).await?;
    let mut proof = [0; PROOF_BYTES];
    stream.read_exact(&mut proof).await?;
    let mac = secret.mac(INGRESS, [&hello, &challenge])?;
    mac.verify_slice(&proof).map_err(|_| HelloError::Secret)?;
    let address = String::from_utf8_lossy(&address);
    let denial = deny(owner, &address);
    let said = [denial.map_or(0, |denial| denial as u8)];
    let mac = secret.mac(OWNER, [&hello, &challenge])?.chain_update(said);
    let proof = mac.finalize().into_bytes();
    stream.write_all(&[&said[..], &proof].concat()).await?;
    denial.map_or(Ok(Ends { ingress, owner }), |denial| Err(denial.into()))
}

/// Reads the magic number and the version, and checks them.
async fn read_start(stream: &mut (impl AsyncRead + Unpin)) -> Result<(), HelloError> {
    let mut start = [0; START_BYTES];
    stream.read_exact(&mut start).await?;
    let version = start.strip_prefix(&MAGIC).and_then(<[u8]>::first_chunk);
    match u16::from_be_bytes(*version.ok_or(HelloError::Stranger)?) {
        VERSION => Ok(()),
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
    const ADDRESS: &str = "10.0.0.7:7311";

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes())
    }

    /// The process of `ENDS`, at `ADDRESS`.
    fn deny(owner: NodeId, address: &str) -> Option<Denial> {
        match (owner == ENDS.owner, address == ADDRESS) {
            (true, true) => None,
            (true, false) => Some(Denial::OtherAddress),
            (false, _) => Some(Denial::OtherProcess),
        }
    }

    #[test]
    fn the_start_has_the_magic_number_and_the_version() {
        assert_eq!(START[..8], MAGIC);
        assert_eq!(START[8..], VERSION.to_be_bytes());
    }

    #[tokio::test]
    async fn both_sides_know_each_other_afterwards() {
        let (mut near, mut far) = duplex(1_000);
        let (near_secret, far_secret) = (secret("same"), secret("same"));
        let both = tokio::join!(
            connect(&mut near, ENDS, ADDRESS, &near_secret),
            accept(&mut far, 77, &far_secret, deny)
        );
        assert_eq!((both.0.unwrap(), both.1.unwrap()), (77, ENDS));
    }

    #[tokio::test]
    async fn both_sides_know_why_there_is_no_link() {
        let other = Ends { owner: NodeId(3), ..ENDS };
        for (ends, address, expected) in
            [(ENDS, "10.0.0.8:7311", Denial::OtherAddress), (other, ADDRESS, Denial::OtherProcess)]
        {
            let (mut near, mut far) = duplex(1_000);
            let same = secret("same");
            let both = tokio::join!(
                connect(&mut near, ends, address, &same),
                accept(&mut far, 77, &same, deny)
            );
            for denied in [both.0.map(drop), both.1.map(drop)] {
                assert!(
                    matches!(denied, Err(HelloError::Denied(denial)) if denial == expected),
                    "{denied:?}"
                );
            }
        }
        let (mut near, _far) = duplex(1_000);
        let long = "x".repeat(ADDRESS_BYTES_MAX + 1);
        let refused = connect(&mut near, ENDS, &long, &secret("same")).await;
        assert!(matches!(refused, Err(HelloError::AddressTooLong)), "{refused:?}");
    }

    /// Somebody who can only write to the store makes an ingress connect to an address of their own, and
    /// connects to the owner in turn.
    #[tokio::test]
    async fn a_relay_at_another_address_gets_no_link() {
        let (mut ingress, relay_near) = duplex(1_000);
        let (mut owner, relay_far) = duplex(1_000);
        let same = secret("same");
        let relay = async {
            let (mut near, mut far) = (relay_near, relay_far);
            drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
        };
        let links = async {
            let both = tokio::join!(
                connect(&mut ingress, ENDS, "10.6.6.6:7311", &same),
                accept(&mut owner, 77, &same, deny)
            );
            assert!(matches!(both.0, Err(HelloError::Denied(Denial::OtherAddress))), "{both:?}");
            assert!(matches!(both.1, Err(HelloError::Denied(Denial::OtherAddress))), "{both:?}");
        };
        tokio::select! {
            () = links => {}
            () = relay => panic!("the relay has ended"),
        }
    }

    #[tokio::test]
    async fn a_denial_is_proved() {
        let (mut near, relay_near) = duplex(1_000);
        let (mut far, relay_far) = duplex(1_000);
        let same = secret("same");
        let relay = async {
            let (mut near_read, mut near_write) = tokio::io::split(relay_near);
            let (mut far_read, mut far_write) = tokio::io::split(relay_far);
            let forth = tokio::io::copy(&mut near_read, &mut far_write);
            let back = async {
                let mut start = [0; START_BYTES + CHALLENGE_BYTES];
                far_read.read_exact(&mut start).await.unwrap();
                near_write.write_all(&start).await.unwrap();
                let mut denial = [0; 1 + PROOF_BYTES];
                far_read.read_exact(&mut denial).await.unwrap();
                assert_eq!(denial[0], 2);
                denial[0] = 0;
                near_write.write_all(&denial).await.unwrap();
            };
            tokio::join!(back, forth).1.map(drop)
        };
        let accepting = accept(&mut far, 77, &same, deny);
        let connected = tokio::select! {
            connected = connect(&mut near, ENDS, "10.6.6.6:7311", &same) => connected,
            _ = async { tokio::join!(relay, accepting) } => panic!("the relay has ended"),
        };
        assert!(matches!(connected, Err(HelloError::Secret)), "{connected:?}");
    }

    #[tokio::test]
    async fn another_secret_is_refused_by_either_side() {
        let (mut near, mut far) = duplex(1_000);
        let accepting =
            tokio::spawn(async move { accept(&mut far, 77, &secret("one"), deny).await });
        let connected = connect(&mut near, ENDS, ADDRESS, &secret("other")).await;
        assert!(matches!(connected, Err(HelloError::Secret)), "it gets no proof: {connected:?}");
        assert!(matches!(accepting.await.unwrap(), Err(HelloError::Secret)));

        // An owner that accepts everything and knows no secret.
        let (mut near, mut far) = duplex(1_000);
        let imposter = async {
            let mut hello = [0; START_BYTES + HELLO_BYTES + ADDRESS.len()];
            far.read_exact(&mut hello).await.unwrap();
            far.write_all(&hello[..START_BYTES + CHALLENGE_BYTES]).await.unwrap();
            let mut proof = [0; PROOF_BYTES];
            far.read_exact(&mut proof).await.unwrap();
            far.write_all(&[0]).await.unwrap();
            far.write_all(&proof).await.unwrap();
        };
        let near_secret = secret("one");
        let (connected, ()) =
            tokio::join!(connect(&mut near, ENDS, ADDRESS, &near_secret), imposter);
        assert!(matches!(connected, Err(HelloError::Secret)), "a reflection: {connected:?}");
    }

    #[tokio::test]
    async fn strangers_and_other_versions_are_refused() {
        for (position, byte) in [(0, b'G'), (9, 99)] {
            let (mut near, mut far) = duplex(1_000);
            let mut hello = [0; START_BYTES + HELLO_BYTES];
            hello[..START_BYTES].copy_from_slice(&START);
            hello[position] = byte;
            near.write_all(&hello).await.unwrap();
            let refused = accept(&mut far, 77, &secret("one"), deny).await;
            drop(far);
            let mut said = Vec::new();
            near.read_to_end(&mut said).await.unwrap();
            if position == 0 {
                assert!(matches!(refused, Err(HelloError::Stranger)), "{refused:?}");
                assert!(said.is_empty(), "{said:?}");
            } else {
                assert!(matches!(refused, Err(HelloError::Version(99))), "{refused:?}");
                assert_eq!(said, START, "its version");
            }
        }
        // An owner of another version says which one.
        let (mut near, mut far) = duplex(1_000);
        let mut other = START;
        other[9] = 99;
        far.write_all(&other).await.unwrap();
        let refused = connect(&mut near, ENDS, ADDRESS, &secret("one")).await;
        assert!(matches!(refused, Err(HelloError::Version(99))), "{refused:?}");
    }

    #[tokio::test]
    async fn a_proof_is_of_one_hello_only() {
        let near_secret = secret("same");
        let (mut near, mut far) = duplex(1_000);
        let mut seen = Vec::new();
        let listener = async {
            let mut relayed = [0; START_BYTES + HELLO_BYTES + ADDRESS.len()];
            far.read_exact(&mut relayed).await.unwrap();
            seen = relayed.to_vec();
            far.write_all(&relayed[..START_BYTES + CHALLENGE_BYTES]).await.unwrap();
            let mut proof = [0; PROOF_BYTES];
            far.read_exact(&mut proof).await.unwrap();
            drop(far);
            proof
        };
        let (_, proof) = tokio::join!(connect(&mut near, ENDS, ADDRESS, &near_secret), listener);
        // It is played again to another process, whose nonce is another one.
        let (mut near, mut far) = duplex(1_000);
        near.write_all(&seen).await.unwrap();
        near.write_all(&proof).await.unwrap();
        let replayed = accept(&mut far, 77, &secret("same"), deny).await;
        assert!(matches!(replayed, Err(HelloError::Secret)), "{replayed:?}");
    }
}
