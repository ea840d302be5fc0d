//! Frames: `u32` length of what follows, `u64` call, `u8` kind, payload.

use bytes::{Buf as _, Bytes, BytesMut};
use thiserror::Error;

/// A frame of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The call that it belongs to; 0 if it belongs to none.
    pub(super) call: u64,
    pub(super) kind: FrameKind,
    pub(super) payload: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// Begins a call: a [`Call`](super::Call).
    Call,
    /// Something else for the owner: a [`Control`](super::Control).
    Control,
    /// Something for the ingress: a [`Reply`](super::Reply).
    Reply,
    Ping,
    Pong,
    /// The owner leaves: it wants no more calls, and finishes those that are open.
    Leave,
}

/// A frame is invalid: its sender is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum FrameError {
    #[error("a frame of {bytes} bytes, of at most {max}")]
    TooLarge { bytes: usize, max: usize },
    #[error("a frame without a header")]
    TooShort,
    #[error("a frame of the unknown kind {0}")]
    UnknownKind(u8),
}

/// Size of the length.
const LENGTH_BYTES: usize = 4;
/// Size of the call and the kind.
const HEADER_BYTES: usize = 9;

/// The numbers of kinds.
const KINDS: [(u8, FrameKind); 6] = [
    (1, FrameKind::Call),
    (2, FrameKind::Control),
    (3, FrameKind::Reply),
    (4, FrameKind::Ping),
    (5, FrameKind::Pong),
    (6, FrameKind::Leave),
];

/// Appends a frame whose payload `write` appends. Returns whether that was at most `payload_max` bytes
/// long; otherwise nothing is appended.
pub(super) fn write(
    call: u64,
    kind: FrameKind,
    payload_max: usize,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>),
) -> bool {
    let start = out.len();
    let number =
        KINDS.into_iter().find(|(_, known)| *known == kind).map_or(0, |(number, _)| number);
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    out.extend_from_slice(&call.to_be_bytes());
    out.push(number);
    let payload_start = out.len();
    write(out);
    let payload = out.len().saturating_sub(payload_start);
    let length = u32::try_from(payload.saturating_add(HEADER_BYTES)).ok();
    let length = length.filter(|_| payload <= payload_max);
    let place = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut::<LENGTH_BYTES>);
    if let (Some(length), Some(place)) = (length, place) {
        *place = length.to_be_bytes();
        return true;
    }
    out.truncate(start);
    false
}

/// Removes the first frame from a buffer, if it is complete. Its payload has at most `payload_max`
/// bytes. Allocates nothing.
pub(super) fn read(buffer: &mut BytesMut, payload_max: usize) -> Result<Option<Frame>, FrameError> {
    let Some(length) = buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let bytes = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    let max = payload_max.saturating_add(HEADER_BYTES);
    if bytes > max {
        return Err(FrameError::TooLarge { bytes, max });
    }
    if bytes < HEADER_BYTES {
        return Err(FrameError::TooShort);
    }
    if buffer.len() < LENGTH_BYTES.saturating_add(bytes) {
        return Ok(None);
    }
    buffer.advance(LENGTH_BYTES);
    let mut frame = buffer.split_to(bytes).freeze();
    let (call, kind) = (frame.get_u64(), frame.get_u8());
    let known = KINDS.into_iter().find(|(number, _)| *number == kind);
    let (_, kind) = known.ok_or(FrameError::UnknownKind(kind))?;
    Ok(Some(Frame { call, kind, payload: frame }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 100;

    fn written(call: u64, kind: FrameKind, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(write(call, kind, MAX, &mut bytes, |out| out.extend_from_slice(payload)));
        bytes
    }

    #[test]
    fn frames_are_read_as_they_are_written() {
        let mut buffer = BytesMut::new();
        for (number, kind) in KINDS {
            buffer.extend_from_slice(&written(u64::from(number) << 40, kind, &[number; MAX]));
        }
        for (number, kind) in KINDS {
            let payload = Bytes::from(vec![number; MAX]);
            let expected = Frame { call: u64::from(number) << 40, kind, payload };
            assert_eq!(read(&mut buffer, MAX), Ok(Some(expected)));
        }
        assert_eq!(read(&mut buffer, MAX), Ok(None));
    }

    #[test]
    fn a_frame_that_is_too_large_is_neither_written_nor_awaited() {
        let mut bytes = b"before".to_vec();
        let payload = [0; MAX + 1];
        assert!(!write(1, FrameKind::Call, MAX, &mut bytes, |out| out.extend_from_slice(&payload)));
        assert_eq!(bytes, b"before");
        let length = u32::try_from(MAX + HEADER_BYTES + 1).unwrap();
        let mut buffer = BytesMut::from(&length.to_be_bytes()[..]);
        let error = FrameError::TooLarge { bytes: 110, max: 109 };
        assert_eq!(read(&mut buffer, MAX), Err(error));
    }

    #[test]
    fn invalid_frames_are_refused() {
        let mut short = BytesMut::from(&8_u32.to_be_bytes()[..]);
        assert_eq!(read(&mut short, MAX), Err(FrameError::TooShort));
        let mut unknown = written(1, FrameKind::Ping, &[]);
        unknown[LENGTH_BYTES + 8] = 99;
        let mut unknown = BytesMut::from(&unknown[..]);
        assert_eq!(read(&mut unknown, MAX), Err(FrameError::UnknownKind(99)));
    }

    proptest! {
        /// Whatever comes, in whatever pieces, is read or refused, and nothing is allocated for what
        /// is only announced.
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in proptest::collection::vec(prop_oneof![Just(0_u8), 0..6_u8, any::<u8>()], 0..400),
            piece in 1..50_usize,
        ) {
            let mut buffer = BytesMut::new();
            let mut read_bytes = 0;
            'all: for piece in bytes.chunks(piece) {
                buffer.extend_from_slice(piece);
                loop {
                    match read(&mut buffer, MAX) {
                        Ok(None) => break,
                        Ok(Some(frame)) => {
                            prop_assert!(frame.payload.len() <= MAX);
                            read_bytes += LENGTH_BYTES + HEADER_BYTES + frame.payload.len();
                        }
                        Err(_) => break 'all,
                    }
                }
            }
            prop_assert!(read_bytes + buffer.len() <= bytes.len());
            prop_assert!(buffer.capacity() <= 2 * bytes.len() + 64);
        }

        #[test]
        fn frames_are_read_in_any_pieces(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..MAX), 0..8),
            piece in 1..50_usize,
        ) {
            let bytes: Vec<u8> =
                payloads.iter().flat_map(|payload| written(7, FrameKind::Reply, payload)).collect();
            let (mut buffer, mut read_payloads) = (BytesMut::new(), Vec::new());
            for piece in bytes.chunks(piece) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = read(&mut buffer, MAX).unwrap() {
                    read_payloads.push(frame.payload.to_vec());
                }
            }
            prop_assert_eq!(read_payloads, payloads);
        }
    }
}
