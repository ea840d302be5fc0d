//! The credential of a request, from its headers.

use http::{HeaderMap, HeaderName, Uri, header};

use super::reason::Reason;

/// The header of a key, besides `Authorization`.
pub(super) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Maximum length of a credential, in bytes.
const BYTES_MAX: usize = 16 << 10;

/// The credential of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(super) enum Credential<'a> {
    /// A key or a token.
    Bearer(&'a str),
    Key(&'a str),
}

impl<'a> Credential<'a> {
    /// Finds the only credential of a request. `X-API-Key` is one only if there are keys.
    pub(super) fn find(uri: &Uri, headers: &'a HeaderMap, has_keys: bool) -> Result<Self, Reason> {
        if uri.query().is_some_and(has_token) {
            return Err(Reason::Query);
        }
        let authorization = unique(headers, &header::AUTHORIZATION)?;
        let key = if has_keys { unique(headers, &X_API_KEY)? } else { None };
        let credential = match (authorization, key) {
            (Some(_), Some(_)) => return Err(Reason::Duplicate),
            (None, None) => return Err(Reason::Missing),
            (None, Some(key)) => Self::Key(key?),
            (Some(authorization), None) => Self::Bearer(bearer(authorization?)?),
        };
        let (Self::Bearer(text) | Self::Key(text)) = credential;
        let is_visible = |byte: u8| byte.is_ascii_graphic();
        match text.len() {
            BYTES_MAX.. => Err(Reason::TooLong),
            0 => Err(Reason::Malformed),
            _ if !text.bytes().all(is_visible) => Err(Reason::Malformed),
            _ => Ok(credential),
        }
    }
}

/// Returns whether a query has a credential, as in RFC 6750, 2.3.
fn has_token(query: &str) -> bool {
    let names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    let mut names = names.map(str::to_ascii_lowercase);
    names.any(|name| ["access_token", "api_key", "x-api-key"].contains(&&*name))
}

/// Returns the value of a header that must be unique. It may be invalid.
fn unique<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<Result<&'a str, Reason>>, Reason> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Reason::Duplicate),
        (value, None) => Ok(value.map(|value| value.to_str().map_err(|_| Reason::Malformed))),
    }
}

/// Returns what follows the scheme `Bearer`. Specification: RFC 9110, 11.4; RFC 6750, 2.1.
fn bearer(authorization: &str) -> Result<&str, Reason> {
    let (scheme, rest) = authorization.split_once(' ').unwrap_or((authorization, ""));
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(rest.trim_matches(' '))
    } else {
        Err(Reason::Scheme)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(uri: &str, headers: &[(&str, &[u8])]) -> Result<String, Reason> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                http::HeaderValue::from_bytes(value).unwrap(),
            );
        }
        let credential = Credential::find(&uri.parse().unwrap(), &map, true);
        credential.map(|credential| format!("{credential:?}"))
    }

    #[test]
    fn the_only_credential_is_found() {
        let key = Ok("Key(\"a\")".to_owned());
        let bearer = Ok("Bearer(\"a.b-_~+/=\")".to_owned());
        assert_eq!(find("/mcp", &[("x-api-key", b"a")]), key);
        for scheme in ["Bearer", "bearer", "BEARER", "Bearer  "] {
            let value = format!("{scheme} a.b-_~+/=");
            assert_eq!(find("/mcp?a=b", &[("authorization", value.as_bytes())]), bearer);
        }
        let without_keys = HeaderMap::from_iter([(X_API_KEY, http::HeaderValue::from_static("a"))]);
        let found = Credential::find(&"/mcp".parse().unwrap(), &without_keys, false);
        assert_eq!(found, Err(Reason::Missing));
    }

    #[test]
    fn other_credentials_are_refused() {
        let long = [b'a'; BYTES_MAX];
        for (reason, headers) in [
            (Reason::Missing, &[] as &[(&str, &[u8])]),
            (Reason::Scheme, &[("authorization", b"Basic YTpi")]),
            (Reason::Scheme, &[("authorization", b"")]),
            (Reason::Scheme, &[("authorization", b"Bearera")]),
            (Reason::Malformed, &[("authorization", b"Bearer")]),
            (Reason::Malformed, &[("authorization", b"Bearer ")]),
            (Reason::Malformed, &[("authorization", b"Bearer a b")]),
            (Reason::Malformed, &[("authorization", b"Bearer \xff")]),
            (Reason::Malformed, &[("x-api-key", b"")]),
            (Reason::Malformed, &[("x-api-key", b"a\tb")]),
            (Reason::TooLong, &[("x-api-key", &long)]),
            (Reason::Duplicate, &[("authorization", b"Bearer a"), ("authorization", b"Bearer a")]),
            (Reason::Duplicate, &[("x-api-key", b"a"), ("x-api-key", b"a")]),
            (Reason::Duplicate, &[("authorization", b"Bearer a"), ("x-api-key", b"a")]),
        ] {
            assert_eq!(find("/mcp", headers), Err(reason));
        }
        for query in ["access_token=a", "a=b&Access_Token=a", "api_key=a"] {
            let uri = format!("/mcp?{query}");
            assert_eq!(find(&uri, &[("authorization", b"Bearer a")]), Err(Reason::Query));
        }
    }
}
