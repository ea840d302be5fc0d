//! Clients: initialize a session, make requests, and resume until all of them have settled.

mod misuse;
mod read;
mod request;
mod resume;
mod settle;

use std::collections::BTreeSet;

use rejoin_core::{AnswerFormat, Head, Message, Method, Post};

use super::Simulation;
use super::backend::Backend;
use super::event_queue::{ClientNo, LinkNo, ReaderNo, Serial, ServerNo, SimEvent};
use super::link::LinkFault;
use super::packet::Packet;
use super::server::Server;
use super::state::ReaderKind;
use crate::kit::checker::{Outcome, StreamChecker};
use crate::kit::{Fault, Parameters, Rng};

/// The range of serial numbers that each client has.
const SERIALS: u64 = 1_000_000;

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) rng: Rng,
    /// Draws the faults of its links.
    pub(super) network_rng: Rng,
    /// The number of requests it has still to make.
    pub(super) requests_left: usize,
    pub(super) server: Option<ServerNo>,
    /// Whether its session is initialized.
    pub(super) is_initialized: bool,
    /// The requests that have not settled.
    pub(super) pending: BTreeSet<Serial>,
    pub(super) standalone: Option<ReaderNo>,
    /// Whether it has stopped.
    pub(super) is_done: bool,
    sessions: u64,
    next_serial: Serial,
}

impl Client {
    pub(super) fn new(parameters: &Parameters, no: ClientNo) -> Self {
        let nth = u64::try_from(no).unwrap_or(0);
        Self {
            rng: Rng::new(parameters.seed, 1, nth),
            network_rng: Rng::new(parameters.seed, 2, nth),
            requests_left: parameters.requests,
            server: None,
            is_initialized: false,
            pending: BTreeSet::new(),
            standalone: None,
            is_done: false,
            sessions: 0,
            next_serial: nth * SERIALS + 1,
        }
    }

    fn serial(&mut self) -> Serial {
        self.next_serial += 1;
        self.next_serial - 1
    }
}

impl Simulation {
    /// Performs the next step of a client.
    pub(super) fn client_turn(&mut self, no: ClientNo) {
        let Some(client) = self.clients.get(&no) else {
            return;
        };
        if client.is_done {
            return;
        }
        match (client.server, client.is_initialized) {
            (None, _) => self.initialize(no),
            (Some(_), false) => {}
            (Some(server), true) => {
                self.misuse(no, server);
                self.send_requests(no, server);
            }
        }
        let rate = self.faults.rate(Fault::RequestBurst);
        if let Some(client) = self.clients.get_mut(&no) {
            let most = if client.rng.chance(rate) { 2 } else { 400 };
            let delay = client.rng.millis(0, most);
            self.schedule_after(delay, SimEvent::ClientTurn(no));
        }
    }

    /// Opens a session.
    fn initialize(&mut self, no: ClientNo) {
        let seed = self.parameters.seed;
        let Some(client) = self.clients.get_mut(&no) else {
            return;
        };
        let nth = u64::try_from(no).unwrap_or(0) * SERIALS + client.sessions;
        client.sessions += 1;
        let server_no = self.servers.len();
        client.server = Some(server_no);
        client.is_initialized = false;
        let rngs = (Rng::new(seed, 3, nth), Rng::new(seed, 6, nth));
        let backend = Backend::new(Rng::new(seed, 5, nth));
        self.servers.push(Server::new(self.config.clone(), self.now, rngs, backend));
        self.coverage.hit("sessions");
        self.arm_timer(server_no);
        self.plan_crash(server_no);
        self.plan_limit(server_no);
        let id = 0.into();
        let head = Head::Request {
            id,
            method: Method::Initialize { version: None },
            progress_token: None,
        };
        let post = Post::Single(self.messages.create(server_no, head, 100));
        let reader =
            self.add_reader((no, server_no), ReaderKind::Initialize, StreamChecker::from_start());
        let link = self.open_link(no, server_no, reader);
        self.send_on_link(link, Packet::Requests { link, format: AnswerFormat::Sse, post });
        let rate = self.faults.rate(Fault::BeforeInitialized);
        if self.clients.get_mut(&no).is_some_and(|client| client.rng.chance(rate)) {
            self.send_initialized(no, server_no);
        }
    }

