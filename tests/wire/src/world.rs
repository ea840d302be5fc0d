//! What all actors of a world share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rejoin_core::EventId;
use rejoin_tests::world::{Chance, Fault, Faults, Tally};
use tokio::sync::{Notify, watch};

use crate::knobs::Knobs;
use crate::link::{Course, Fate, Pace};
use crate::server::Server;
use crate::visit::Visit;

/// What all actors of a world share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) knobs: Knobs,
    pub(crate) server: Server,
    pub(crate) tally: Arc<Mutex<Tally>>,
    /// Whether nothing goes wrong any more.
    phase: watch::Sender<bool>,
    /// Likewise, for the backends.
    is_calm: Arc<AtomicBool>,
    parting: watch::Sender<bool>,
    /// An event that some client saw, for others to misuse.
    pub(crate) stray_id: Mutex<Option<EventId>>,
    /// What each client has still to do.
    pub(crate) desks: BTreeMap<usize, Desk>,
    /// Every session that was entered.
    visits: Mutex<Vec<Arc<Visit>>>,
    /// What was wrong first, and in which session.
    wrong: Mutex<Option<(Option<Arc<Visit>>, String)>>,
    changed: Notify,
}

/// What is left of a world, to be judged.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) visits: Vec<Arc<Visit>>,
    pub(crate) wrong: Option<(Option<Arc<Visit>>, String)>,
    pub(crate) tally: Tally,
}

/// What a client has still to do.
#[derive(Debug)]
pub(crate) struct Desk {
    /// How many requests it has still to make.
    pub(crate) todo: AtomicUsize,
    /// How many have not settled.
    pub(crate) flights: AtomicUsize,
}

/// Counts what becomes of links.
#[derive(Clone, Debug)]
pub(crate) struct LinkTally(Arc<Mutex<Tally>>);

impl LinkTally {
    pub(crate) fn count(&self, course: Course) {
        let mut tally = self.0.lock();
        course.kinds().for_each(|kind| tally.add(kind));
    }
}

impl World {
    pub(crate) fn new(knobs: Knobs, server: Server, is_calm: Arc<AtomicBool>) -> Arc<Self> {
        let desk = |no: &usize| {
            let todo = AtomicUsize::new(knobs.world.requests);
            (*no, Desk { todo, flights: AtomicUsize::new(0) })
        };
        Arc::new(Self {
            desks: knobs.world.clients.iter().map(desk).collect(),
            knobs,
            server,
            tally: Arc::default(),
            phase: watch::channel(false).0,
            is_calm,
            parting: watch::channel(false).0,
            stray_id: Mutex::default(),
            visits: Mutex::default(),
            wrong: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Returns how often a fault happens now.
    pub(crate) fn rate(&self, fault: Fault) -> u32 {
        if self.is_healed() { 0 } else { self.knobs.world.faults.rate(fault) }
    }

    /// Returns whether a fault happens.
    pub(crate) fn strikes(&self, luck: &mut Chance, fault: Fault) -> bool {
        luck.strikes(self.rate(fault))
    }

    /// Draws what becomes of a link.
    pub(crate) fn fate(&self, luck: &mut Chance) -> Fate {
        let none = Faults::default();
        let faults = if self.is_healed() { &none } else { &self.knobs.world.faults };
        let fate = Fate::draw(luck, faults, self.knobs.stall_max());
        match self.knobs.line.and_then(|line| line.rate) {
            Some(rate) if fate.pace == Pace::Quick => Fate { pace: Pace::Steady(rate), ..fate },
            Some(_) | None => fate,
        }
    }

    /// Draws a time that somebody waits for.
    pub(crate) fn millis(&self, luck: &mut Chance, least: u64, most: u64) -> Duration {
        self.knobs.millis(luck, least, most)
    }

    pub(crate) fn count(&self, kind: &'static str) {
        self.tally.lock().add(kind);
    }

    pub(crate) fn tally_of_links(&self) -> LinkTally {
        LinkTally(Arc::clone(&self.tally))
    }

    /// Lets nothing go wrong any more.
    pub(crate) fn heal(&self) {
        self.is_calm.store(true, Ordering::Relaxed);
        self.phase.send_replace(true);
        // What is made from now on must be answered: as many requests as may be in flight.
        for desk in self.desks.values() {
            desk.todo.fetch_add(self.knobs.world.at_once, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_healed(&self) -> bool {
        *self.phase.borrow()
    }

    pub(crate) fn healed(&self) -> watch::Receiver<bool> {
        self.phase.subscribe()
    }

    /// Leaves each client one request to make, of those that it has still to make.
    pub(crate) fn withdraw(&self) {
        for desk in self.desks.values() {
            desk.todo.fetch_min(1, Ordering::Relaxed);
        }
        self.touch();
    }

    /// Lets all clients go.
    pub(crate) fn part(&self) {
        self.parting.send_replace(true);
    }

    /// Waits until all clients go.
    pub(crate) async fn parting(&self) {
        // The sender is here.
        let _ = self.parting.subscribe().wait_for(|is_parting| *is_parting).await;
    }

    pub(crate) fn is_parting(&self) -> bool {
        *self.parting.borrow()
    }

    /// Notes a session that was entered.
    pub(crate) fn enter(&self, visit: &Arc<Visit>) {
        self.visits.lock().push(Arc::clone(visit));
    }

    /// Returns the sessions that were entered.
    pub(crate) fn visits(&self) -> Vec<Arc<Visit>> {
        self.visits.lock().clone()
    }

    /// Says that something is wrong. What was wrong first counts.
    pub(crate) fn blame(&self, visit: Option<&Arc<Visit>>, what: String) {
        self.wrong.lock().get_or_insert((visit.cloned(), what));
        self.changed.notify_one();
    }

    /// Takes what is left to be judged.
    pub(crate) fn take(&self) -> Left {
        Left {
            visits: std::mem::take(&mut *self.visits.lock()),
            wrong: self.wrong.lock().take(),
            tally: self.tally.lock().clone(),
        }
    }

    /// Returns whether something is wrong already.
    pub(crate) fn is_wrong(&self) -> bool {
        self.wrong.lock().is_some()
    }

    /// Says that a request was made, or has settled.
    pub(crate) fn touch(&self) {
        self.changed.notify_one();
    }

    /// Waits until something is so for all clients, or something is wrong.
    pub(crate) async fn until_all(&self, is_so: impl Fn(&Desk) -> bool) {
        while !self.is_wrong() && !self.desks.values().all(&is_so) {
            self.changed.notified().await;
        }
    }
}

impl Desk {
    pub(crate) fn is_made(&self) -> bool {
        self.todo.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.is_made() && self.flights.load(Ordering::Relaxed) == 0
    }

    /// Takes up to so many of the requests that are to be made, if fewer than `most` are
    /// in flight.
    pub(crate) fn take(&self, count: usize, most: usize) -> usize {
        let flights = self.flights.load(Ordering::Relaxed);
        if flights >= most {
            return 0;
        }
        let todo = self.todo.load(Ordering::Relaxed);
        let count = count.min(todo);
        self.todo.store(todo - count, Ordering::Relaxed);
        self.flights.store(flights + count, Ordering::Relaxed);
        count
    }

    /// Gives up requests that have settled, or that `again` of them are to be made again.
    pub(crate) fn give_back(&self, settled: usize, again: usize) {
        self.flights.fetch_sub(settled + again, Ordering::Relaxed);
        self.todo.fetch_add(again, Ordering::Relaxed);
    }
}
