//! Faults besides those of links: restarts, drained sessions, outages, credentials that expire, and
//! statuses of what is between the client and the session.

#![expect(clippy::indexing_slicing, reason = "servers are never removed")]

use std::time::Duration;

use rejoin_core::client::{ClientConfig, ExchangeId};
use rejoin_core::{Input, RequestId, SessionCloseReason};

use super::link::HttpRequest;
use super::world::{Event, Phase, World};
use crate::kit::Rng;

/// The credentials that the server wants, and those of the application, as numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Credentials {
    wanted: u64,
    pub(super) present: u64,
}

impl Credentials {
    /// Gives the application what the server wants.
    pub(super) fn renew(&mut self) {
        self.present = self.wanted;
    }
}

/// Draws the limits and timeouts of the machine, so that simulations reach them.
pub(super) fn client_config(rng: &mut Rng) -> ClientConfig {
    let mut config = ClientConfig::default();
    config.requests_max = rng.size(4, 16);
    config.queued_max = rng.size(4, 24);
    config.server_requests_max = rng.size(1, 6);
    // More than a server sends again.
    config.event_ids_max = rng.size(4, 40);
    config.lingering_max = rng.size(0, 4);
    config.send_timeout = rng.millis(5_000, 60_000);
    config.resume_timeout = rng.millis(5_000, 120_000);
    config
}

impl World {
    /// Returns the status with which something between the client and the session refuses a
    /// request, which is not passed on.
    pub(super) fn refusal(&mut self, exchange: ExchangeId) -> Option<u16> {
        let link = self.links.get(&exchange)?;
        let is_get = matches!(link.request, HttpRequest::Get { .. });
        if link.credential != self.credentials.wanted {
            self.coverage.hit("refused: credentials");
            return Some(401);
        }
        if is_get && !self.has_standalone && link.is_standalone() {
            return Some(405);
        }
        if !self.is_fault(2) {
            return None;
        }
        let statuses: &[u16] = if is_get {
            &[204, 400, 403, 404, 408, 409, 429, 502, 503]
        } else {
            &[400, 403, 404, 429, 429, 502, 503, 503]
        };
        self.coverage.hit("refused: by a proxy");
        self.rng.choose(statuses)
    }

    /// Draws the `Retry-After` of a status.
    pub(super) fn retry_after(&mut self, status: u16) -> Option<Duration> {
        let is_given = matches!(status, 429 | 503) && self.rng.chance(700);
        let choices = [0, 1, 1, 3, 10, 100].map(Duration::from_secs);
        self.rng.choose(&choices).filter(|_| is_given)
    }

    /// Returns whether no connection can be made.
    pub(super) fn is_down(&self) -> bool {
        self.now < self.down_until
    }

    /// Begins an outage.
    pub(super) fn outage(&mut self) {
        if self.phase != Phase::Faults {
            return;
        }
        let next = self.rng.millis(60_000, 400_000);
        self.schedule(next, Event::Outage);
        if self.is_fault(10) || self.is_fault(10) {
            self.coverage.hit("outages");
            self.down_until = self.now.saturating_add(self.rng.millis(1_000, 150_000));
            self.break_links();
        }
    }

    /// Lets the credentials expire; the application gets others later.
    pub(super) fn expire_credentials(&mut self) {
        if self.phase != Phase::Faults {
            return;
        }
        let next = self.rng.millis(30_000, 200_000);
        self.schedule(next, Event::Expire);
        if self.fault_rate > 0 {
            self.credentials.wanted += 1;
            let delay = self.rng.millis(0, 20_000);
            self.schedule(delay, Event::Renew);
        }
    }

    /// Restarts the server: it knows no session any more.
    pub(super) fn crash(&mut self) {
        if self.phase != Phase::Faults {
            return;
        }
        let next = self.rng.millis(20_000, 200_000);
        self.schedule(next, Event::Crash);
        if self.fault_rate == 0 || self.servers.is_empty() {
            return;
        }
        self.coverage.hit("sessions: crashed");
        self.servers.iter_mut().for_each(|server| server.is_lost = true);
        self.break_links();
    }

    /// Breaks all links that have reached a server; their clients notice that a little later.
    fn break_links(&mut self) {
        let open = self.links.iter().filter(|(_, link)| link.is_open_at_client);
        let open: Vec<ExchangeId> = open.map(|(exchange, _)| *exchange).collect();
        for exchange in open {
            if let Some(link) = self.links.get_mut(&exchange)
                && link.server.is_some()
            {
                let delay = self.restart_delay();
                self.schedule(delay, Event::Broken(exchange));
            }
        }
    }

    /// Drains the session that the machine has.
    pub(super) fn drain(&mut self) -> Result<(), String> {
        if self.phase != Phase::Faults {
            return Ok(());
        }
        let next = self.rng.millis(20_000, 200_000);
        self.schedule(next, Event::Drain);
        let Some(no) = self.session.filter(|_| self.fault_rate > 0) else { return Ok(()) };
        let retry = self.rng.millis(0, 3_000);
        if self.session_input(no, Input::Drain { retry })?.is_ok() {
            self.coverage.hit("sessions: drained");
            let timeout = self.rng.millis(100, 60_000);
            self.schedule(timeout, Event::DrainTimeout(no));
        }
        Ok(())
    }

    /// Closes a session that has drained for long enough.
    pub(super) fn end_drain(&mut self, no: usize) -> Result<(), String> {
        let reason = SessionCloseReason::ServerShutdown;
        // It may be closed already.
        let _ = self.session_input(no, Input::CloseSession { reason })?;
        Ok(())
    }

    /// Disconnects the client of a request, so that it polls. The session may not retain the
    /// response for as long as it asks the client to wait.
    pub(super) fn disconnect(
        &mut self,
        no: usize,
        request: &RequestId,
        retry: Option<Duration>,
    ) -> Result<(), String> {
        if self.phase != Phase::Faults {
            return Ok(());
        }
        let requests = &self.servers[no].server.view.requests;
        let Some((_, stream)) = requests.iter().find(|(id, _)| id == request) else {
            return Ok(());
        };
        let input = Input::Disconnect { stream: *stream, retry };
        // Its client may have no event id to come back with.
        if self.session_input(no, input)?.is_ok() {
            self.coverage.hit("disconnected to poll");
        }
        Ok(())
    }

    /// Ends all faults.
    pub(super) fn end_faults(&mut self) -> Result<(), String> {
        self.phase = Phase::Quiet;
        self.down_until = self.now;
        // Longer than a request is delayed, and than a server asks to wait.
        self.calm_from = self.now.saturating_add(Duration::from_secs(150));
        self.credentials.renew();
        for no in 0..self.servers.len() {
            if self.servers[no].is_draining {
                self.end_drain(no)?;
            }
        }
        self.heal();
        Ok(())
    }
}
