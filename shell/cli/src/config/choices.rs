//! Options with a fixed set of values, each a keyword.

use clap::ValueEnum;
use rejoin::{
    rejoin_core::{ConcurrentGet, Priming, UnrelatedRouting},
    store::Takeover,
};
use serde::{Deserialize, Serialize};

/// Defines an enum that is read and written as keywords, and converts to and from `$target`,
/// which has the same variants.
macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident: $target:ident {
        $($(#[$variant_doc:meta])* $variant:ident),*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
        #[serde(rename_all = "kebab-case")]
        pub(crate) enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl From<$target> for $name {
            fn from(value: $target) -> Self {
                match value {
                    $($target::$variant => Self::$variant,)*
                }
            }
        }

        impl From<$name> for $target {
            fn from(value: $name) -> Self {
                match value {
                    $($name::$variant => Self::$variant,)*
                }
            }
        }
    )*};
}

choices! {
    /// What to do with a second GET of a session.
    ConcurrentGetArg: ConcurrentGet {
        /// Keep it on standby, without events, until the first one is closed
        Shadow,
        /// Let it replace the first one
        TakeOver,
        /// Respond with 409
        Reject
    }
    /// When a stream starts with a priming event.
    PrimingArg: Priming {
        /// If the negotiated revision has priming events
        ByRevision,
        /// In every session
        Always,
        /// In no session
        Never
    }
    /// What becomes of a session that was another process's.
    TakeoverArg: Takeover {
        /// Its client gets what was sent before, then the session ends
        End,
        /// It gets a new server, which knows nothing of what was before
        Reopen
    }
    /// Stream for server messages that belong to no request.
    UnrelatedRoutingArg: UnrelatedRouting {
        /// On the stream of the GET
        Standalone,
        /// On the stream of the pending request if there is exactly one
        SoleRequest
    }
}

/// Format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// Text for people
    Human,
    /// One JSON object per line
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_same_keywords<T: ValueEnum + Serialize>() {
        for value in T::value_variants() {
            let keyword = value.to_possible_value().unwrap();
            assert_eq!(serde_json::to_value(value).unwrap(), keyword.get_name());
        }
    }

    #[test]
    fn keywords_of_flags_and_of_the_file_are_the_same() {
        assert_same_keywords::<ConcurrentGetArg>();
        assert_same_keywords::<PrimingArg>();
        assert_same_keywords::<UnrelatedRoutingArg>();
        assert_same_keywords::<LogFormat>();
    }
}
