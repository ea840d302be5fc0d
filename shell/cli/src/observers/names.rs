//! Names that clients choose, as labels.

use std::sync::Arc;

use parking_lot::RwLock;
use rustc_hash::FxHashSet;

use super::labels::OTHER;

/// The names of the tools, or of the prompts, of one server: those that have answered, at most
/// [`NAMES_MAX`].
#[derive(Debug)]
pub(crate) struct KnownNames {
    known: RwLock<FxHashSet<Arc<str>>>,
    none: Arc<str>,
    other: Arc<str>,
}

/// Maximum number of names. Clients choose them, so that they would be unlimited.
const NAMES_MAX: usize = 200;

impl Default for KnownNames {
    fn default() -> Self {
        Self { known: RwLock::default(), none: "".into(), other: OTHER.into() }
    }
}

impl KnownNames {
    /// Returns the label of a name, or the empty one for a request without a name. What has
    /// answered without an error becomes known.
    pub(crate) fn label(&self, name: Option<&str>, is_answered: bool) -> Arc<str> {
        let Some(name) = name else { return Arc::clone(&self.none) };
        {
            let known = self.known.read();
            if let Some(known) = known.get(name) {
                return Arc::clone(known);
            }
            if !is_answered || known.len() >= NAMES_MAX {
                return Arc::clone(&self.other);
            }
        }
        let mut known = self.known.write();
        if known.len() >= NAMES_MAX {
            return Arc::clone(&self.other);
        }
        let name: Arc<str> = name.into();
        known.insert(Arc::clone(&name));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_once_it_has_answered() {
        let tools = KnownNames::default();
        assert_eq!(&*tools.label(None, true), "");
        assert_eq!(&*tools.label(Some("add"), false), OTHER);
        assert_eq!(&*tools.label(Some("add"), true), "add");
        assert_eq!(&*tools.label(Some("add"), false), "add");
        for number in 1..NAMES_MAX {
            tools.label(Some(&number.to_string()), true);
        }
        assert_eq!(&*tools.label(Some("sub"), true), OTHER);
        assert_eq!(&*tools.label(Some("1"), true), "1");
    }
}
