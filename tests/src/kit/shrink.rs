//! Minimization of failing simulations.

use rejoin_core::{Config, Input, Instant};

use super::{Coverage, Failure, Parameters};
use crate::journal::Journal;

/// The numbers of requests per client that are tried.
const FEWER: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Minimizes a failing simulation by removing clients, requests, faults and limits, and its
/// journal to the inputs that break a law. `run` runs a simulation; another failure counts as
/// the same if it is of the same class.
pub fn shrink<P>(
    failure: Box<Failure<P>>,
    run: impl Fn(&P) -> Result<Coverage, Box<Failure<P>>>,
) -> Box<Failure<P>>
where
    P: Clone + PartialEq + AsRef<Parameters> + AsMut<Parameters>,
{
    let class = failure_class(&failure.message);
    let fails = |parameters: &P| {
        run(parameters).err().filter(|failure| failure_class(&failure.message) == class)
    };
    let mut found = minimize(failure, fails);
    let journal = found.journal().and_then(|text| Journal::read(text).ok());
    found.minimized = journal.and_then(|journal| minimize_journal(&journal));
    found
}

/// Minimizes the parameters of a failing simulation, where `fails` returns its failure with
/// other parameters if it is of the same class.
fn minimize<P>(
    mut found: Box<Failure<P>>,
    fails: impl Fn(&P) -> Option<Box<Failure<P>>>,
) -> Box<Failure<P>>
where
    P: Clone + PartialEq + AsRef<Parameters> + AsMut<Parameters>,
{
    let base = |found: &Failure<P>| found.parameters.as_ref().clone();
    let try_with = |found: &mut Box<Failure<P>>, change: &dyn Fn(&mut Parameters)| {
        let mut parameters = found.parameters.clone();
        change(parameters.as_mut());
        if parameters == found.parameters || parameters.as_ref().clients.is_empty() {
            return false;
        }
        let Some(failure) = fails(&parameters) else {
            return false;
        };
        *found = failure;
        true
    };
    for client in base(&found).clients {
        try_with(&mut found, &|parameters| parameters.clients.retain(|other| *other == client));
    }
    for client in base(&found).clients {
        try_with(&mut found, &|parameters| parameters.clients.retain(|other| *other != client));
    }
    let most = base(&found).requests;
    for fewer in FEWER.into_iter().filter(|fewer| *fewer < most) {
        if try_with(&mut found, &|parameters| parameters.requests = fewer) {
            break;
        }
    }
    for fault in base(&found).faults.present() {
        try_with(&mut found, &|parameters| parameters.faults.remove(fault));
    }
    try_with(&mut found, &|parameters| parameters.pending_max = 1);
    try_with(&mut found, &|parameters| parameters.config = without_limits(&parameters.config));
    found
}

/// Returns the class of a failure: the beginning of its message, without numbers except that of
/// a law.
#[must_use]
pub fn failure_class(message: &str) -> String {
    let first = message.split(':').next().unwrap_or(message);
    first.chars().filter(|it| !it.is_ascii_digit() || message.starts_with("law")).collect()
}

/// Returns a config with the same timeouts and policies, and default limits.
#[must_use]
pub fn without_limits(config: &Config) -> Config {
    let mut unlimited = Config::default();
    unlimited.concurrent_get = config.concurrent_get;
    unlimited.priming = config.priming;
    unlimited.unrelated_routing = config.unrelated_routing;
    unlimited.retention = config.retention;
    unlimited.tombstone_timeout = config.tombstone_timeout;
    unlimited.cancelled_timeout = config.cancelled_timeout;
    unlimited.init_timeout = config.init_timeout;
    unlimited.idle_timeout = config.idle_timeout;
    unlimited.orphan_timeout = config.orphan_timeout;
    unlimited.delivery_timeout = config.delivery_timeout;
    unlimited.server_request_timeout = config.server_request_timeout;
    unlimited.stall_timeout_min = config.stall_timeout_min;
    unlimited.stall_timeout_max = config.stall_timeout_max;
    unlimited.hold_timeout = config.hold_timeout;
    unlimited.stall_disconnect_timeout = config.stall_disconnect_timeout;
    unlimited.commits = config.commits;
    unlimited
}

/// Minimizes a journal that breaks a law. `None` if it breaks none.
fn minimize_journal(journal: &Journal) -> Option<(Journal, String)> {
    let journal_of = |inputs: &[(Instant, Input<()>)]| {
        let Journal { config, started_at, .. } = journal;
        Journal { config: config.clone(), started_at: *started_at, inputs: inputs.to_vec() }
    };
    let breaks = |inputs: &[(Instant, Input<()>)]| {
        journal_of(inputs).check().err().map(|(_, failure)| failure)
    };
    let (inputs, failure) = reduce(&journal.inputs, breaks)?;
    Some((journal_of(&inputs), failure))
}

/// Minimizes a list that fails by removing ever smaller pieces, and returns it with its failure.
/// `None` if it does not fail.
fn reduce<T: Clone, E>(items: &[T], failure: impl Fn(&[T]) -> Option<E>) -> Option<(Vec<T>, E)> {
    let mut found = failure(items)?;
    let mut kept = items.to_vec();
    let mut size = kept.len().div_ceil(2);
    while size > 0 {
        let mut at = kept.len();
        while at > 0 {
            at = at.saturating_sub(size);
            let mut fewer = kept.clone();
            fewer.drain(at..(at + size).min(kept.len()));
            if let Some(still) = failure(&fewer) {
                kept = fewer;
                found = still;
                at = at.min(kept.len());
            }
        }
        size /= 2;
    }
    Some((kept, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_class_has_no_numbers_except_of_a_law() {
        assert_eq!(
            failure_class("request 17 was answered twice"),
            failure_class("request 8 was answered twice")
        );
        assert_ne!(
            failure_class("law 4 (in order): 5 is duplicated"),
            failure_class("law 6 (in order): lost")
        );
        assert_eq!(
            failure_class("law 4 (in order): 5 is duplicated"),
            failure_class("law 4 (in order): lost")
        );
        assert_ne!(failure_class("panicked: no key 5"), failure_class("a request was rejected"));
    }

    #[test]
    fn minimizes_to_the_necessary_items() {
        let items: Vec<u32> = (0..1_000).collect();
        let failure = |items: &[u32]| (items.contains(&7) && items.contains(&900)).then_some(());
        assert_eq!(reduce(&items, failure), Some((vec![7, 900], ())));
        assert_eq!(reduce(&items, |_| None::<()>), None);
    }
}
