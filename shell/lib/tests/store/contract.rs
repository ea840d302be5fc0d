//! What every store does.

use std::time::Duration;

use rejoin::{
    SessionId,
    rejoin_core::cluster::{EntryId, NodeId, StoreId},
    store::{Entry, Outcome, Store, StoreKey, Write},
};

/// Longer than any test.
pub(crate) const TTL: Duration = Duration::from_secs(600);

/// The shortest time, after which a test waits for what expires.
const SHORT: Duration = Duration::from_millis(20);

/// Checks a store that is connected.
pub(crate) async fn check(store: &dyn Store) {
    an_entry_must_be_higher_than_the_last_one(store).await;
    only_one_process_takes_a_session_over(store).await;
    the_fence_outlives_the_entries(store).await;
    what_was_removed_stays_away(store).await;
    entries_are_read_in_pages(store).await;
    an_entry_is_any_bytes(store).await;
    a_log_expires_unless_it_is_kept(store).await;
    a_lease_is_renewed_and_expires(store).await;
    the_id_of_the_store_stays(store).await;
}

async fn an_entry_must_be_higher_than_the_last_one(store: &dyn Store) {
    let key = key(1);
    assert_eq!(append(store, key, (1, 0)).await, Outcome::Missing);
    assert_eq!(create(store, key, (1, 0)).await, Outcome::Written);
    assert_eq!(append(store, key, (1, 0)).await, Outcome::Refused);
    assert_eq!(append(store, key, (1, 2)).await, Outcome::Written);
    for id in [(1, 2), (1, 1), (0, 9)] {
        assert_eq!(append(store, key, id).await, Outcome::Refused, "{id:?}");
        assert_eq!(create(store, key, id).await, Outcome::Refused, "{id:?}");
    }
    assert_eq!(create(store, key, (1, 3)).await, Outcome::Written);
    assert_eq!(ids(store, key).await, [(1, 0), (1, 2), (1, 3)].map(id));
}

async fn only_one_process_takes_a_session_over(store: &dyn Store) {
    let key = key(2);
    create(store, key, (1, 5)).await;
    assert_eq!(append(store, key, (2, 0)).await, Outcome::Written);
    assert_eq!(append(store, key, (2, 0)).await, Outcome::Refused);
    assert_eq!(append(store, key, (1, 6)).await, Outcome::Refused, "the one before");
    assert_eq!(append(store, key, (2, 1)).await, Outcome::Written);
    let last = store.last(key).await.unwrap().entry.unwrap();
    assert_eq!(last, Entry { id: id((2, 1)), bytes: "2-1".into() });
}

async fn the_fence_outlives_the_entries(store: &dyn Store) {
    let key = key(3);
    create(store, key, (1, 0)).await;
    append(store, key, (1, 1)).await;
    append(store, key, (1, 2)).await;
    let trim = |before| store.write(Write::Trim { key, before: id(before) });
    assert_eq!(trim((1, 1)).await.unwrap(), Outcome::Written);
    assert_eq!(ids(store, key).await, [(1, 1), (1, 2)].map(id));
    assert_eq!(trim((9, 0)).await.unwrap(), Outcome::Written);
    assert_eq!(store.last(key).await.unwrap().entry, None);
    assert_eq!(append(store, key, (1, 2)).await, Outcome::Refused);
    assert_eq!(append(store, key, (1, 3)).await, Outcome::Written);
}

async fn what_was_removed_stays_away(store: &dyn Store) {
    let key = key(4);
    create(store, key, (1, 0)).await;
    let remove = || store.write(Write::Remove { key });
    assert_eq!(remove().await.unwrap(), Outcome::Written);
    assert_eq!(remove().await.unwrap(), Outcome::Missing);
    assert_eq!(append(store, key, (2, 0)).await, Outcome::Missing);
    let kept = store.write(Write::Keep { key, ttl: TTL }).await.unwrap();
    assert_eq!(kept, Outcome::Missing);
    assert_eq!(ids(store, key).await, []);
}

async fn entries_are_read_in_pages(store: &dyn Store) {
    let key = key(5);
    create(store, key, (1, 0)).await;
    for number in 1..10 {
        append(store, key, (1, number)).await;
    }
    let mut read = Vec::new();
    loop {
        let page = store.read(key, read.last().copied(), 3).await.unwrap();
        assert!(page.len() <= 3);
        if page.is_empty() {
            break;
        }
        read.extend(page.into_iter().map(|entry| entry.id));
    }
    assert_eq!(read, (0..10).map(|number| id((1, number))).collect::<Vec<_>>());
}

