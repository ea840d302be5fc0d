//! The message on stdout when the program is ready.

use std::{
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    thread,
};

use crate::config::ProgramConfig;

/// Prints the URL and how to use it, on a thread of its own, because stdout may block.
pub(super) fn print(address: SocketAddr, config: &ProgramConfig) {
    let text = text(address, config);
    let write = move || {
        let mut out = io::stdout().lock();
        // An error means that nothing reads it.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    };
    // Serve even if no thread can be started.
    let _ = thread::Builder::new().name("rejoin-greeting".to_owned()).spawn(write);
}

fn text(address: SocketAddr, config: &ProgramConfig) -> String {
    let url = format!("http://{}{}", reachable(address), config.path);
    let all_addresses = if address.ip().is_unspecified() { " (all addresses)" } else { "" };
    let server = match config.command.first() {
        Some(command) => format!("one process of `{command}` per session"),
        None => "the demo server".to_owned(),
    };
    let remote =
        if address.ip().is_loopback() { String::new() } else { remote_access(address, config) };
    format!(
        r#"rejoin listens on {url}{all_addresses} and serves {server}.

Try it:

  curl -i {url} \
    -H 'content-type: application/json' \
    -H 'accept: application/json, text/event-stream' \
    -d '{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"2025-11-25","capabilities":{{}},"clientInfo":{{"name":"curl","version":"0"}}}}}}'

Or configure your MCP client:

  {{"mcpServers":{{"rejoin":{{"type":"http","url":"{url}"}}}}}}
{remote}
"#
    )
}

/// Returns how clients on other machines connect.
fn remote_access(address: SocketAddr, config: &ProgramConfig) -> String {
    let name = config.http.hosts.iter().find(|host| !host.contains('*'));
    let how = match name {
        Some(name) => {
            let has_port =
                name.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let port = if has_port { String::new() } else { format!(":{}", address.port()) };
            format!("use http://{name}{port}{}, or an IP address of this machine.", config.path)
        }
        None => {
            "use an IP address of this machine.\nTo allow a host name, add `--allow-host NAME`."
                .to_owned()
        }
    };
    format!(
        "\nClients on other machines {how}\nThere is no authentication: anyone who can reach this port can use the server.\n"
    )
}

/// Returns an address that a client on this machine can connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(address: &str, hosts: &[&str]) -> String {
        let mut config = ProgramConfig::default();
        config.http.hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        text(address.parse().unwrap(), &config)
    }

    #[test]
    fn remote_clients_get_an_allowed_url() {
        let named = greeting("0.0.0.0:8848", &["*.example.org", "mcp.example.com"]);
        assert!(named.contains("curl -i http://127.0.0.1:8848/mcp"), "{named}");
        assert!(named.contains("use http://mcp.example.com:8848/mcp, or"), "{named}");
        assert!(named.contains("no authentication"), "{named}");
        let with_port = greeting("[::]:8848", &["mcp.example.com:443"]);
        assert!(with_port.contains("curl -i http://[::1]:8848/mcp"), "{with_port}");
        assert!(with_port.contains("use http://mcp.example.com:443/mcp, or"), "{with_port}");
    }

    #[test]
    fn without_an_allowed_host_remote_clients_use_an_ip_address() {
        let text = greeting("192.0.2.1:8848", &[]);
        assert!(text.contains("curl -i http://192.0.2.1:8848/mcp"), "{text}");
        assert!(
            text.contains("use an IP address") && text.contains("`--allow-host NAME`"),
            "{text}"
        );
    }

    #[test]
    fn remote_access_is_not_mentioned_on_loopback() {
        let text = greeting("127.0.0.1:8848", &["mcp.example.com"]);
        assert!(!text.contains("other machines"), "{text}");
    }
}
