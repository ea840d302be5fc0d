//! Failures of connections, as the client machine distinguishes them.

use std::{error::Error, io};

use hyper_util::client::legacy;
use rejoin::rejoin_core::client::ExchangeFailure;
use rustls::{AlertDescription, CertificateError, Error as TlsError};

/// Returns what has become of an HTTP request that got no response.
pub(super) fn failure(error: &legacy::Error) -> ExchangeFailure {
    if !error.is_connect() {
        return ExchangeFailure::ConnectionLost;
    }
    match tls_error(error).and_then(lasting_reason) {
        Some(reason) => ExchangeFailure::NoConnection { reason: reason.into() },
        None => ExchangeFailure::Unreachable,
    }
}

/// Finds the TLS error in a chain of errors. An `io::Error` does not name what it contains as its
/// source.
fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e TlsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let contained = error.downcast_ref().and_then(io::Error::get_ref);
        next = match contained {
            Some(contained) => Some(contained),
            None => error.source(),
        };
    }
    None
}

/// Returns why no TLS connection can be made, unless that may pass by itself.
fn lasting_reason(error: &TlsError) -> Option<String> {
    Some(match error {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the certificate of the server is issued by an authority that is not trusted (--ca \
             names further ones)"
                .to_owned()
        }
        TlsError::InvalidCertificate(error) => {
            format!("the certificate of the server is not accepted: {error}")
        }
        TlsError::NoCertificatesPresented => "the server has no certificate".to_owned(),
        TlsError::InvalidMessage(_) => {
            "the server does not speak TLS: its URL may have to begin with http://".to_owned()
        }
        TlsError::PeerIncompatible(_) => {
            format!("no TLS connection with the server is possible: {error}")
        }
        TlsError::AlertReceived(alert) if *alert != AlertDescription::InternalError => {
            format!("the server refuses the TLS connection: {alert:?}")
        }
        TlsError::AlertReceived(_)
        | TlsError::InappropriateMessage { .. }
        | TlsError::InappropriateHandshakeMessage { .. }
        | TlsError::InvalidEncryptedClientHello(_)
        | TlsError::UnsupportedNameType
        | TlsError::DecryptError
        | TlsError::EncryptError
        | TlsError::PeerMisbehaved(_)
        | TlsError::InvalidCertRevocationList(_)
        | TlsError::General(_)
        | TlsError::FailedToGetCurrentTime
        | TlsError::FailedToGetRandomBytes
        | TlsError::HandshakeNotComplete
        | TlsError::PeerSentOversizedRecord
        | TlsError::NoApplicationProtocol
        | TlsError::BadMaxFragmentSize
        | TlsError::InconsistentKeys(_)
        | TlsError::Other(_)
        | _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_error_is_found_within_other_errors() {
        let tls = || TlsError::InvalidCertificate(CertificateError::Expired);
        let nested = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls()));
        assert_eq!(tls_error(&nested), Some(&tls()));
        assert_eq!(tls_error(&io::Error::other("x")), None);
        assert_eq!(tls_error(&io::Error::from(io::ErrorKind::ConnectionRefused)), None);
    }

    #[test]
    fn only_what_does_not_pass_by_itself_has_a_reason() {
        for (error, named) in [
            (TlsError::InvalidCertificate(CertificateError::Expired), "certificate"),
            (TlsError::InvalidCertificate(CertificateError::UnknownIssuer), "--ca"),
            (TlsError::AlertReceived(AlertDescription::ProtocolVersion), "ProtocolVersion"),
        ] {
            assert!(lasting_reason(&error).unwrap().contains(named), "{error}");
        }
        for error in [
            TlsError::AlertReceived(AlertDescription::InternalError),
            TlsError::General("x".to_owned()),
        ] {
            assert_eq!(lasting_reason(&error), None);
        }
    }
}
