//! A process of a cluster: a manager with a link, and its HTTP server.

use std::time::Duration;

use rejoin::{
    HttpConfig, LinkConfig, ManagerConfig, SessionHandle, StreamableHttp,
    store::{MemoryStore, Store, StoreConfig},
};
use rejoin_test_support::Client;

use crate::{proxy::Proxy, server::HttpServer, support::Server};

pub(crate) struct Node {
    pub(crate) http: HttpServer,
    /// Between the others and its link.
    pub(crate) proxy: Proxy,
}

pub(crate) const SECRET: &[u8] = b"the secret of the tests";

/// Returns a configuration of a node that responds in JSON.
pub(crate) fn json_responses() -> HttpConfig {
    let mut config = HttpConfig::default();
    config.json_responses = true;
    config
}

impl Node {
    pub(crate) async fn start(store: &MemoryStore) -> Self {
        Self::start_with(store, SECRET, HttpConfig::default()).await
    }

    pub(crate) async fn start_with(
        store: &(impl Store + Clone),
        secret: &[u8],
        http: HttpConfig,
    ) -> Self {
        let configs = (ManagerConfig::default(), StoreConfig::default());
        Self::start_as(store, configs, secret, http).await
    }

    pub(crate) async fn start_as(
        store: &(impl Store + Clone),
        (manager, config): (ManagerConfig, StoreConfig),
        secret: &[u8],
        http: HttpConfig,
    ) -> Self {
        let link = LinkConfig::new("127.0.0.1:0".parse().unwrap(), secret).unwrap();
        let proxy = Proxy::start(link.local_address()).await;
        let link = link.advertise(&proxy.address.to_string());
        let manager =
            Server::built(manager, |builder| builder.cluster(store.clone(), config, link));
        let service = StreamableHttp::new(manager.sessions.clone(), http).unwrap();
        Self { http: HttpServer::serve(manager, service).await, proxy }
    }

    /// Returns a client of a session that sends its requests to this node.
    pub(crate) fn client(&self, session: &SessionHandle) -> Client {
        Client::new(&self.http.address).with_session(&session.id().to_string())
    }

    /// Waits until the node has known the store for long enough to take sessions over, and to be certain
    /// that one does not exist.
    pub(crate) async fn settle(&self) {
        drop(self.http.manager.initialized().await);
        drop(self.http.manager.backend().await);
        tokio::time::sleep(Duration::from_millis(3_200)).await;
    }
}

/// Starts nodes that share a store.
pub(crate) async fn nodes<const N: usize>() -> [Node; N] {
    let store = MemoryStore::default();
    let mut nodes = Vec::new();
    for _ in 0..N {
        nodes.push(Node::start(&store).await);
    }
    nodes.try_into().ok().unwrap()
}
