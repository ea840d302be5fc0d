//! Clients: they enter a session, make their requests, and come back whenever a
//! connection breaks, until all of them have settled.

mod misuse;
mod read;
mod resume;
mod settle;
mod work;

use std::collections::BTreeSet;
use std::time::Duration;

use rejoin_core::{AnswerFormat, Head, Message, Method, Post};

use super::World;
use super::agenda::{ClientNo, Happening, LineNo, ReadingNo, Serial, ServerNo};
use super::backend::Backend;
use super::chance::Chance;
use super::faults::Fault;
use super::knobs::Knobs;
use super::line::Fate;
use super::parcel::Parcel;
use super::server::Server;
use super::state::Kind;
use super::witness::Chain;
use super::wrong::Wrong;

/// How many serial numbers a client has.
const SERIALS: u64 = 1_000_000;

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) luck: Chance,
    /// What its lines draw from.
    pub(super) network: Chance,
    /// How many requests it has still to make.
    pub(super) todo: usize,
    pub(super) server: Option<ServerNo>,
    /// Whether its session is initialized.
    pub(super) is_inside: bool,
    /// What has not settled.
    pub(super) flights: BTreeSet<Serial>,
    pub(super) standalone: Option<ReadingNo>,
    /// Whether it will do nothing more.
    pub(super) is_done: bool,
    sessions: u64,
    next_serial: Serial,
}

