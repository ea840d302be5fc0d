//! The store on a real server: ignored unless asked for, because it is downloaded.

use rejoin::{
    rejoin_core::cluster::{EntryId, NodeId, StoreId},
    store::{Entry, Outcome, RedisStore, RedisStoreConfig, Store as _, Write},
};

use rejoin_test_support::engine::{Engine, programs};

use crate::contract::{TTL, append, check, create, id, key};

fn store(engine: &Engine) -> RedisStore {
    RedisStore::new(RedisStoreConfig::new(engine.url())).unwrap()
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn it_does_what_every_store_does() {
    for program in programs(env!("CARGO_TARGET_TMPDIR")) {
        let engine = Engine::start(&program).await;
        let store = store(&engine);
        assert!(store.last(key(1)).await.is_err(), "it is not connected");
        store.connect().await.unwrap();
        check(&store).await;
    }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_server_that_restarts_empty_has_another_id() {
    for program in programs(env!("CARGO_TARGET_TMPDIR")) {
        let mut engine = Engine::start(&program).await;
        let store = store(&engine);
        let before = store.connect().await.unwrap();
        create(&store, key(1), (1, 0)).await;
        engine.kill();
        assert!(store.last(key(1)).await.is_err());
        assert!(store.connect().await.is_err());
        engine.restart().await;
        assert!(store.last(key(1)).await.is_err(), "it heals only by connecting");
        assert_ne!(store.connect().await.unwrap(), before);
        assert_eq!(append(&store, key(1), (1, 1)).await, Outcome::Missing);
        assert_eq!(create(&store, key(1), (1, 1)).await, Outcome::Written);
    }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_server_that_was_flushed_has_no_id() {
    for program in programs(env!("CARGO_TARGET_TMPDIR")) {
        let engine = Engine::start(&program).await;
        let store = store(&engine);
        let before = store.connect().await.unwrap();
        assert_eq!(store.write(renew(before)).await.unwrap(), Outcome::Expired);
        engine.command("FLUSHALL").await;
        assert_eq!(store.last(key(1)).await.unwrap().store, None);
        assert_eq!(store.write(renew(before)).await.unwrap(), Outcome::Refused);
        let after = store.connect().await.unwrap();
        assert_ne!(after, before);
        assert_eq!(store.write(renew(before)).await.unwrap(), Outcome::Refused);
        assert_eq!(store.write(renew(after)).await.unwrap(), Outcome::Expired);
    }
}

/// Renews the lease of a node.
fn renew(store: StoreId) -> Write {
    Write::Renew { node: NodeId(7), address: "here:1".into(), ttl: TTL, store }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn what_others_have_written_concerns_one_session() {
    for program in programs(env!("CARGO_TARGET_TMPDIR")) {
        let engine = Engine::start(&program).await;
        let store = store(&engine);
        store.connect().await.unwrap();
        let (no_log, foreign, own) = (key(1), key(2), key(3));
        engine.command(&format!("SET rejoin:session:{no_log} x")).await;
        engine.query(&format!("XADD rejoin:session:{foreign} 1-0 \"\\xff\" e")).await;
        create(&store, own, (1, 0)).await;
        for (key, last) in [(no_log, (u64::MAX, u64::MAX)), (foreign, (1, 0))] {
            let entry = Entry { id: id(last), bytes: "".into() };
            assert_eq!(store.last(key).await.unwrap().entry, Some(entry.clone()));
            assert_eq!(store.read(key, None, 8).await.unwrap(), [entry]);
            assert_eq!(append(&store, key, (1, 0)).await, Outcome::Refused);
            assert_eq!(create(&store, key, (1, 0)).await, Outcome::Refused);
        }
        assert_eq!(append(&store, own, (1, 1)).await, Outcome::Written, "it is still connected");
    }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_full_server_refuses_an_entry_and_is_not_away() {
    for program in programs(env!("CARGO_TARGET_TMPDIR")) {
        let engine = Engine::start(&program).await;
        let store = store(&engine);
        let store_id = store.connect().await.unwrap();
        create(&store, key(1), (1, 0)).await;
        store.write(renew(store_id)).await.unwrap();
        engine.command("CONFIG SET maxmemory 1").await;
        assert_eq!(append(&store, key(1), (1, 1)).await, Outcome::Full);
        assert_eq!(create(&store, key(2), (1, 0)).await, Outcome::Full);
        assert_eq!(store.write(renew(store_id)).await.unwrap(), Outcome::Written);
        assert_eq!(store.connect().await.unwrap(), store_id);
        engine.command("CONFIG SET maxmemory 0").await;
        assert_eq!(append(&store, key(1), (1, 1)).await, Outcome::Written);
    }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_server_that_does_not_answer_is_away() {
    for program in programs(env!("CARGO_TARGET_TMPDIR")) {
        let engine = Engine::start(&program).await;
        let store = store(&engine);
        store.connect().await.unwrap();
        create(&store, key(1), (1, 0)).await;
        engine.command("CLIENT PAUSE 1500 ALL").await;
        let late = Write::Append { key: key(1), id: id((1, 1)), entry: "late".into() };
        assert!(store.write(late).await.is_err());
        assert!(store.last(key(1)).await.is_err());
        while store.connect().await.is_err() {}
        // Whether it was written is only known by looking.
        let last: EntryId = store.last(key(1)).await.unwrap().entry.unwrap().id;
        assert!([(1, 0), (1, 1)].map(id).contains(&last), "{last}");
        assert_eq!(append(&store, key(1), (1, 2)).await, Outcome::Written);
        assert_eq!(append(&store, key(1), (1, 1)).await, Outcome::Refused);
    }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_long_entry_may_take_longer_than_others() {
    for program in programs(env!("CARGO_TARGET_TMPDIR")) {
        let engine = Engine::start(&program).await;
        let store = store(&engine);
        store.connect().await.unwrap();
        create(&store, key(1), (1, 0)).await;
        engine.command("CLIENT PAUSE 1500 ALL").await;
        let entry = vec![b'x'; 2 << 20].into();
        let long = Write::Append { key: key(1), id: id((1, 1)), entry };
        assert_eq!(store.write(long).await.unwrap(), Outcome::Written);
    }
}
