//! The client address of a request.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, request::Parts};

use super::{PeerAddress, config::HttpConfig};

/// Returns the client address of a request, if it is known.
pub(super) fn client_address(head: &Parts, config: &HttpConfig) -> Option<IpAddr> {
    let header = config.client_ip_header.as_ref();
    let forwarded = header.and_then(|name| forwarded(&head.headers, name));
    forwarded.or_else(|| head.extensions.get().map(|PeerAddress(address)| address.ip()))
}

/// Parses the last address of a header, which the nearest proxy has added.
fn forwarded(headers: &HeaderMap, name: &HeaderName) -> Option<IpAddr> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    let last = value.rsplit(',').next()?.trim();
    let without_port = || last.parse::<SocketAddr>().ok().map(|address| address.ip());
    last.trim_matches(['[', ']']).parse().ok().or_else(without_port)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn the_last_entry_of_the_header_is_used() {
        let name = HeaderName::from_static("x-forwarded-for");
        let with_header =
            HttpConfig { client_ip_header: Some(name.clone()), ..HttpConfig::default() };
        let connected: SocketAddr = "192.0.2.9:1".parse().unwrap();
        for (value, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("203.0.113.5, 192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("unknown", "192.0.2.9"),
            ("", "192.0.2.9"),
        ] {
            let request = Request::builder().header(&name, value).extension(PeerAddress(connected));
            let (head, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(client_address(&head, &with_header), expected.parse().ok(), "{value}");
            assert_eq!(
                client_address(&head, &HttpConfig::default()),
                Some(connected.ip()),
                "{value}"
            );
        }
    }
}
