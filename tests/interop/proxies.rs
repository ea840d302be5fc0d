//! Proxies between client and program, each as its documentation configures it first.

use crate::{install, scripts};

#[tokio::test]
#[ignore = "needs nginx"]
async fn nginx_passes_events_on_at_once_and_loses_nothing() {
    scripts::run("proxies.py", &["nginx".into()]).await;
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn nginx_with_a_pool_passes_events_on_at_once_and_loses_nothing() {
    scripts::run("proxies.py", &["nginx-keepalive".into()]).await;
}

#[tokio::test]
#[ignore = "needs haproxy"]
async fn haproxy_passes_events_on_at_once_and_loses_nothing() {
    scripts::run("proxies.py", &["haproxy".into()]).await;
}

#[tokio::test]
#[ignore = "needs caddy"]
async fn caddy_passes_events_on_at_once_and_loses_nothing() {
    scripts::run("proxies.py", &["caddy".into()]).await;
}

#[tokio::test]
#[ignore = "installs packages"]
async fn express_passes_events_on_at_once_and_loses_nothing() {
    let script = install::npm().join("express.mjs");
    scripts::run("proxies.py", &["express".into(), install::node().into(), script.into()]).await;
}
