//! The tools that the official MCP conformance suite calls.
//!
//! Their names and results are those of the suite: `@modelcontextprotocol/conformance` 0.1.16 and
//! 0.2.0-alpha.12, the server scenarios of revisions up to 2025-11-25.

mod client_requests;
mod content;
mod notifications;
mod schema;

use super::tool::Tool;

pub(super) const TOOLS: &[Tool] = &[
    content::SIMPLE,
    content::IMAGE,
    content::AUDIO,
    content::RESOURCE,
    content::MIXED,
    content::ERROR,
    notifications::LOGGING,
    notifications::PROGRESS,
    notifications::RECONNECTION,
    client_requests::SAMPLING,
    client_requests::ELICITATION,
    client_requests::DEFAULTS,
    client_requests::ENUMS,
    schema::TOOL,
];
