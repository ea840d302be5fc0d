//! The names of tools that are labels.

use std::{collections::HashSet, sync::Arc};

use parking_lot::RwLock;

use super::labels::OTHER;

/// The names of the tools of one server: those that have answered, at most [`TOOLS_MAX`].
#[derive(Debug)]
pub(super) struct Tools {
    known: RwLock<HashSet<Arc<str>>>,
    none: Arc<str>,
    other: Arc<str>,
}

/// Maximum number of names. Clients choose them, so that they would be unlimited.
const TOOLS_MAX: usize = 200;

impl Default for Tools {
    fn default() -> Self {
        Self { known: RwLock::default(), none: "".into(), other: OTHER.into() }
    }
}

impl Tools {
    /// Returns the label of a tool, or the empty one for a request without a tool. A tool that has
    /// answered without an error becomes known.
    pub(super) fn label(&self, tool: Option<&str>, is_answered: bool) -> Arc<str> {
        let Some(tool) = tool else { return Arc::clone(&self.none) };
        if let Some(known) = self.known.read().get(tool) {
            return Arc::clone(known);
        }
        if !is_answered {
            return Arc::clone(&self.other);
        }
        let mut known = self.known.write();
        if known.len() >= TOOLS_MAX {
            return Arc::clone(&self.other);
        }
        let name: Arc<str> = tool.into();
        known.insert(Arc::clone(&name));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_known_once_it_has_answered() {
        let tools = Tools::default();
        assert_eq!(&*tools.label(None, true), "");
        assert_eq!(&*tools.label(Some("add"), false), OTHER);
        assert_eq!(&*tools.label(Some("add"), true), "add");
        assert_eq!(&*tools.label(Some("add"), false), "add");
        for number in 1..TOOLS_MAX {
            tools.label(Some(&number.to_string()), true);
        }
        assert_eq!(&*tools.label(Some("sub"), true), OTHER);
        assert_eq!(&*tools.label(Some("1"), true), "1");
    }
}