async fn an_entry_is_any_bytes(store: &dyn Store) {
    let key = key(6);
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(1 << 20).collect();
    for (number, entry) in [(0, vec![]), (1, bytes)] {
        let id = id((1, number));
        let create = Write::Create { key, id, entry: entry.clone().into(), ttl: TTL };
        assert_eq!(store.write(create).await.unwrap(), Outcome::Written);
        let last = store.last(key).await.unwrap().entry.unwrap();
        assert_eq!((last.id, last.bytes == entry), (id, true));
    }
}

async fn a_log_expires_unless_it_is_kept(store: &dyn Store) {
    let (expires, kept) = (key(7), key(8));
    for key in [expires, kept] {
        let create = Write::Create { key, id: id((1, 0)), entry: "e".into(), ttl: SHORT * 5 };
        store.write(create).await.unwrap();
    }
    let keep = Write::Keep { key: kept, ttl: TTL };
    assert_eq!(store.write(keep).await.unwrap(), Outcome::Written);
    wait_until(async || store.last(expires).await.unwrap().entry.is_none()).await;
    assert_eq!(append(store, expires, (2, 0)).await, Outcome::Missing);
    assert_eq!(append(store, kept, (2, 0)).await, Outcome::Written);
}

async fn a_lease_is_renewed_and_expires(store: &dyn Store) {
    let node = NodeId(7);
    assert_eq!(store.lease(node).await.unwrap(), None);
    let id = store.last(key(9)).await.unwrap().store.unwrap();
    let renew_in = |store_id, ttl| {
        let address = "here:1".into();
        store.write(Write::Renew { node, address, ttl, store: store_id })
    };
    let other = StoreId(id.0 ^ 1);
    assert_eq!(renew_in(other, TTL).await.unwrap(), Outcome::Refused);
    assert_eq!(store.lease(node).await.unwrap(), None);
    let renew = |ttl| renew_in(id, ttl);
    assert_eq!(renew(TTL).await.unwrap(), Outcome::Expired, "it had none");
    assert_eq!(renew(TTL).await.unwrap(), Outcome::Written);
    let lease = store.lease(node).await.unwrap().unwrap();
    assert_eq!(&*lease.address, "here:1");
    assert!(lease.expires_in > TTL / 2 && lease.expires_in <= TTL, "{lease:?}");
    assert_eq!(renew(SHORT).await.unwrap(), Outcome::Written);
    wait_until(async || store.lease(node).await.unwrap().is_none()).await;
    assert_eq!(renew(TTL).await.unwrap(), Outcome::Expired);
    let end = || store.write(Write::Leave { node });
    assert_eq!(end().await.unwrap(), Outcome::Written);
    assert_eq!(end().await.unwrap(), Outcome::Expired);
    assert_eq!(store.lease(node).await.unwrap(), None);
}

async fn the_id_of_the_store_stays(store: &dyn Store) {
    let before = store.last(key(9)).await.unwrap().store.unwrap();
    assert_eq!(store.connect().await.unwrap(), before);
    assert_eq!(store.last(key(9)).await.unwrap().store, Some(before));
}

/// Returns a key of this test.
pub(crate) fn key(number: u32) -> StoreKey {
    StoreKey::of(format!("{number:032x}").parse::<SessionId>().unwrap())
}

pub(crate) fn id((epoch, number): (u64, u64)) -> EntryId {
    EntryId { epoch, number }
}

/// Appends an entry that has its id as text.
pub(crate) async fn append(store: &dyn Store, key: StoreKey, at: (u64, u64)) -> Outcome {
    let id = id(at);
    store.write(Write::Append { key, id, entry: id.to_string().into() }).await.unwrap()
}

pub(crate) async fn create(store: &dyn Store, key: StoreKey, at: (u64, u64)) -> Outcome {
    let id = id(at);
    let entry = id.to_string().into();
    store.write(Write::Create { key, id, entry, ttl: TTL }).await.unwrap()
}

async fn ids(store: &dyn Store, key: StoreKey) -> Vec<EntryId> {
    store.read(key, None, 100).await.unwrap().into_iter().map(|entry| entry.id).collect()
}

/// Waits for something that only the store knows.
async fn wait_until(is_true: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_true().await {
            tokio::time::sleep(SHORT).await;
        }
    };
    tokio::time::timeout(TTL / 60, waiting).await.unwrap();
}
