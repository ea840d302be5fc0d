//! The principal of a client certificate, and its validity.

use std::{fmt::Write as _, time::Duration};

use anyhow::Context as _;
use rejoin::Principal;
use tokio::time::Instant;
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::{
    asn1_rs::ToDer as _,
    objects::{oid_registry, oid2abbrev},
    prelude::{FromDer as _, GeneralName, X509Certificate},
    x509::{AttributeTypeAndValue, X509Name},
};

/// The issuer of principals that have a client certificate.
const ISSUER: &str = "tls";

/// Maximum time until a certificate expires. No connection lasts longer.
const VALIDITY_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A certificate that was verified.
#[derive(Clone, Debug)]
pub(super) struct ClientCertificate {
    /// Its subject, or if that is empty, its first URI or DNS name.
    pub(super) principal: Principal,
    pub(super) expires_at: Instant,
}

impl ClientCertificate {
    /// Reads a certificate.
    ///
    /// # Errors
    ///
    /// The certificate names nobody.
    pub(super) fn new(certificate: &CertificateDer<'_>) -> anyhow::Result<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate)?;
        let subject = match distinguished_name(certificate.subject()) {
            subject if subject.is_empty() => alternative_name(&certificate),
            subject => Some(subject),
        };
        let subject = subject.context("the client certificate has no subject")?;
        // `None` if it has expired since it was verified.
        let valid_for = certificate.validity().time_to_expiration().unwrap_or_default();
        Ok(Self {
            principal: Principal::new(ISSUER, &subject),
            expires_at: Instant::now() + valid_for.unsigned_abs().min(VALIDITY_MAX),
        })
    }
}

/// Formats a name so that two names have the same text only if they are equal: RFC 4514.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut names: Vec<_> = name
        .iter_rdn()
        .map(|rdn| rdn.iter().map(attribute).collect::<Vec<_>>().join("+"))
        .collect();
    names.reverse();
    names.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    let name = oid2abbrev(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), str::to_owned);
    // One that is not text has its type with it: different values have different text.
    let encoded = || attribute.attr_value().to_der_vec().unwrap_or_default();
    let value = attribute.as_str().map_or_else(|_| hex(&encoded()), escape);
    format!("{name}={value}")
}

fn escape(value: &str) -> String {
    let mut escaped = String::new();
    for (index, character) in value.char_indices() {
        let is_end = index + character.len_utf8() == value.len();
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '=' | '\\' => escaped.push('\\'),
            '#' if index == 0 => escaped.push('\\'),
            ' ' if index == 0 || is_end => escaped.push('\\'),
            _ => {}
        }
        escaped.push(character);
    }
    escaped
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("#".to_owned(), |mut hex, byte| {
        // A string accepts everything.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn alternative_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let names = &certificate.subject_alternative_name().ok()??.value.general_names;
    let uri = names.iter().find_map(|name| {
        let GeneralName::URI(uri) = name else { return None };
        Some(format!("URI:{uri}"))
    });
    let dns = names.iter().find_map(|name| {
        let GeneralName::DNSName(host) = name else { return None };
        Some(format!("DNS:{host}"))
    });
    uri.or(dns)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn subject(attributes: &[(DnType, &str)], names: Vec<SanType>) -> Option<String> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in attributes {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.subject_alt_names = names;
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let principal = ClientCertificate::new(certificate.der()).ok()?.principal;
        assert_eq!(principal.issuer(), "tls");
        Some(principal.subject().to_owned())
    }

    #[test]
    fn the_subject_is_unambiguous() {
        let both = [(DnType::OrganizationName, "example"), (DnType::CommonName, "alice")];
        assert_eq!(subject(&both, vec![]).unwrap(), "CN=alice,O=example");
        let one = [(DnType::CommonName, "alice,O=example")];
        assert_eq!(subject(&one, vec![]).unwrap(), "CN=alice\\,O\\=example");
        let special = [(DnType::CommonName, "# a+\"b\" <c>; \\ ")];
        let escaped = "CN=\\# a\\+\\\"b\\\" \\<c\\>\\; \\\\\\ ";
        assert_eq!(subject(&special, vec![]).unwrap(), escaped);
    }

    #[test]
    fn a_certificate_without_a_subject_has_its_alternative_name() {
        let uri = || SanType::URI("spiffe://example/alice".try_into().unwrap());
        let dns = || SanType::DnsName("alice.example".try_into().unwrap());
        let name = |names| subject(&[], names);
        assert_eq!(name(vec![dns(), uri()]).unwrap(), "URI:spiffe://example/alice");
        assert_eq!(name(vec![dns()]).unwrap(), "DNS:alice.example");
        assert_eq!(name(vec![]), None);
        let named = subject(&[(DnType::CommonName, "alice")], vec![uri()]);
        assert_eq!(named.unwrap(), "CN=alice");
    }
}
