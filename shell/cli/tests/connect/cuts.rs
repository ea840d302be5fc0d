//! A link that is cut a hundred times.

use std::collections::BTreeMap;

use rejoin_test_support::Program;
use serde_json::{Value, json};

use crate::{application::Application, cutting_proxy::CuttingProxy};

const CALLS: i64 = 24;
const STEPS: u64 = 25;
const CUTS: usize = 100;

#[test]
fn every_message_arrives_once_although_connections_are_cut_100_times() {
    let program = Program::serve(&[]);
    let proxy = CuttingProxy::start(&program.address, 3, CUTS);
    let mut application = Application::initialize(&proxy.url, &[]);
    for id in 1..=CALLS {
        application.call(id, "count", &json!({ "total": STEPS, "interval_ms": 100 }));
    }
    let mut responses = BTreeMap::new();
    let mut progress: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    while responses.len() < usize::try_from(CALLS).unwrap() {
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
    assert_eq!(proxy.cuts(), CUTS);
    let steps: Vec<f64> = (1..=STEPS).map(|step| f64::from(u32::try_from(step).unwrap())).collect();
    for id in 1..=CALLS {
        assert_eq!(progress[&id], steps, "progress of {id}");
    }
    let (status, rest) = application.leave();
    assert!(status.success());
    assert_eq!(rest, [] as [Value; 0]);
}
