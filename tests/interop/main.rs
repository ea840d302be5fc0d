//! The program with clients, servers and tests that others made.
//!
//! They are installed into the build folder, by npm and pip, at the versions that the
//! folder `tests/interop` pins.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

mod clients;
mod conformance;
mod ends;
mod install;
mod line;
mod process;
mod program;
mod proxies;
mod scripts;
mod servers;

/// Makes the tests of each backend: whatever stands behind the program must be the demo
/// server.
macro_rules! backends {
    ($($(#[$attribute:meta])* $backend:ident: $command:expr;)*) => {$(
        mod $backend {
            use crate::{clients, conformance, install::Python, program};

            $(#[$attribute])*
            #[tokio::test]
            #[ignore = "installs packages"]
            async fn serves_the_typescript_sdk_1() {
                clients::typescript("sdk-1.mjs", $command).await;
            }

            $(#[$attribute])*
            #[tokio::test]
            #[ignore = "installs packages"]
            async fn serves_the_typescript_sdk_2() {
                clients::typescript("sdk-2.mjs", $command).await;
            }

            $(#[$attribute])*
            #[tokio::test]
            #[ignore = "installs packages"]
            async fn serves_the_python_sdk_1() {
                clients::python(Python::Sdk1, "sdk_1.py", $command).await;
            }

            $(#[$attribute])*
            #[tokio::test]
            #[ignore = "installs packages"]
            async fn serves_the_python_sdk_2() {
                clients::python(Python::Sdk2, "sdk_2.py", $command).await;
            }

            $(#[$attribute])*
            #[tokio::test]
            #[ignore = "installs packages"]
            async fn conforms_by_the_suite_0_1() {
                conformance::conforms("0.1.16", 32, stringify!($backend), $command).await;
            }

            $(#[$attribute])*
            #[tokio::test]
            #[ignore = "installs packages"]
            async fn conforms_by_the_suite_0_2() {
                conformance::conforms("0.2.0-alpha.12", 33, stringify!($backend), $command).await;
            }
        }
    )*};
}

backends! {
    in_process: &program::IN_PROCESS;
    stdio: &program::demo();
}

/// Progress that comes after its call was cancelled or answered.
mod late {
    use crate::{clients, install::Python};

    #[tokio::test]
    #[ignore = "installs packages"]
    async fn is_no_error_to_the_typescript_sdk_1() {
        clients::typescript_late("late-1.mjs").await;
    }

    #[tokio::test]
    #[ignore = "installs packages"]
    async fn is_no_error_to_the_typescript_sdk_2() {
        clients::typescript_late("late-2.mjs").await;
    }

    #[tokio::test]
    #[ignore = "installs packages"]
    async fn is_no_error_to_the_python_sdk_1() {
        clients::python_late(Python::Sdk1, "late_1.py").await;
    }

    #[tokio::test]
    #[ignore = "installs packages"]
    async fn is_no_error_to_the_python_sdk_2() {
        clients::python_late(Python::Sdk2, "late_2.py").await;
    }
}
