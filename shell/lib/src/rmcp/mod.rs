//! Integration with the crate `rmcp`: a backend for its services, and a session manager for its
//! HTTP service.
//!
//! - [`LocalSessionManager`] replaces the session manager of the same name in `rmcp`: services keep
//!   their `StreamableHttpService`, and change one `use` line.
//! - [`RmcpBackend`] serves an `rmcp` service by
//!   [`StreamableHttp`](crate::StreamableHttp), without the HTTP service of `rmcp`. This has more:
//!   limits of memory, HTTP statuses for each error, and a cancellation of what a closed session
//!   was doing.

mod backend;
mod head;
mod id;
mod related;
mod request_context;
mod session_manager;

pub use self::{
    backend::RmcpBackend,
    request_context::RequestContextExt,
    session_manager::{
        LocalSessionManager, LocalSessionManagerError, SessionTransport, SessionTransportError,
    },
};
