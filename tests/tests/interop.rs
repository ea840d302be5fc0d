//! The program as it is released, with clients, servers and tests that others made.
//!
//! They are installed into the build folder, by npm and pip, at the versions that the
//! folder `tests/interop` pins.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

#[path = "interop/clients.rs"]
mod clients;
#[path = "interop/conformance.rs"]
mod conformance;
#[path = "interop/install.rs"]
mod install;
#[path = "interop/process.rs"]
mod process;
#[path = "interop/program.rs"]
mod program;
#[path = "interop/servers.rs"]
mod servers;

/// Makes the tests of each backend: whatever stands behind the program must be the demo
/// server.
macro_rules! backends {
    ($($(#[$attribute:meta])* $backend:ident: $command:expr;)*) => {$(
        mod $backend {
            use crate::{clients, conformance, program};

            $(#[$attribute])*
            #[tokio::test]
            async fn serves_the_typescript_sdk_1() {
                clients::typescript("sdk-1.mjs", $command).await;
            }

            $(#[$attribute])*
            #[tokio::test]
            async fn serves_the_typescript_sdk_2() {
                clients::typescript("sdk-2.mjs", $command).await;
            }

            $(#[$attribute])*
            #[tokio::test]
            async fn serves_the_python_sdk_1() {
                clients::python(1, "sdk_1.py", $command).await;
            }

            $(#[$attribute])*
            #[tokio::test]
            async fn serves_the_python_sdk_2() {
                clients::python(2, "sdk_2.py", $command).await;
            }

            $(#[$attribute])*
            #[tokio::test]
            async fn conforms_by_the_suite_0_1() {
                conformance::conforms("0.1.16", 32, stringify!($backend), $command).await;
            }

            $(#[$attribute])*
            #[tokio::test]
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
