//! Misuse: what a client does that it should not, or need not.

use rejoin_core::{
    AnswerFormat, CloseReason, EventId, Head, Message, Method, Notification, Post, RequestId,
    StreamId,
};

use crate::world::World;
use crate::world::agenda::{ClientNo, Happening, Serial, ServerNo};
use crate::world::faults::Fault;
use crate::world::parcel::Parcel;
use crate::world::state::Kind;
use crate::world::witness::Chain;
use crate::world::wrong::WRONGS;

type Misuse = fn(&mut World, ClientNo, ServerNo);

/// What may be done beyond the work of a client.
const MISUSES: [(Fault, Misuse); 10] = [
    (Fault::Old, |world, no, server| world.resume_elsewhere(no, server, false)),
    (Fault::Future, |world, no, server| world.resume_elsewhere(no, server, true)),
    (Fault::Foreign, World::resume_foreign),
    (Fault::ManyGets, World::open_many),
    (Fault::Duplicate, World::double),
    (Fault::Cancel, World::cancel_some),
    (Fault::Abandon, World::abandon_some),
    (Fault::Wrong, World::send_wrong),
    (Fault::Shutdown, World::shut_down),
    (Fault::Delete, |world, no, server| {
        world.later_from(no, Parcel::Delete { client: no, server });
    }),
];

impl World {
    /// Lets a client do what it should not, now and then.
    pub(super) fn misuse(&mut self, no: ClientNo, server: ServerNo) {
        for (fault, act) in MISUSES {
            let rate = self.faults.rate(fault);
            if self.clients.get_mut(&no).is_some_and(|client| client.luck.strikes(rate)) {
                act(self, no, server);
            }
        }
    }

    fn resume_elsewhere(&mut self, no: ClientNo, server: ServerNo, is_future: bool) {
        if let Some(id) = self.some_id(no, is_future) {
            self.tally.struck(if is_future { Fault::Future } else { Fault::Old });
            self.stray_get(no, server, Some(id));
        }
    }

    fn resume_foreign(&mut self, no: ClientNo, server: ServerNo) {
        if let Some((owner, id)) = self.seen {
            if owner != server {
                self.tally.struck(Fault::Foreign);
            }
            self.stray_get(no, server, Some(id));
        }
    }

    fn open_many(&mut self, no: ClientNo, server: ServerNo) {
        let count = self.clients.get_mut(&no).map_or(0, |client| client.luck.size(1, 4));
        for _ in 0..count {
            self.tally.struck(Fault::ManyGets);
            self.stray_get(no, server, None);
        }
    }

    fn abandon_some(&mut self, no: ClientNo, server: ServerNo) {
        if let Some(serial) = self.some_flight(no) {
            self.later_from(no, Parcel::Abandon { server, serial });
        }
    }

    fn send_wrong(&mut self, no: ClientNo, server: ServerNo) {
        let luck = self.clients.get_mut(&no).map(|client| &mut client.luck);
        if let Some(wrong) = luck.and_then(|luck| luck.pick(&WRONGS)) {
            self.later_from(no, Parcel::Wrong { server, wrong });
        }
    }

    fn shut_down(&mut self, no: ClientNo, server: ServerNo) {
        let luck = self.clients.get_mut(&no).map(|client| &mut client.luck);
        let reasons = [CloseReason::ServerShutdown, CloseReason::Cancelled];
        if let Some(reason) = luck.and_then(|luck| luck.pick(&reasons)) {
            self.later_from(no, Parcel::Shutdown { server, reason });
        }
    }

    /// Sends something that opens no line.
    fn later_from(&mut self, no: ClientNo, parcel: Parcel) {
        let delay = self.clients.get_mut(&no).map(|client| client.network.millis(0, 20));
        self.later(delay.unwrap_or_default(), Happening::Arrive(Box::new(parcel)));
    }

    /// Returns an event of a stream that the client reads, but not the one to resume after.
    fn some_id(&mut self, no: ClientNo, is_future: bool) -> Option<EventId> {
        let own = self.readings.values().filter(|reading| reading.client == no);
        let ids: Vec<EventId> = own.filter_map(|it| it.chain.last_event_id()).collect();
        let luck = &mut self.clients.get_mut(&no)?.luck;
        let EventId { stream, index } = luck.pick(&ids)?;
        let index = if is_future { index + luck.between(1, 4) } else { luck.below(index) };
        Some(EventId::new(stream, index))
    }

    /// Opens a GET that nobody needs, and drops it after a while.
    fn stray_get(&mut self, no: ClientNo, server: ServerNo, last_event_id: Option<EventId>) {
        let mut chain = last_event_id.map_or_else(Chain::standalone, Chain::after);
        chain.is_sure &= last_event_id.is_some();
        let reading = self.begin_reading((no, server), Kind::Stray, chain);
        let line = self.open_line(no, server, reading);
        self.send_off(line, Parcel::Get { line, last_event_id });
        self.drop_later(no, line);
    }

    fn drop_later(&mut self, no: ClientNo, line: u64) {
        let delay = self.clients.get_mut(&no).map(|client| client.network.millis(50, 5_000));
        self.later(delay.unwrap_or_default(), Happening::Break(line));
    }

    fn some_flight(&mut self, no: ClientNo) -> Option<Serial> {
        let client = self.clients.get_mut(&no)?;
        let flights: Vec<Serial> = client.flights.iter().copied().collect();
        client.luck.pick(&flights)
    }

    /// Sends a request again that is in flight.
    fn double(&mut self, no: ClientNo, server: ServerNo) {
        let Some(serial) = self.some_flight(no) else {
            return;
        };
        let Some(request) = self.requests.get_mut(&serial) else {
            return;
        };
        request.is_doubled = true;
        let (id, progress_token) = (request.id.clone(), request.token.clone());
        self.tally.struck(Fault::Duplicate);
        let head = Head::Request { id, method: Method::Other, progress_token };
        let message = self.messages.say(server, head, 50);
        let reading = self.begin_reading((no, server), Kind::Stray, Chain::fresh());
        let line = self.open_line(no, server, reading);
        let (format, post) = (AnswerFormat::Sse, Post::Single(message));
        self.send_off(line, Parcel::Requests { line, format, post });
        self.drop_later(no, line);
    }

    /// Cancels a request, or what is no request any more.
    fn cancel_some(&mut self, no: ClientNo, server: ServerNo) {
        let is_late = self.clients.get_mut(&no).is_some_and(|it| it.luck.strikes(300));
        let flight = self.some_flight(no);
        if let Some(serial) = flight.filter(|_| !is_late) {
            self.tally.struck(Fault::Cancel);
            self.give_up(serial);
            return;
        }
        let over = self.requests.iter().rev();
        let mut over = over.filter(|(_, it)| it.client == no && it.outcome.is_some());
        self.tally.add("cancellations: late");
        let id = over.next().map_or(77.into(), |(_, request)| request.id.clone());
        let message = self.cancellation(server, id);
        self.post(no, server, message, None);
    }

    pub(super) fn cancellation(&mut self, server: ServerNo, request: RequestId) -> Message<u64> {
        let head = Head::Notification(Notification::Cancelled { request });
        self.messages.say(server, head, 60)
    }

    /// Notes that another GET than the client's own may have taken what comes next.
    pub(super) fn doubt_standalone(&mut self, no: ClientNo) {
        let standalone = self.clients.get(&no).and_then(|client| client.standalone);
        let reading = standalone.and_then(|reading| self.readings.get_mut(&reading));
        if let Some(reading) = reading.filter(|it| it.chain.stream == Some(StreamId::Standalone)) {
            reading.chain.is_sure = false;
        }
    }
}
