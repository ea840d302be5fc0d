//! Misuse of the protocol by a client, and spurious requests.

use rejoin_core::{
    AnswerFormat, EventId, Head, Message, Method, Notification, Post, RequestId,
    SessionCloseReason, StreamId,
};

use crate::kit::Fault;
use crate::kit::checker::StreamChecker;
use crate::simulation::Simulation;
use crate::simulation::event_queue::{ClientNo, Serial, ServerNo, SimEvent};
use crate::simulation::invalid_input::INVALID_INPUTS;
use crate::simulation::packet::Packet;
use crate::simulation::state::ReaderKind;

type Misuse = fn(&mut Simulation, ClientNo, ServerNo);

/// The kinds of misuse, each with the fault that triggers it.
const MISUSES: [(Fault, Misuse); 11] = [
    (Fault::ResumeOld, |simulation, no, server| simulation.resume_elsewhere(no, server, false)),
    (Fault::ResumeFuture, |simulation, no, server| simulation.resume_elsewhere(no, server, true)),
    (Fault::ResumeForeign, Simulation::resume_foreign),
    (Fault::ExtraGets, Simulation::open_extra_gets),
    (Fault::RequestDuplicated, Simulation::duplicate_request),
    (Fault::Cancel, Simulation::cancel_random),
    (Fault::Abandon, Simulation::abandon_pending),
    (Fault::InvalidInput, Simulation::send_invalid),
    (Fault::Shutdown, Simulation::shut_down),
    (Fault::Drain, |simulation, no, server| {
        simulation.send_without_link(no, Packet::Drain { server });
    }),
    (Fault::Delete, |simulation, no, server| {
        simulation.send_without_link(no, Packet::Delete { client: no, server });
    }),
];

impl Simulation {
    /// Injects misuse at random.
    pub(super) fn misuse(&mut self, no: ClientNo, server: ServerNo) {
        for (fault, act) in MISUSES {
            let rate = self.faults.rate(fault);
            if self.clients.get_mut(&no).is_some_and(|client| client.rng.chance(rate)) {
                act(self, no, server);
            }
        }
    }

    fn resume_elsewhere(&mut self, no: ClientNo, server: ServerNo, is_future: bool) {
        if let Some(id) = self.random_event_id(no, is_future) {
            self.coverage.hit_fault(if is_future { Fault::ResumeFuture } else { Fault::ResumeOld });
            self.open_spurious_get(no, server, Some(id));
        }
    }

    fn resume_foreign(&mut self, no: ClientNo, server: ServerNo) {
        if let Some((owner, id)) = self.foreign_event_id {
            if owner != server {
                self.coverage.hit_fault(Fault::ResumeForeign);
            }
            self.open_spurious_get(no, server, Some(id));
        }
    }

    fn open_extra_gets(&mut self, no: ClientNo, server: ServerNo) {
        let count = self.clients.get_mut(&no).map_or(0, |client| client.rng.size(1, 4));
        for _ in 0..count {
            self.coverage.hit_fault(Fault::ExtraGets);
            self.open_spurious_get(no, server, None);
        }
    }

    fn abandon_pending(&mut self, no: ClientNo, server: ServerNo) {
        if let Some(serial) = self.random_pending(no) {
            self.send_without_link(no, Packet::Abandon { server, serial });
        }
    }

    fn send_invalid(&mut self, no: ClientNo, server: ServerNo) {
        let rng = self.clients.get_mut(&no).map(|client| &mut client.rng);
        if let Some(invalid) = rng.and_then(|rng| rng.choose(&INVALID_INPUTS)) {
            self.send_without_link(no, Packet::Invalid { server, invalid });
        }
    }

    fn shut_down(&mut self, no: ClientNo, server: ServerNo) {
        let rng = self.clients.get_mut(&no).map(|client| &mut client.rng);
        let reasons = [
            SessionCloseReason::ServerShutdown,
            SessionCloseReason::Cancelled,
            SessionCloseReason::InternalError,
        ];
        if let Some(reason) = rng.and_then(|rng| rng.choose(&reasons)) {
            self.send_without_link(no, Packet::Shutdown { server, reason });
        }
    }

