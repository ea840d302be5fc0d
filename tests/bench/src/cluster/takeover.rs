//! Takeovers: how long a client waits whose session was another node's.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::Runtime;

use super::deployment::{Deployment, Nodes, Store};
use crate::{gateway::Packages, load::Client, measure::Metric, message::Tool};

pub(super) const TIME: Metric = Metric::cost("kill to response", "ms");

/// Time after which a new node takes sessions over, and some more.
const SETTLING_TIME: Duration = Duration::from_millis(3_500);

/// Time after which a session is lost.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Kills the owner of a session, and returns the milliseconds until another node has responded to a call.
pub(super) fn measure(
    packages: &Packages,
    store: Store<'_>,
    text: &str,
    runtime: &Runtime,
) -> Result<f64> {
    let mut nodes = Deployment::start(Nodes::Three, packages, store, false)?;
    let mut session = nodes.sessions(1, runtime)?.pop().context("no session")?;
    std::thread::sleep(SETTLING_TIME);
    let killed_at = nodes.kill_first();
    let endpoint = nodes.target().endpoints.into_iter().next().context("no node")?;
    session.endpoint = endpoint.clone();
    runtime.block_on(async {
        loop {
            let mut client = Client::connect(endpoint.clone()).await?;
            let (status, _) = client.exchange(session.call(Tool::Echo, text)).await?;
            let time = killed_at.elapsed();
            if status == 200 {
                return Ok(time.as_secs_f64() * 1e3);
            }
            ensure!(status == 503 && time < TIMEOUT, "status {status} after {time:?}");
        }
    })
}
