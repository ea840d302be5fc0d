//! Failures of connections: which of them are transient, and which permanent.

use std::{error::Error, io};

use hyper_util::client::legacy;
use rejoin::rejoin_core::client::ExchangeFailure;
use rustls::{AlertDescription, CertificateError, Error as TlsError, InvalidMessage};

/// Returns what has become of an HTTP request that got no response.
pub(super) fn failure(error: &legacy::Error) -> ExchangeFailure {
    if !error.is_connect() {
        return ExchangeFailure::ConnectionLost;
    }
    match tls_error(error).and_then(permanent_reason) {
        Some(reason) => ExchangeFailure::Permanent { reason: reason.into() },
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

/// Returns the reason why no TLS connection can be made, if it is permanent.
fn permanent_reason(error: &TlsError) -> Option<String> {
    Some(match error {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the certificate of the server is issued by an authority that is not trusted (add it \
             with --ca)"
                .to_owned()
        }
        TlsError::InvalidCertificate(error) => {
            format!("the certificate of the server is not accepted: {error}")
        }
        TlsError::NoCertificatesPresented => "the server has no certificate".to_owned(),
        TlsError::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => "the server does not speak TLS".to_owned(),
        TlsError::PeerIncompatible(_) => {
            format!("no TLS connection with the server is possible: {error}")
        }
        TlsError::AlertReceived(alert) => {
            let alert = permanent_alert(*alert)?;
            format!("the server refuses the TLS connection with the alert {alert}")
        }
        TlsError::InvalidMessage(_)
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

/// Returns the name of an alert that is about what client and server are, as the client's version
/// of TLS. Servers send the others, too, while they start or shut down, or if a message was
/// damaged.
///
/// Specification: RFC 8446, section 6.
fn permanent_alert(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::BadCertificate => "bad_certificate",
        AlertDescription::UnsupportedCertificate => "unsupported_certificate",
        AlertDescription::CertificateRevoked => "certificate_revoked",
        AlertDescription::CertificateExpired => "certificate_expired",
        AlertDescription::CertificateUnknown => "certificate_unknown",
        AlertDescription::UnknownCA => "unknown_ca",
        AlertDescription::AccessDenied => "access_denied",
        AlertDescription::ProtocolVersion => "protocol_version",
        AlertDescription::InsufficientSecurity => "insufficient_security",
        AlertDescription::MissingExtension => "missing_extension",
        AlertDescription::UnsupportedExtension => "unsupported_extension",
        AlertDescription::CertificateRequired => "certificate_required",
        AlertDescription::NoApplicationProtocol => "no_application_protocol",
        AlertDescription::CloseNotify
        | AlertDescription::UserCanceled
        | AlertDescription::InternalError
        | AlertDescription::HandshakeFailure
        | AlertDescription::UnrecognisedName
        | AlertDescription::UnexpectedMessage
        | AlertDescription::BadRecordMac
        | AlertDescription::DecryptionFailed
        | AlertDescription::RecordOverflow
        | AlertDescription::DecompressionFailure
        | AlertDescription::NoCertificate
        | AlertDescription::IllegalParameter
        | AlertDescription::DecodeError
        | AlertDescription::DecryptError
        | AlertDescription::ExportRestriction
        | AlertDescription::InappropriateFallback
        | AlertDescription::NoRenegotiation
        | AlertDescription::CertificateUnobtainable
        | AlertDescription::BadCertificateStatusResponse
        | AlertDescription::BadCertificateHashValue
        | AlertDescription::UnknownPSKIdentity
        | AlertDescription::EncryptedClientHelloRequired
        | AlertDescription::Unknown(_)
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
    fn only_permanent_failures_have_a_reason() {
        for (error, named) in [
            (TlsError::InvalidCertificate(CertificateError::Expired), "certificate"),
            (TlsError::InvalidCertificate(CertificateError::UnknownIssuer), "--ca"),
            (TlsError::AlertReceived(AlertDescription::ProtocolVersion), "protocol_version"),
            (
                TlsError::AlertReceived(AlertDescription::CertificateRequired),
                "certificate_required",
            ),
            (TlsError::InvalidMessage(InvalidMessage::InvalidContentType), "TLS"),
        ] {
            assert!(permanent_reason(&error).unwrap().contains(named), "{error}");
        }
        for error in [
            TlsError::AlertReceived(AlertDescription::CloseNotify),
            TlsError::AlertReceived(AlertDescription::UserCanceled),
            TlsError::AlertReceived(AlertDescription::InternalError),
            TlsError::AlertReceived(AlertDescription::HandshakeFailure),
            TlsError::AlertReceived(AlertDescription::Unknown(200)),
            TlsError::InvalidMessage(InvalidMessage::MessageTooShort),
            TlsError::General("x".to_owned()),
        ] {
            assert_eq!(permanent_reason(&error), None);
        }
    }
}
