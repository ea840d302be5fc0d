//! Proxies between client and program, with the basic configuration of their documentation.

use crate::{install, scripts};

#[tokio::test]
#[ignore = "needs nginx"]
async fn nginx_forwards_events_without_delay_or_loss() {
    scripts::run("proxies.py", &["nginx".into()]).await;
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn nginx_with_keepalive_forwards_events_without_delay_or_loss() {
    scripts::run("proxies.py", &["nginx-keepalive".into()]).await;
}

#[tokio::test]
#[ignore = "needs haproxy"]
async fn haproxy_forwards_events_without_delay_or_loss() {
    scripts::run("proxies.py", &["haproxy".into()]).await;
}

#[tokio::test]
#[ignore = "needs caddy"]
async fn caddy_forwards_events_without_delay_or_loss() {
    scripts::run("proxies.py", &["caddy".into()]).await;
}

#[tokio::test]
#[ignore = "installs packages"]
async fn express_forwards_events_without_delay_or_loss() {
    let script = install::npm().join("express.mjs");
    scripts::run("proxies.py", &["express".into(), install::node().into(), script.into()]).await;
}
