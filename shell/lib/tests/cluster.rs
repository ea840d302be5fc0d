//! Managers that share a store and pass requests on to each other, over sockets.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "cluster/counting_store.rs"]
mod counting_store;
#[path = "cluster/failures.rs"]
mod failures;
#[path = "cluster/lost.rs"]
mod lost;
#[path = "cluster/node.rs"]
mod node;
#[path = "cluster/outages.rs"]
mod outages;
#[path = "cluster/passed_on.rs"]
mod passed_on;
#[path = "cluster/proxy.rs"]
mod proxy;
#[path = "cluster/refused.rs"]
mod refused;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "http/server.rs"]
mod server;
#[path = "cluster/shutdown.rs"]
mod shutdown;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/backend.rs"]
mod support;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "sessions/stored/store.rs"]
mod test_store;
