//! The histograms of the operations of one server.

use std::{borrow::Cow, sync::Arc};

use parking_lot::RwLock;
use prometheus_client::metrics::histogram::Histogram;
use rustc_hash::FxHashMap;

use super::labels::OperationLabels;

/// The histograms of a server, by the label of the tool. The family has the same ones, but finds
/// them more slowly: by a hash of all labels, each of which it needs owned.
#[derive(Default)]
pub(super) struct Operations(RwLock<FxHashMap<Arc<str>, Vec<Operation>>>);

/// A method and a type of error. There are at most as many as label sets of the server.
struct Operation {
    method: &'static str,
    error_type: Cow<'static, str>,
    histogram: Histogram,
}

impl Operations {
    /// Adds a duration. Returns `false` if the histogram is not known.
    pub(super) fn observe(&self, method: &str, tool: &str, error_type: &str, seconds: f64) -> bool {
        let tools = self.0.read();
        let mut operations = tools.get(tool).into_iter().flatten();
        let operation = operations.find(|it| it.method == method && it.error_type == error_type);
        operation.inspect(|operation| operation.histogram.observe(seconds)).is_some()
    }

    /// Adds the histogram of these labels.
    pub(super) fn add(&self, labels: OperationLabels, histogram: Histogram) {
        let OperationLabels { mcp_method_name: method, gen_ai_tool_name, error_type, .. } = labels;
        let mut tools = self.0.write();
        let operations = tools.entry(gen_ai_tool_name).or_default();
        // Another task may have been faster.
        if !operations.iter().any(|it| it.method == method && it.error_type == error_type) {
            operations.push(Operation { method, error_type, histogram });
        }
    }
}
