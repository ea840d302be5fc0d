//! rmcp, with the `LocalSessionManager` of rejoin in place of its own.

pub use real::*;

pub mod transport {
    pub use real::transport::*;

    pub mod streamable_http_server {
        pub use real::transport::streamable_http_server::*;

        pub mod session {
            pub use real::transport::streamable_http_server::session::*;

            pub mod local {
                pub use real::transport::streamable_http_server::session::local::*;
                pub use rejoin::rmcp::LocalSessionManager;
            }
        }
    }
}
