//! Output of the program when it is ready: its URL on stdout, and hints for people on stderr.

use std::{
    io::{self, IsTerminal as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    thread,
};

use crate::config::ProgramConfig;

/// Prints the URL of each server as a line of stdout, for programs that wait for it, and hints if
/// stderr is a terminal. Both may block, so this has a thread of its own.
pub(super) fn print(address: SocketAddr, config: &ProgramConfig, paths: &[String]) {
    let urls: Vec<_> = paths.iter().map(|path| url(address, config, path)).collect();
    for url in &urls {
        tracing::info!(url, "listening");
    }
    let hints = io::stderr().is_terminal().then(|| hints(address, config, paths));
    let write = move || {
        // In one write, so that a program that reads the first line gets all. An error means that
        // nothing reads it.
        let _ = writeln!(io::stdout(), "{}", urls.join("\n"));
        let _ = io::stderr().write_all(hints.unwrap_or_default().as_bytes());
    };
    // Serve even if no thread can be started.
    let _ = thread::Builder::new().name("rejoin-greeting".to_owned()).spawn(write);
}

/// Returns a URL that a client on this machine can use.
fn url(address: SocketAddr, config: &ProgramConfig, path: &str) -> String {
    format!("{}://{}{path}", scheme(config), reachable(address))
}

fn scheme(config: &ProgramConfig) -> &'static str {
    if config.tls_cert.is_some() { "https" } else { "http" }
}

fn hints(address: SocketAddr, config: &ProgramConfig, paths: &[String]) -> String {
    let path = paths.first().map_or("", String::as_str);
    let url = url(address, config, path);
    let all_addresses = if address.ip().is_unspecified() { " on all addresses" } else { "" };
    let server = match (config.command.first(), &config.servers) {
        (Some(command), _) => format!("one process of `{command}` per session"),
        (None, Some(file)) => format!("the {} servers of {file}", paths.len()),
        (None, None) => "the demo server".to_owned(),
    };
    let remote = if address.ip().is_loopback() {
        String::new()
    } else {
        remote_access(address, config, path)
    };
    let authorization = if config.auth.has_credentials() {
        "\n    -H 'authorization: Bearer KEY-OR-TOKEN' \\"
    } else {
        ""
    };
    format!(
        r#"
rejoin serves {server}{all_addresses}.

Try it:

  curl -i {url} \
    -H 'content-type: application/json' \
    -H 'accept: application/json, text/event-stream' \{authorization}
    -d '{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"2025-11-25","capabilities":{{}},"clientInfo":{{"name":"curl","version":"0"}}}}}}'

Or configure your MCP client:

  {{"mcpServers":{{"rejoin":{{"type":"http","url":"{url}"}}}}}}
{remote}
"#
    )
}

/// Returns how clients on other machines connect.
fn remote_access(address: SocketAddr, config: &ProgramConfig, path: &str) -> String {
    let name = config.http.hosts.iter().find(|host| !host.contains('*'));
    let how = match name {
        Some(name) => {
            let has_port =
                name.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let port = if has_port { String::new() } else { format!(":{}", address.port()) };
            format!(
                "use {}://{name}{port}{path}, or an IP address of this machine.",
                scheme(config)
            )
        }
        None => {
            "use an IP address of this machine.\nTo allow a host name, add `--allow-host NAME`."
                .to_owned()
        }
    };
    let needs_credential = config.auth.has_credentials() || config.tls_client_ca.is_some();
    let access = match (needs_credential, &config.tls_cert) {
        (true, Some(_)) => "Requests need a credential.",
        (true, None) => "Requests need a credential; without TLS, others can read it.",
        (false, _) => {
            "There is no authentication: anyone who can reach this port can use the server."
        }
    };
    format!("\nClients on other machines {how}\n{access}\n")
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
        hints(address.parse().unwrap(), &config, &[config.path.clone()])
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