    /// Sends a packet that does not open a link.
    fn send_without_link(&mut self, no: ClientNo, packet: Packet) {
        let delay = self.clients.get_mut(&no).map(|client| client.network_rng.millis(0, 20));
        self.schedule_after(delay.unwrap_or_default(), SimEvent::PacketArrived(Box::new(packet)));
    }

    /// Returns an event id of a stream that the client reads, other than the one to resume
    /// after.
    fn random_event_id(&mut self, no: ClientNo, is_future: bool) -> Option<EventId> {
        let own = self.readers.values().filter(|reader| reader.client == no);
        let ids: Vec<EventId> = own.filter_map(|it| it.checker.last_event_id()).collect();
        let rng = &mut self.clients.get_mut(&no)?.rng;
        let EventId { stream, index } = rng.choose(&ids)?;
        let index = if is_future { index + rng.between(1, 4) } else { rng.below(index) };
        Some(EventId::new(stream, index))
    }

    /// Opens a GET that the client does not need, and drops it later.
    fn open_spurious_get(
        &mut self,
        no: ClientNo,
        server: ServerNo,
        last_event_id: Option<EventId>,
    ) {
        let mut checker =
            last_event_id.map_or_else(StreamChecker::standalone, StreamChecker::after);
        checker.is_strict &= last_event_id.is_some();
        let reader = self.add_reader((no, server), ReaderKind::Spurious, checker);
        let link = self.open_link(no, server, reader);
        self.send_on_link(link, Packet::Get { link, last_event_id });
        self.drop_link_later(no, link);
    }

    fn drop_link_later(&mut self, no: ClientNo, link: u64) {
        let delay = self.clients.get_mut(&no).map(|client| client.network_rng.millis(50, 5_000));
        self.schedule_after(delay.unwrap_or_default(), SimEvent::LinkFault(link));
    }

    fn random_pending(&mut self, no: ClientNo) -> Option<Serial> {
        let client = self.clients.get_mut(&no)?;
        let pending: Vec<Serial> = client.pending.iter().copied().collect();
        client.rng.choose(&pending)
    }

    /// Sends a pending request a second time.
    fn duplicate_request(&mut self, no: ClientNo, server: ServerNo) {
        let Some(serial) = self.random_pending(no) else {
            return;
        };
        let Some(request) = self.requests.get_mut(&serial) else {
            return;
        };
        request.is_duplicated = true;
        let (id, progress_token) = (request.id.clone(), request.token.clone());
        self.coverage.hit_fault(Fault::RequestDuplicated);
        let head = Head::Request { id, method: Method::Other, progress_token };
        let message = self.messages.create(server, head, 50);
        let reader =
            self.add_reader((no, server), ReaderKind::Spurious, StreamChecker::from_start());
        let link = self.open_link(no, server, reader);
        let (format, post) = (AnswerFormat::Sse, Post::Single(message));
        self.send_on_link(link, Packet::Requests { link, format, post });
        self.drop_link_later(no, link);
    }

    /// Cancels a pending request, or one that is not pending any more.
    fn cancel_random(&mut self, no: ClientNo, server: ServerNo) {
        let is_late = self.clients.get_mut(&no).is_some_and(|it| it.rng.chance(300));
        let pending = self.random_pending(no);
        if let Some(serial) = pending.filter(|_| !is_late) {
            self.coverage.hit_fault(Fault::Cancel);
            self.cancel_request(serial);
            return;
        }
        let ended = self.requests.iter().rev();
        let mut ended = ended.filter(|(_, it)| it.client == no && it.outcome.is_some());
        self.coverage.hit("cancellations: late");
        let id = ended.next().map_or(77.into(), |(_, request)| request.id.clone());
        let message = self.cancellation(server, id);
        self.send_post(no, server, message, None);
    }

    pub(super) fn cancellation(&mut self, server: ServerNo, request: RequestId) -> Message<u64> {
        let head = Head::Notification(Notification::Cancelled { request });
        self.messages.create(server, head, 60)
    }

    /// Notes that a competing GET may have received the next events.
    pub(super) fn relax_standalone(&mut self, no: ClientNo) {
        let standalone = self.clients.get(&no).and_then(|client| client.standalone);
        let reader = standalone.and_then(|reader| self.readers.get_mut(&reader));
        if let Some(reader) = reader.filter(|it| it.checker.stream == Some(StreamId::Standalone)) {
            reader.checker.is_strict = false;
        }
    }
}