impl Client {
    pub(super) fn new(knobs: &Knobs, no: ClientNo) -> Self {
        let nth = u64::try_from(no).unwrap_or(0);
        Self {
            luck: Chance::new(knobs.seed, 1, nth),
            network: Chance::new(knobs.seed, 2, nth),
            todo: knobs.requests,
            server: None,
            is_inside: false,
            flights: BTreeSet::new(),
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

impl World {
    /// Lets a client go on with its work.
    pub(super) fn act(&mut self, no: ClientNo) {
        let Some(client) = self.clients.get(&no) else {
            return;
        };
        if client.is_done {
            return;
        }
        match (client.server, client.is_inside) {
            (None, _) => self.enter(no),
            (Some(_), false) => {}
            (Some(server), true) => {
                self.misuse(no, server);
                self.work(no, server);
            }
        }
        let rush = self.faults.rate(Fault::Rush);
        if let Some(client) = self.clients.get_mut(&no) {
            let most = if client.luck.strikes(rush) { 2 } else { 400 };
            let delay = client.luck.millis(0, most);
            self.later(delay, Happening::Act(no));
        }
    }

    /// Begins a session.
    fn enter(&mut self, no: ClientNo) {
        let seed = self.knobs.seed;
        let Some(client) = self.clients.get_mut(&no) else {
            return;
        };
        let nth = u64::try_from(no).unwrap_or(0) * SERIALS + client.sessions;
        client.sessions += 1;
        let server_no = self.servers.len();
        client.server = Some(server_no);
        client.is_inside = false;
        let (luck, backend) = (Chance::new(seed, 3, nth), Chance::new(seed, 5, nth));
        let backend = Backend::new(backend);
        self.servers.push(Server::new(self.config.clone(), self.now, luck, backend));
        self.tally.add("sessions");
        self.arm(server_no);
        self.plan_crash(server_no);
        let id = 0.into();
        let head = Head::Request {
            id,
            method: Method::Initialize { version: None },
            progress_token: None,
        };
        let post = Post::Single(self.messages.say(server_no, head, 100));
        let reading = self.begin_reading((no, server_no), Kind::Enter, Chain::fresh());
        let line = self.open_line(no, server_no, reading);
        self.send_off(line, Parcel::Requests { line, format: AnswerFormat::Sse, post });
        let eager = self.faults.rate(Fault::Eager);
        if self.clients.get_mut(&no).is_some_and(|client| client.luck.strikes(eager)) {
            let early = Parcel::Wrong { server: server_no, wrong: Wrong::Early };
            self.later(Duration::ZERO, Happening::Arrive(Box::new(early)));
            self.greet(no, server_no);
        }
    }

    /// Says that the client is there.
    fn greet(&mut self, no: ClientNo, server: ServerNo) {
        let head = Head::Notification(rejoin_core::Notification::Other);
        let message = self.messages.say(server, head, 60);
        self.post(no, server, message, None);
    }

    /// Begins to work in a session that is initialized.
    pub(super) fn begin_work(&mut self, no: ClientNo, server: ServerNo) -> Result<(), String> {
        if let Some(client) = self.clients.get_mut(&no) {
            client.is_inside = true;
        }
        self.greet(no, server);
        self.listen(no, server)
    }

    /// Opens the standalone stream.
    fn listen(&mut self, no: ClientNo, server: ServerNo) -> Result<(), String> {
        let reading = self.begin_reading((no, server), Kind::Standalone, Chain::standalone());
        if let Some(client) = self.clients.get_mut(&no) {
            client.standalone = Some(reading);
        }
        self.come_back(reading)
    }

    /// Leaves a session that is closed: all that is still open there is over.
    pub(super) fn leave(&mut self, no: ClientNo, server: ServerNo) -> Result<(), String> {
        let Some(client) = self.clients.get_mut(&no) else {
            return Ok(());
        };
        if client.server != Some(server) {
            return Ok(());
        }
        client.server = None;
        client.is_inside = false;
        client.standalone = None;
        let flights: Vec<Serial> = client.flights.iter().copied().collect();
        self.hang_up_all(no);
        for serial in flights {
            self.settle(serial, super::witness::Outcome::Closed)?;
        }
        Ok(())
    }

    /// Drops all lines of a client.
    pub(super) fn hang_up_all(&mut self, no: ClientNo) {
        let own = self.lines.iter().filter(|(_, line)| line.client == no && line.is_read);
        let own: Vec<LineNo> = own.map(|(line, _)| *line).collect();
        for line_no in own {
            if let Some(line) = self.lines.get_mut(&line_no) {
                line.is_read = false;
                if let Some(reading) = self.readings.get_mut(&line.reading) {
                    reading.line = None;
                }
            }
            self.hang_up(line_no);
        }
        self.readings.retain(|_, reading| reading.client != no);
    }

    /// Sends what opens a line, which may be lost on its way.
    pub(super) fn send_off(&mut self, line: LineNo, parcel: Parcel) {
        let early = self.lines.get(&line).is_some_and(|line| line.fate == Fate::Early);
        let client = self.lines.get(&line).map(|line| line.client);
        let Some(client) = client.and_then(|no| self.clients.get_mut(&no)) else {
            return;
        };
        let delay = client.network.millis(0, 20);
        if early && client.network.strikes(500) {
            self.tally.struck(Fault::CutEarly);
            self.later(delay, Happening::Lost(line));
        } else {
            self.later(delay, Happening::Arrive(Box::new(parcel)));
        }
    }

    /// Sends a POST without a request, again if it is lost.
    pub(super) fn post(
        &mut self,
        client: ClientNo,
        server: ServerNo,
        message: Message<u64>,
        cancels: Option<Serial>,
    ) {
        let faults = self.faults.clone();
        let Some(luck) = self.clients.get_mut(&client).map(|client| &mut client.network) else {
            return;
        };
        let mut delay = luck.millis(0, 20);
        let is_lost = luck.strikes(faults.rate(Fault::PostLost));
        if is_lost {
            delay += luck.millis(50, 500);
        }
        let is_doubled = luck.strikes(faults.rate(Fault::PostDoubled));
        let parcel = Parcel::Told { client, server, message, cancels };
        if is_lost {
            self.tally.struck(Fault::PostLost);
        }
        if is_doubled {
            self.tally.struck(Fault::PostDoubled);
            self.later(delay, Happening::Arrive(Box::new(parcel.clone())));
        }
        self.later(delay, Happening::Arrive(Box::new(parcel)));
    }
}
