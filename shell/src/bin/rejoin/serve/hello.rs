//! What the program says when it is ready.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
};

use crate::config::Config;

/// Says where the server is, and what to try.
pub(super) fn say(address: SocketAddr, config: &Config) -> io::Result<()> {
    let url = format!("http://{address}{}", config.path);
    let server = match config.command.first() {
        Some(command) => format!("a process of `{command}` for each session"),
        None => "its demo server".to_owned(),
    };
    let mut out = io::stdout().lock();
    writeln!(
        out,
        r#"rejoin listens on {url} and serves {server}.

Try it:

  curl -i {url} \
    -H 'content-type: application/json' \
    -H 'accept: application/json, text/event-stream' \
    -d '{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"2025-11-25","capabilities":{{}},"clientInfo":{{"name":"curl","version":"0"}}}}}}'

Or tell your MCP client:

  {{"mcpServers":{{"rejoin":{{"type":"http","url":"{url}"}}}}}}
"#
    )?;
    out.flush()
}
