//! Clients: they enter a session, make their requests, and come back whenever a
//! connection breaks, until all of them have settled.

mod call;
mod enter;
mod listen;
mod misuse;
mod read;
mod send;
mod tell;
mod wrong;

use std::sync::Arc;

use rejoin_core::RequestId;
use rejoin_tests::world::{Chance, Fault};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::visit::Visit;
use crate::world::{Desk, World};

/// Which luck each kind of actor has.
const CLIENT: u64 = 11;
const FLOW: u64 = 12;
const LEAVE: u64 = 13;

/// How many serial numbers a client has.
const SERIALS: u64 = 1_000_000;

/// A client in a session, and what everything that it does there shares.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub(crate) world: Arc<World>,
    pub(crate) visit: Arc<Visit>,
    no: usize,
}

/// Lives the life of a client until it is to go.
pub(crate) async fn live(world: Arc<World>, no: usize) {
    let mut luck = Chance::new(world.knobs.world.seed, CLIENT, wide(no));
    let mut serial = wide(no) * SERIALS;
    let mut nth = 0;
    while !world.is_parting() {
        let name = format!("{no}/{nth}");
        nth += 1;
        let entered = tokio::select! {
            biased;
            entered = enter::enter(&world, name, &mut luck) => entered,
            () = world.parting() => return,
        };
        let Some(visit) = entered else {
            sleep(world.millis(&mut luck, 50, 500)).await;
            continue;
        };
        let guest = Guest { world: Arc::clone(&world), visit, no };
        guest.stay(&mut luck, &mut serial).await;
    }
}

impl Guest {
    /// Works in a session until it is over, or all clients go.
    async fn stay(&self, luck: &mut Chance, serial: &mut u64) {
        let mut flows = JoinSet::new();
        flows.spawn(self.clone().listen(self.luck(serial)));
        tokio::select! {
            biased;
            () = self.visit.over() => {}
            () = self.world.parting() => {}
            () = self.act(luck, serial, &mut flows) => {}
        }
        if !self.world.is_parting() {
            // They hear of it, too.
            while flows.join_next().await.is_some() {}
            self.world.count("sessions: over before their clients left");
            return;
        }
        flows.shutdown().await;
        let mut luck = Chance::new(self.world.knobs.world.seed, LEAVE, wide(self.no));
        // Over sockets, nobody should have to wait for what is left alone.
        if luck.strikes(500) || self.world.knobs.hurry > 1 {
            self.delete(&mut luck).await;
        }
    }

    /// Does one thing after the other.
    async fn act(&self, luck: &mut Chance, serial: &mut u64, flows: &mut JoinSet<()>) {
        loop {
            while flows.try_join_next().is_some() {}
            self.misuse(luck, serial, flows);
            self.work(luck, serial, flows);
            let most = if self.world.strikes(luck, Fault::Rush) { 2 } else { 400 };
            sleep(self.world.millis(luck, 0, most)).await;
        }
    }

    /// Makes the next requests.
    fn work(&self, luck: &mut Chance, serial: &mut u64, flows: &mut JoinSet<()>) {
        let Some(desk) = self.desk() else { return };
        let knobs = &self.world.knobs.world;
        let posts = if self.world.strikes(luck, Fault::Rush) { luck.size(2, 8) } else { 1 };
        for _ in 0..posts {
            let is_batch = self.may_batch() && luck.strikes(300);
            let most = if is_batch { luck.size(1, knobs.config.batch_max.min(4)) } else { 1 };
            let count = desk.take(most, knobs.at_once);
            if count == 0 {
                return;
            }
            let ids = (0..count).map(|_| next_id(serial)).collect();
            flows.spawn(self.clone().call(self.luck(serial), ids, is_batch));
            self.world.touch();
        }
    }

    fn may_batch(&self) -> bool {
        self.visit.version == "2025-03-26" && self.world.knobs.world.config.batch_max > 0
    }

    pub(crate) fn desk(&self) -> Option<&Desk> {
        self.world.desks.get(&self.no)
    }

    /// Returns the luck of something new that this client does.
    fn luck(&self, serial: &mut u64) -> Chance {
        *serial += 1;
        Chance::new(self.world.knobs.world.seed, FLOW, *serial)
    }

    /// Says that something is wrong in this session.
    pub(crate) fn blame(&self, what: String) {
        self.world.blame(Some(&self.visit), what);
    }
}

/// Returns the id of the next request: integers and texts in turn.
fn next_id(serial: &mut u64) -> RequestId {
    *serial += 1;
    let number = i64::try_from(*serial).unwrap_or(i64::MAX);
    if serial.is_multiple_of(2) {
        return number.into();
    }
    RequestId::try_from(number.to_string().as_str()).unwrap_or(number.into())
}

pub(crate) fn wide(no: usize) -> u64 {
    u64::try_from(no).unwrap_or(u64::MAX)
}