    /// Sends the `initialized` notification.
    fn send_initialized(&mut self, no: ClientNo, server: ServerNo) {
        let head = Head::Notification(rejoin_core::Notification::Other);
        let message = self.messages.create(server, head, 60);
        self.send_post(no, server, message, None);
    }

    /// Starts to use an initialized session.
    pub(super) fn on_initialized(&mut self, no: ClientNo, server: ServerNo) -> Result<(), String> {
        if let Some(client) = self.clients.get_mut(&no) {
            client.is_initialized = true;
        }
        self.send_initialized(no, server);
        self.open_standalone(no, server)
    }

    /// Opens the standalone stream.
    fn open_standalone(&mut self, no: ClientNo, server: ServerNo) -> Result<(), String> {
        let reader =
            self.add_reader((no, server), ReaderKind::Standalone, StreamChecker::standalone());
        if let Some(client) = self.clients.get_mut(&no) {
            client.standalone = Some(reader);
        }
        self.resume(reader)
    }

    /// Leaves a closed session, and settles all pending requests.
    pub(super) fn leave_session(&mut self, no: ClientNo, server: ServerNo) -> Result<(), String> {
        let Some(client) = self.clients.get_mut(&no) else {
            return Ok(());
        };
        if client.server != Some(server) {
            return Ok(());
        }
        client.server = None;
        client.is_initialized = false;
        client.standalone = None;
        let pending: Vec<Serial> = client.pending.iter().copied().collect();
        self.close_all_at_client(no);
        for serial in pending {
            self.settle(serial, Outcome::Closed)?;
        }
        Ok(())
    }

    /// Closes all links of a client.
    pub(super) fn close_all_at_client(&mut self, no: ClientNo) {
        let own = self.links.iter().filter(|(_, link)| link.client == no && link.is_open_at_client);
        let own: Vec<LinkNo> = own.map(|(link, _)| *link).collect();
        for link_no in own {
            if let Some(link) = self.links.get_mut(&link_no) {
                link.is_open_at_client = false;
                if let Some(reader) = self.readers.get_mut(&link.reader) {
                    reader.link = None;
                }
            }
            self.close_at_client(link_no);
        }
        self.readers.retain(|_, reader| reader.client != no);
    }

    /// Sends the packet that opens a link; it may be lost.
    pub(super) fn send_on_link(&mut self, link: LinkNo, packet: Packet) {
        let is_early = self.links.get(&link).is_some_and(|link| link.fault == LinkFault::CutEarly);
        let client = self.links.get(&link).map(|link| link.client);
        let Some(client) = client.and_then(|no| self.clients.get_mut(&no)) else {
            return;
        };
        let delay = client.network_rng.millis(0, 20);
        if is_early && client.network_rng.chance(500) {
            self.coverage.hit_fault(Fault::CutEarly);
            self.schedule_after(delay, SimEvent::ClientSeesClose(link));
        } else {
            self.schedule_after(delay, SimEvent::PacketArrived(Box::new(packet)));
        }
    }

    /// Sends a POST without a request, again if it is lost.
    pub(super) fn send_post(
        &mut self,
        client: ClientNo,
        server: ServerNo,
        message: Message<u64>,
        cancels: Option<Serial>,
    ) {
        let faults = self.faults.clone();
        let Some(rng) = self.clients.get_mut(&client).map(|client| &mut client.network_rng) else {
            return;
        };
        let mut delay = rng.millis(0, 20);
        let is_lost = rng.chance(faults.rate(Fault::PostLost));
        if is_lost {
            delay += rng.millis(50, 500);
        }
        let is_duplicated = rng.chance(faults.rate(Fault::PostDuplicated));
        let packet = Packet::ClientMessage { client, server, message, cancels };
        if is_lost {
            self.coverage.hit_fault(Fault::PostLost);
        }
        if is_duplicated {
            self.coverage.hit_fault(Fault::PostDuplicated);
            self.schedule_after(delay, SimEvent::PacketArrived(Box::new(packet.clone())));
        }
        self.schedule_after(delay, SimEvent::PacketArrived(Box::new(packet)));
    }
}
