//! The store in memory.

use rejoin::store::{MemoryStore, Outcome, Store as _};

use crate::contract::{append, check, create, key};

#[tokio::test(start_paused = true)]
async fn it_does_what_every_store_does() {
    check(&MemoryStore::default()).await;
}

#[tokio::test(start_paused = true)]
async fn it_is_away_until_it_is_connected_again() {
    let store = MemoryStore::default();
    create(&store, key(1), (1, 0)).await;
    let before = store.connect().await.unwrap();
    store.disconnect();
    assert!(store.last(key(1)).await.is_err());
    assert_eq!(store.connect().await.unwrap(), before);
    assert_eq!(append(&store, key(1), (1, 1)).await, Outcome::Written);
    store.forget();
    assert!(store.last(key(1)).await.is_err());
    assert_ne!(store.connect().await.unwrap(), before);
    assert_eq!(append(&store, key(1), (1, 2)).await, Outcome::Missing);
}
