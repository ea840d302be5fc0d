//! The network: bodies write, clients read, and links break.

use std::time::Duration;

use rejoin_core::{CloseReason, Input};

use super::Simulation;
use super::event_queue::{ClientNo, LinkNo, ReaderNo, ServerNo, SimEvent};
use super::link::{Link, LinkFault, Pace};
use crate::kit::{DeliberateBug, Fault};

impl Simulation {
    /// Opens a link, and draws its fault.
    pub(super) fn open_link(
        &mut self,
        client: ClientNo,
        server: ServerNo,
        reader: ReaderNo,
    ) -> LinkNo {
        let mut link = Link::new((client, server), reader, self.parameters.pipe_bytes);
        let mut fault_delay = None;
        if let Some(client) = self.clients.get_mut(&client) {
            let (rng, faults) = (&mut client.network_rng, &self.faults);
            if rng.chance(faults.rate(Fault::CutEarly)) {
                link.fault = LinkFault::CutEarly;
            } else if rng.chance(faults.rate(Fault::CutMidway)) {
                link.fault = LinkFault::CutAfter(rng.size(1, 1_200));
            } else if rng.chance(faults.rate(Fault::CutUnread)) {
                link.fault = LinkFault::CutUnread;
            } else if rng.chance(faults.rate(Fault::ServerHalfOpen)) {
                link.fault = LinkFault::ServerHalfOpen;
                fault_delay = Some(rng.millis(1, 4_000));
            } else if rng.chance(faults.rate(Fault::ClientHalfOpen)) {
                link.fault = LinkFault::ClientHalfOpen;
                fault_delay = Some(rng.millis(1, 4_000));
            }
            if rng.chance(faults.rate(Fault::SlowReader)) {
                link.pace = Pace::Slow;
            } else if rng.chance(faults.rate(Fault::StalledReader)) {
                link.pace = Pace::Stalled;
            }
        }
        let no = self.add_link(link);
        if let Some(delay) = fault_delay {
            self.schedule_after(delay, SimEvent::LinkFault(no));
        }
        no
    }

    /// Schedules a pull of the response body.
    pub(super) fn wake_body(&mut self, no: LinkNo) {
        let Some(link) = self.links.get_mut(&no) else {
            return;
        };
        // The response to the input that opened the link comes before it counts as open.
        if link.has_more() && !link.is_pull_scheduled && link.has_room() {
            link.is_pull_scheduled = true;
            self.schedule_after(Duration::from_millis(1), SimEvent::PullBody(no));
        }
    }

    /// Pulls events into a response body.
    pub(super) fn pull_body(&mut self, no: LinkNo) -> Result<(), String> {
        let Some(link) = self.links.get_mut(&no) else {
            return Ok(());
        };
        link.is_pull_scheduled = false;
        let (Some(connection), true) = (link.connection, link.is_open_at_server) else {
            return Ok(());
        };
        let (server, through) = (link.server, link.acknowledged);
        let pulled = link.pull();
        let through = pulled.acknowledged.or(through);
        let is_complete = link.end == Some(super::link::LinkEnd::Closed(CloseReason::Complete));
        let is_cut = link.fault == LinkFault::CutUnread && pulled.is_end && is_complete;
        let is_cut = is_cut && link.holds_unread() && link.is_open_at_client;
        if let (Some(id), Some(server)) = (pulled.last_id, self.servers.get_mut(server)) {
            server.note_acknowledged(id);
        }
        if pulled.is_end {
            link.is_open_at_server = false;
            if let Some(server) = self.servers.get_mut(server) {
                server.links.remove(&connection);
            }
            let _ = self.handle_input(server, Input::ConnectionClosed { connection, through })?;
        } else if let Some(through) = pulled.acknowledged {
            let _ = self.handle_input(server, Input::Acknowledged { connection, through })?;
        }
        if is_cut {
            self.coverage.hit_fault(Fault::CutUnread);
            self.break_link(no);
            return Ok(());
        }
        self.wake_reader(no);
        Ok(())
    }

    fn wake_reader(&mut self, no: LinkNo) {
        let Some(link) = self.links.get_mut(&no) else {
            return;
        };
        if !link.is_open_at_client || link.is_read_scheduled || !link.is_readable() {
            return;
        }
        link.is_read_scheduled = true;
        let delay = match (link.pace, self.clients.get_mut(&link.client)) {
            (Pace::Slow, Some(client)) => client.network_rng.millis(20, 600),
            (Pace::Stalled, Some(client)) => client.network_rng.millis(500, 60_000),
            (_, Some(client)) => client.network_rng.millis(0, 3),
            (_, None) => Duration::ZERO,
        };
        self.schedule_after(delay, SimEvent::ClientReads(no));
    }

