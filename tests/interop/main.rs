//! Interoperability with third-party clients, servers, proxies and the conformance suite.
//!
//! npm and pip install them into the build directory, at the versions pinned in `tests/interop`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

mod clients;
mod conformance;
mod install;
mod live_page;
mod process;
mod process_cleanup;
mod program;
mod proxies;
mod scripts;
mod servers;
mod slow_link;

/// Defines the tests of each backend: the test server, behind the library or the program.
macro_rules! backends {
    ($($backend:ident: $serve:expr;)*) => {$(
        mod $backend {
            use crate::{clients, conformance, install::Python, program};

            #[tokio::test]
            #[ignore = "installs packages"]
            async fn serves_the_typescript_sdk_1() {
                clients::typescript("sdk-1.mjs", $serve()).await;
            }

            #[tokio::test]
            #[ignore = "installs packages"]
            async fn serves_the_typescript_sdk_2() {
                clients::typescript("sdk-2.mjs", $serve()).await;
            }

            #[tokio::test]
            #[ignore = "installs packages"]
            async fn serves_the_python_sdk_1() {
                clients::python(Python::Sdk1, "sdk_1.py", $serve()).await;
            }

            #[tokio::test]
            #[ignore = "installs packages"]
            async fn serves_the_python_sdk_2() {
                clients::python(Python::Sdk2, "sdk_2.py", $serve()).await;
            }

            #[tokio::test]
            #[ignore = "installs packages"]
            async fn passes_the_conformance_suite_0_1() {
                conformance::conforms("0.1.16", 32, stringify!($backend), $serve()).await;
            }

            #[tokio::test]
            #[ignore = "installs packages"]
            async fn passes_the_conformance_suite_0_2() {
                conformance::conforms("0.2.0-alpha.12", 33, stringify!($backend), $serve()).await;
            }
        }
    )*};
}

backends! {
    in_process: program::serve_in_process;
    stdio: program::serve_test_server;
}

/// Progress notifications after their request was cancelled or answered.
mod late_progress {
    use crate::{clients, install::Python};

    #[tokio::test]
    #[ignore = "installs packages"]
    async fn does_not_break_the_typescript_sdk_1() {
        clients::typescript_late_progress("late-progress-1.mjs").await;
    }

    #[tokio::test]
    #[ignore = "installs packages"]
    async fn does_not_break_the_typescript_sdk_2() {
        clients::typescript_late_progress("late-progress-2.mjs").await;
    }

    #[tokio::test]
    #[ignore = "installs packages"]
    async fn does_not_break_the_python_sdk_1() {
        clients::python_late_progress(Python::Sdk1, "late_progress_1.py").await;
    }

    #[tokio::test]
    #[ignore = "installs packages"]
    async fn does_not_break_the_python_sdk_2() {
        clients::python_late_progress(Python::Sdk2, "late_progress_2.py").await;
    }
}
