//! Options with a fixed set of values, each a keyword.

use std::{fmt, str::FromStr};

use clap::ValueEnum;
use rejoin::rejoin_core::{ConcurrentGet, Priming, UnrelatedRouting};

use super::text::serde_as_text;

/// Defines an enum that is read and written as keywords, and converts to and from `$target`,
/// which has the same variants.
macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident: $target:ident {
        $($(#[$variant_doc:meta])* $variant:ident),*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
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

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                <Self as ValueEnum>::from_str(text, false).map_err(|_| {
                    let keywords = Self::value_variants().iter().map(ToString::to_string);
                    format!("expected one of {}", keywords.collect::<Vec<_>>().join(", "))
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
            }
        }

        serde_as_text!($name);
    )*};
}

choices! {
    /// What to do with a second GET of a session.
    ConcurrentGetArg: ConcurrentGet {
        /// It gets no events until the first one is closed.
        Shadow,
        /// It replaces the first one.
        TakeOver,
        /// It is rejected with 409.
        Reject
    }
    /// When a stream starts with a priming event.
    PrimingArg: Priming {
        /// If the negotiated revision has priming events.
        ByRevision,
        /// In every session.
        Always,
        /// In no session.
        Never
    }
    /// Stream for server messages that belong to no request.
    UnrelatedRoutingArg: UnrelatedRouting {
        /// The standalone stream.
        Standalone,
        /// The stream of the pending request if there is exactly one, else the standalone stream.
        SoleRequest
    }
    /// Format of the log on the command line.
    LogFormatArg: LogFormat {
        /// Text for people.
        Human,
        /// One JSON object per line.
        Json
    }
}

/// Format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Text for people.
    Human,
    /// One JSON object per line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_round_trip() {
        for keyword in ["by-revision", "always", "never"] {
            assert_eq!(keyword.parse::<PrimingArg>().unwrap().to_string(), keyword);
        }
    }

    #[test]
    fn errors_list_the_keywords() {
        let error = "x".parse::<ConcurrentGetArg>().unwrap_err();
        assert_eq!(error, "expected one of shadow, take-over, reject");
    }
}