    /// Performs a read of a client.
    pub(super) fn client_reads(&mut self, no: LinkNo) -> Result<(), String> {
        let Some(link) = self.links.get_mut(&no) else {
            return Ok(());
        };
        link.is_read_scheduled = false;
        if !link.is_open_at_client {
            return Ok(());
        }
        let mut bytes = match (link.pace, self.clients.get_mut(&link.client)) {
            (Pace::Slow | Pace::Stalled, Some(client)) => client.network_rng.size(1, 400),
            _ => usize::MAX,
        };
        let mut is_cut = false;
        if let LinkFault::CutAfter(end) = link.fault {
            let left = end.saturating_sub(link.bytes_read());
            bytes = bytes.min(left);
            is_cut = bytes == left;
        }
        let items = link.read(bytes);
        is_cut &= matches!(link.fault, LinkFault::CutAfter(end) if link.bytes_read() >= end);
        let (is_midway, is_finished) = (link.is_mid_event(), link.is_finished() && !is_cut);
        match link.pace {
            Pace::Slow if link.is_readable() => self.coverage.hit_fault(Fault::SlowReader),
            Pace::Stalled => self.coverage.hit_fault(Fault::StalledReader),
            Pace::Slow | Pace::Fast => {}
        }
        self.failed_session = Some(link.server);
        for item in items {
            self.receive(no, item)?;
        }
        if is_cut {
            self.coverage.hit(if is_midway {
                Fault::CutMidway.name()
            } else {
                "disconnects: between events"
            });
            self.break_link(no);
        } else if is_finished {
            self.detach_reader(no, true)?;
        } else {
            self.wake_reader(no);
        }
        self.wake_body(no);
        Ok(())
    }

    /// Breaks a link, so that both sides notice.
    pub(super) fn break_link(&mut self, no: LinkNo) {
        self.drop_unread(no);
        self.schedule_after(Duration::ZERO, SimEvent::ClientSeesClose(no));
        self.close_at_client(no);
    }

    /// Schedules that the server notices that the client has closed a link.
    pub(super) fn close_at_client(&mut self, no: LinkNo) {
        let Some(link) = self.links.get(&no) else {
            return;
        };
        let client = self.clients.get_mut(&link.client);
        let delay = client.map_or(Duration::ZERO, |client| client.network_rng.millis(0, 20));
        self.schedule_after(delay, SimEvent::ServerSeesClose(no));
    }

    /// Discards what was written and not read.
    pub(super) fn drop_unread(&mut self, no: LinkNo) {
        if let Some(link) = self.links.get_mut(&no) {
            link.break_off();
        }
    }

    /// Breaks a link, so that only one side notices.
    pub(super) fn inject_link_fault(&mut self, no: LinkNo) -> Result<(), String> {
        let keep_alive = self.parameters.keep_alive;
        let Some(link) = self.links.get_mut(&no) else {
            return Ok(());
        };
        if !link.is_open_at_client {
            return Ok(());
        }
        match link.fault {
            LinkFault::ServerHalfOpen => {
                self.coverage.hit_fault(Fault::ServerHalfOpen);
                self.detach_reader(no, false)?;
                // The first or second keep-alive comment is answered by a reset.
                self.schedule_after(keep_alive + keep_alive / 2, SimEvent::ServerSeesClose(no));
            }
            LinkFault::ClientHalfOpen => {
                self.coverage.hit_fault(Fault::ClientHalfOpen);
                self.drop_unread(no);
                self.close_at_client(no);
                // No keep-alive comment arrives any more.
                self.schedule_after(2 * keep_alive, SimEvent::ClientSeesClose(no));
            }
            // The link of a spurious GET or request.
            LinkFault::None
            | LinkFault::CutEarly
            | LinkFault::CutAfter(_)
            | LinkFault::CutUnread => self.drop_spurious(no)?,
        }
        Ok(())
    }

    /// Reports the close of a connection to its server.
    pub(super) fn server_sees_close(&mut self, no: LinkNo) -> Result<(), String> {
        let Some(link) = self.links.get_mut(&no) else {
            return Ok(());
        };
        let (Some(connection), true) = (link.connection, link.is_open_at_server) else {
            return Ok(());
        };
        let (server, through) = (link.server, link.acknowledged);
        link.is_open_at_server = false;
        if let Some(server) = self.servers.get_mut(server) {
            server.links.remove(&connection);
        }
        if self.parameters.bug == Some(DeliberateBug::LeaksConnection) {
            return Ok(());
        }
        self.handle_input(server, Input::ConnectionClosed { connection, through }).map(|_| ())
    }

    /// Reports the close of a connection to its client.
    pub(super) fn client_sees_close(&mut self, no: LinkNo) -> Result<(), String> {
        if self.links.get(&no).is_some_and(|link| link.is_open_at_client) {
            self.drop_unread(no);
            self.detach_reader(no, false)?;
            self.close_at_client(no);
        }
        Ok(())
    }

    /// Removes the faults of all links that have not taken effect yet.
    pub(super) fn clear_link_faults(&mut self) {
        let links: Vec<LinkNo> = self.links.keys().copied().collect();
        for no in links {
            if let Some(link) = self.links.get_mut(&no) {
                link.fault = LinkFault::None;
                link.pace = Pace::Fast;
                link.is_read_scheduled = false;
            }
            self.wake_reader(no);
        }
    }
}
