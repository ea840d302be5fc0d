//! What a link carries, for the fuzz target.

use bytes::BytesMut;
use serde::{Deserialize, Serialize};

use super::{
    REPLY_BYTES_MAX,
    frame::{self, Frame, FrameKind},
    message::{self, Call, Control, Reply},
};

/// Reads frames and what is in them. Returns whether all of it is valid.
pub(crate) fn fuzz(data: &[u8]) -> bool {
    let mut buffer = BytesMut::from(data);
    loop {
        match frame::read(&mut buffer, REPLY_BYTES_MAX) {
            Ok(Some(frame)) if is_valid(&frame) => check_written(&frame),
            Ok(None) => return buffer.is_empty(),
            Ok(Some(_)) | Err(_) => return false,
        }
    }
}

fn is_valid(frame: &Frame) -> bool {
    match frame.kind {
        FrameKind::Call => is_message::<Call>(&frame.payload),
        FrameKind::Control => is_message::<Control>(&frame.payload),
        FrameKind::Reply => is_message::<Reply>(&frame.payload),
        FrameKind::Ping | FrameKind::Pong | FrameKind::Leave => true,
    }
}

/// Returns whether the bytes are a message. It may have been written in another way, but is the same
/// when it is written again.
fn is_message<T: Serialize + for<'de> Deserialize<'de> + PartialEq>(bytes: &[u8]) -> bool {
    let Ok(message) = message::read::<T>(bytes) else { return false };
    let mut written = Vec::new();
    message::write(&message, &mut written);
    assert!(message::read::<T>(&written).is_ok_and(|read| read == message));
    true
}

fn check_written(frame: &Frame) {
    let mut written = Vec::new();
    let payload = |out: &mut Vec<u8>| out.extend_from_slice(&frame.payload);
    assert!(frame::write(frame.call, frame.kind, REPLY_BYTES_MAX, &mut written, payload));
    let read = frame::read(&mut BytesMut::from(&written[..]), REPLY_BYTES_MAX);
    assert!(read.is_ok_and(|read| read.as_ref() == Some(frame)));
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, time::Duration};

    use bytes::Bytes;

    use super::*;
    use crate::{
        Principal, SessionId, SseEvent,
        cluster::link::message::{Operation, PostCall},
    };

    #[test]
    #[ignore = "writes files; run it after changing what a link carries"]
    fn write_seeds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/frames");
        for (name, seed) in [("calls", calls()), ("controls", controls()), ("replies", replies())] {
            assert!(fuzz(&seed));
            fs::write(folder.join(name), seed).unwrap();
        }
    }

    fn calls() -> Vec<u8> {
        let session = SessionId::random();
        let ann = Principal::new("https://issuer.example", "ann");
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.headers.insert("x-name", http::HeaderValue::from_static("value"));
        let post = PostCall::new(&head, true, Bytes::from_static(b"{}"));
        let operations = [
            Operation::Find,
            Operation::Post(Box::new(post)),
            Operation::Get { last_event_id: "7/3".parse().ok() },
            Operation::Delete,
        ];
        let call = |operation| Call::new(session, Some(&ann), Some("2025-11-25"), operation);
        frames(FrameKind::Call, operations.map(call))
    }

    fn controls() -> Vec<u8> {
        let retry = Duration::from_millis(500);
        let (disconnect, expire) = (Control::Disconnect { retry }, Control::Expire { retry });
        let mut frames =
            frames(FrameKind::Control, [Control::Pull, disconnect, expire, Control::Drop]);
        for kind in [FrameKind::Ping, FrameKind::Pong, FrameKind::Leave] {
            assert!(frame::write(0, kind, REPLY_BYTES_MAX, &mut frames, |_| ()));
        }
        frames
    }

    fn replies() -> Vec<u8> {
        let id = "7/3".parse().unwrap();
        let events = [
            SseEvent::Priming { id, retry: None },
            SseEvent::Message { id: Some(id), data: Bytes::from_static(b"{}") },
        ];
        let events = events.map(Into::into).to_vec();
        let refused = Reply::Refused {
            status: 503,
            code: -32_000,
            message: "later".to_owned(),
            retry_after: Some(1),
        };
        let replies = [
            Reply::Moved,
            Reply::Foreign,
            refused,
            Reply::Done,
            Reply::Events { events, has_more: false, is_complete: true },
        ];
        frames(FrameKind::Reply, replies)
    }

    fn frames<T: Serialize>(kind: FrameKind, messages: impl IntoIterator<Item = T>) -> Vec<u8> {
        let mut frames = Vec::new();
        for (message, call) in messages.into_iter().zip(1..) {
            let payload = |out: &mut Vec<u8>| message::write(&message, out);
            assert!(frame::write(call, kind, REPLY_BYTES_MAX, &mut frames, payload));
        }
        frames
    }
}
