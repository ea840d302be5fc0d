//! Records that are missing, contradictory or damaged.

use rejoin_core::{Change, Entry, Input, MessageKind, Record, StreamId};
use serde_json::Value;

use crate::{
    busy, collect_pointers, damages, finish,
    records::{Recorded, SKIP, inputs, live, numbered},
};

#[test]
fn missing_record_is_found() {
    let recorded = Recorded::new(&inputs(), 3);
    for missing in 0..recorded.records.len() - 1 {
        let mut records = recorded.records.clone();
        let record = records.remove(missing);
        let restored = recorded.restore(&records, SKIP);
        assert_eq!(restored.is_err(), record.change.takes_number(), "{record:?}: {restored:?}");
    }
    // What the snapshot has is not repeated.
    let later = Recorded::new(&inputs(), 8);
    let twice = later.restore(&recorded.records, SKIP).unwrap();
    let once = later.restore(&later.records, SKIP).unwrap();
    assert!(twice.streams().eq(once.streams()));
}

#[test]
fn contradiction_is_found() {
    let recorded = Recorded::new(&live(), 3);
    let restore = |changes: Vec<Change<u64>>| {
        let records: Vec<_> = numbered(changes).collect();
        recorded.restore(&records, SKIP).err().map(|error| error.to_string())
    };
    let opened = |number, requests: &[i64]| Change::Opened {
        number,
        requests: requests.iter().map(|id| ((*id).into(), Some((*id).into()))).collect(),
    };
    let logged = |stream, index, kind| {
        let entry = Entry::Message { body: 1, bytes: 10, kind };
        Change::Logged { stream, index, entry }
    };
    let stream = StreamId::Request(0);
    let answer = |index| logged(stream, index, MessageKind::Response(1.into()));
    let missed = |number, index| Change::Missed { stream: StreamId::Request(number), index };
    assert_eq!(restore(vec![opened(0, &[1]), answer(1)]), None);
    for (changes, error) in [
        (vec![opened(1, &[1])], "a stream is missing"),
        (vec![opened(0, &[])], "stream without a request"),
        (vec![missed(0, 1)], "record of a stream that is not open"),
        (vec![opened(0, &[1, 2]), answer(2), missed(0, 2)], "index was used before"),
        (vec![opened(0, &[1, 1])], "duplicate pending request id"),
        (vec![answer(1)], "record of a stream that is not open"),
        (
            vec![opened(0, &[1, 2]), answer(1), answer(2)],
            "response to a request that is not pending",
        ),
        (
            vec![opened(0, &[1, 2]), answer(2), logged(stream, 2, MessageKind::Notification)],
            "index was used before",
        ),
        (vec![opened(0, &[1]), Change::Completed { number: 0 }], "stream is not complete"),
        (vec![Change::Cancelled { number: 0 }], "stream number was never allocated"),
        (
            vec![
                logged(StreamId::Standalone, 1, MessageKind::Request(1.into())),
                logged(StreamId::Standalone, 2, MessageKind::Request(1.into())),
            ],
            "duplicate server request id",
        ),
    ] {
        assert_eq!(restore(changes), Some(format!("inconsistent snapshot: {error}")));
    }
}

#[test]
fn damaged_records_are_rejected_or_harmless() {
    let mut inputs = busy();
    inputs.retain(|input| !matches!(input, Input::Get { last_event_id: Some(_), .. }));
    let recorded = Recorded::new(&inputs, 3);
    let whole = serde_json::to_value(&recorded.records).unwrap();
    let mut pointers = Vec::new();
    collect_pointers(&whole, &mut String::new(), &mut pointers);
    let (mut rejected, mut accepted) = (0, 0);
    for pointer in &pointers {
        for damaged in damages(whole.pointer(pointer).unwrap()) {
            let mut json: Value = whole.clone();
            *json.pointer_mut(pointer).unwrap() = damaged;
            let records = serde_json::from_value::<Vec<Record<u64>>>(json);
            match records.map(|records| recorded.restore(&records, SKIP)) {
                Ok(Ok(mut session)) => {
                    accepted += 1;
                    finish(&mut session, 5_000);
                }
                Ok(Err(_)) | Err(_) => rejected += 1,
            }
        }
    }
    assert!(rejected > 100 && accepted > 100, "{rejected} rejected, {accepted} accepted");
}
