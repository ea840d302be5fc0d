//! Which address a request comes from.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, request::Parts};

use super::{PeerAddress, config::HttpConfig};

/// Returns which address a request comes from, where that is known.
pub(super) fn client_address(head: &Parts, settings: &HttpConfig) -> Option<IpAddr> {
    let header = settings.client_ip_header.as_ref();
    let forwarded = header.and_then(|name| forwarded(&head.headers, name));
    forwarded.or_else(|| head.extensions.get().map(|PeerAddress(address)| address.ip()))
}

/// Reads the last address of a header: the one that the nearest proxy has added.
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
    fn the_last_entry_of_a_trusted_header_is_the_address() {
        let name = HeaderName::from_static("x-forwarded-for");
        let trusting = HttpConfig { client_ip_header: Some(name.clone()), ..HttpConfig::default() };
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
            assert_eq!(client_address(&head, &trusting), expected.parse().ok(), "{value}");
            assert_eq!(
                client_address(&head, &HttpConfig::default()),
                Some(connected.ip()),
                "{value}"
            );
        }
    }
}
