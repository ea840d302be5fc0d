//! A link that is cut at least a hundred times.

use std::{collections::BTreeMap, ops::RangeInclusive};

use rejoin_test_support::Program;
use serde_json::{Value, json};

use crate::{application::Application, cutting_proxy::CuttingProxy};

/// The number of calls at a time.
const CALLS: i64 = 24;
const STEPS: u64 = 25;
const CUTS_MIN: usize = 100;
/// Maximum number of rounds of calls: a slow machine gets several events at once, so that fewer
/// connections are cut.
const ROUNDS_MAX: i64 = 10;

#[test]
fn every_message_arrives_once_although_connections_are_cut() {
    let program = Program::serve(&[]);
    let proxy = CuttingProxy::start(&program.address, 3);
    let mut application = Application::initialize(&proxy.url, &[]);
    for round in 0..ROUNDS_MAX {
        check_calls(&mut application, round * CALLS + 1..=(round + 1) * CALLS);
        if proxy.cuts() >= CUTS_MIN {
            break;
        }
    }
    assert!(proxy.cuts() >= CUTS_MIN, "{} cuts", proxy.cuts());
    let (status, rest) = application.leave();
    assert!(status.success());
    assert_eq!(rest, [] as [Value; 0]);
}

/// Makes calls at the same time, and checks what arrives of each.
fn check_calls(application: &mut Application, ids: RangeInclusive<i64>) {
    for id in ids.clone() {
        application.call(id, "count", &json!({ "total": STEPS, "interval_ms": 100 }));
    }
    let mut responses = BTreeMap::new();
    let mut progress: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    while responses.len() < ids.clone().count() {
        let message = application.next();
        if let Some(id) = message["id"].as_i64() {
            assert!(message["result"].is_object(), "{message}");
            assert_eq!(responses.insert(id, message), None, "a second response to {id}");
        } else {
            let params = &message["params"];
            let values = progress.entry(params["progressToken"].as_i64().unwrap()).or_default();
            values.push(params["progress"].as_f64().unwrap());
        }
    }
    let steps: Vec<f64> = (1..=STEPS).map(|step| f64::from(u32::try_from(step).unwrap())).collect();
    for id in ids {
        assert_eq!(progress[&id], steps, "progress of {id}");
    }
}
