//! A replica of the store that is promoted without the last second.

use std::{path::Path, time::Duration};

use http::StatusCode;
use rejoin_test_support::{Forwarder, engine::Engine};
use tokio::time::{sleep, timeout};

use crate::{
    cluster::Cluster,
    counting::{Counting, NotBegun, PATIENCE, RETRY},
    load::Load,
    on_each_engine,
};

const INTERVAL: Duration = Duration::from_millis(10);

/// A server, and one that gets what it writes.
struct Replicated {
    primary: Engine,
    replica: Engine,
    replication: Forwarder,
}

impl Replicated {
    async fn start(engine: &Path) -> Self {
        let (primary, replica) = (Engine::start(engine).await, Engine::start(engine).await);
        let replication = Forwarder::start(&primary.address()).await;
        let (host, port) = replication.address.split_once(':').unwrap();
        replica.command(&format!("REPLICAOF {host} {port}")).await;
        let replicated = Self { primary, replica, replication };
        replicated.primary.command("SET replicated yes").await;
        let arrives = async {
            while replicated.replica.query("EXISTS replicated").await != ["1"] {
                sleep(RETRY).await;
            }
        };
        timeout(PATIENCE, arrives).await.expect("it replicates");
        replicated
    }

    /// Loses what is written from now on.
    fn stall(&self) {
        self.replication.silence(true);
    }

    async fn promote(&self) {
        self.replica.command("REPLICAOF NO ONE").await;
    }

    /// Promotes the replica, in place of the server.
    async fn fail_over(&mut self, cluster: &Cluster) {
        self.promote().await;
        for store in &cluster.stores {
            store.redirect(&self.replica.address());
        }
        self.primary.kill();
    }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_living_owner_loses_nothing() {
    on_each_engine(async |engine| {
        let mut store = Replicated::start(engine).await;
        // The replica lacks less than the time of a lease.
        let cluster = Cluster::start_with_forwarders(&store.primary, &["--lease", "6s"]).await;
        let mut load = Load::start(&cluster, 2).await;
        load.more_calls(2).await;
        store.stall();
        load.more_calls(3).await;
        // The replica knows nothing of this one.
        let client = cluster.session_of(0).await;
        let mut call = Counting::begin(&client, 1, 100, INTERVAL).await;
        store.fail_over(&cluster).await;
        load.more_calls(4).await;
        load.stop().await.check_nothing_lost();
        let end = call.finish().await;
        assert!(end.get("result").is_some(), "{end}");
        Counting::begin(&client, 2, 10, INTERVAL).await.finish().await;
    })
    .await;
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_dead_owner_loses_what_the_replica_lacks_and_no_id_names_two_events() {
    on_each_engine(async |engine| {
        let mut store = Replicated::start(engine).await;
        let options = ["--takeover", "reopen"];
        let mut cluster = Cluster::start_with_forwarders(&store.primary, &options).await;
        cluster.may_take_over().await;
        let client = cluster.session_of(0).await;
        let mut before = Counting::begin(&client, 1, 10_000, INTERVAL).await;
        before.read_through(20).await;
        store.stall();
        before.read_through(60).await;
        let mut within = Counting::begin(&client, 2, 10_000, INTERVAL).await;
        within.read_through(20).await;
        let unknown = cluster.session_of(0).await;
        cluster.kill(0);
        store.fail_over(&cluster).await;

        before.may_skip = true;
        let end = before.finish().await;
        assert!(end.get("error").is_some(), "{end}");
        // Nobody knows its stream any more.
        within.read_rest().await;
        let (status, _) = within.resume().await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        // Nobody knows that session.
        let mut lost = Counting::begin(&client, 3, 40, INTERVAL).await;
        let end = lost.finish().await;
        assert!(end.get("result").is_some(), "{end}");
        let (before, within, after) = (before.ids, within.ids, lost.ids);
        assert!(within.is_disjoint(&after) && before.is_disjoint(&after));
        assert!(before.is_disjoint(&within));
        let gone = unknown.get(Some("0/0")).await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn an_owner_that_stays_with_the_old_server_is_fenced() {
    on_each_engine(async |engine| {
        let store = Replicated::start(engine).await;
        let options = ["--takeover", "reopen"];
        let cluster = Cluster::start_with_forwarders(&store.primary, &options).await;
        cluster.may_take_over().await;
        let client = cluster.session_of(0).await;
        let mut old = Counting::begin(&cluster.at(0, &client), 1, 10_000, INTERVAL).await;
        old.read_through(20).await;
        store.stall();
        store.promote().await;
        for node in [1, 2] {
            cluster.stores[node].redirect(&store.replica.address());
        }
        // Whoever comes to the others finds out that its owner has no lease there.
        cluster.links[0].silence(true);
        let other = cluster.at(1, &client);
        let mut new = loop {
            match Counting::try_begin(&other, 2, 40, INTERVAL).await {
                Ok(call) => break call,
                Err(NotBegun::Refused) => sleep(RETRY).await,
                Err(refused) => panic!("{refused:?}"),
            }
        };
        let end = new.finish().await;
        assert!(end.get("result").is_some(), "{end}");
        old.read_through(300).await;
        cluster.links[0].silence(false);
        cluster.stores[0].redirect(&store.replica.address());
        old.read_rest().await;
        assert!(old.ids.is_disjoint(&new.ids));
        // Another node knows less of this call than its client.
        old.go_to(&other);
        old.may_skip = true;
        let end = old.finish().await;
        assert!(end.get("error").is_some(), "{end}");
        assert!(old.ids.is_disjoint(&new.ids));
    })
    .await;
}
