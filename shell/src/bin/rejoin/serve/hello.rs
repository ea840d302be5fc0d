//! What the program says when it is ready.

use std::{
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    thread,
};

use crate::config::Config;

/// Says where the server is, and what to try, without waiting for whoever reads it.
pub(super) fn say(address: SocketAddr, config: &Config) {
    let text = text(address, config);
    let say = move || {
        let mut out = io::stdout().lock();
        // Nobody has to read it.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    };
    // Without a thread nothing is said, and all the same is served.
    let _ = thread::Builder::new().name("rejoin-hello".to_owned()).spawn(say);
}

fn text(address: SocketAddr, config: &Config) -> String {
    let url = format!("http://{}{}", reachable(address), config.path);
    let everywhere = if address.ip().is_unspecified() { " (all addresses)" } else { "" };
    let server = match config.command.first() {
        Some(command) => format!("a process of `{command}` for each session"),
        None => "its demo server".to_owned(),
    };
    let others = if address.ip().is_loopback() { "" } else { OTHERS };
    format!(
        r#"rejoin listens on {url}{everywhere} and serves {server}.

Try it:

  curl -i {url} \
    -H 'content-type: application/json' \
    -H 'accept: application/json, text/event-stream' \
    -d '{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"2025-11-25","capabilities":{{}},"clientInfo":{{"name":"curl","version":"0"}}}}}}'

Or tell your MCP client:

  {{"mcpServers":{{"rejoin":{{"type":"http","url":"{url}"}}}}}}
{others}
"#
    )
}

/// What clients on other machines need.
const OTHERS: &str = "
Clients on other machines may call it only by a host name that you allow: add
`--allow-host NAME` for the name in their URL.
";

/// Returns an address that a client on this machine can connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}
