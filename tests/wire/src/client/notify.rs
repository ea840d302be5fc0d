//! POSTs without a request, which a client sends again until they are accepted.

use http::StatusCode;
use rejoin_core::RequestId;
use rejoin_tests::kit::{Fault, Rng};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Client;
use crate::link::{LinkFault, LinkPlan};
use crate::message::id_value;

impl Client {
    /// Sends a message until it is accepted, and now and then a second time.
    pub(super) async fn notify(&self, rng: &mut Rng, message: Value) {
        if self.simulation.draw_fault(rng, Fault::PostDuplicated) {
            self.simulation.hit("posts: duplicated");
            self.notify_until_accepted(rng, &message).await;
        }
        self.notify_until_accepted(rng, &message).await;
    }

    /// Sends a message like [`notify`](Self::notify), in a task of its own.
    pub(super) fn notify_in_background(&self, rng: &mut Rng, message: Value) {
        let client = self.clone();
        let mut rng = Rng::new(rng.below(u64::MAX), 0, 0);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = client.session.ended() => {}
                () = client.simulation.stopping() => {}
                () = client.notify(&mut rng, message) => {}
            }
        });
    }

    /// Cancels a request.
    pub(super) async fn cancel(&self, rng: &mut Rng, id: &RequestId) {
        self.notify(
            rng,
            json!({
                "jsonrpc": "2.0", "method": "notifications/cancelled",
                "params": { "requestId": id_value(id) },
            }),
        )
        .await;
    }

    async fn notify_until_accepted(&self, rng: &mut Rng, message: &Value) {
        while !self.session.is_over() {
            let is_lost = self.simulation.draw_fault(rng, Fault::PostLost);
            let fault = if is_lost {
                self.simulation.hit("posts: lost");
                LinkFault::CutEarly { is_forwarded: rng.chance(300) }
            } else {
                LinkFault::None
            };
            let latency = rng.millis(0, 20);
            let plan = LinkPlan { fault, latency, ..LinkPlan::FAULT_FREE };
            let (nth, numbered) = self.session.number(message);
            if let Ok(mut exchange) = self.post(plan, numbered.to_string()).await {
                match exchange.status() {
                    StatusCode::ACCEPTED => {
                        self.session.record.lock().posts_accepted += 1;
                        self.session.on_accepted(nth);
                        return;
                    }
                    StatusCode::NOT_FOUND => self.session.end(),
                    StatusCode::SERVICE_UNAVAILABLE => self.simulation.hit("posts: refused"),
                    status => {
                        if let Some(text) = self.text(&mut exchange).await {
                            self.report_failure(format!(
                                "{message} was answered by {status}: {text}"
                            ));
                        }
                        return;
                    }
                }
            }
            sleep(self.simulation.millis(rng, 20, 500)).await;
        }
    }
}
