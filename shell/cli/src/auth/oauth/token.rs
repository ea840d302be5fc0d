//! Verification of a token: a signed JWT.
//!
//! Specification: RFC 7519, RFC 8725, RFC 9068.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use rejoin::Principal;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::jwk;
use crate::auth::reason::Reason;

/// Values of `typ` that are accepted, in lower case.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// Maximum length of a subject, in bytes. Specification: `OpenID` Connect Core, 2.
const SUBJECT_BYTES_MAX: usize = 255;

/// An expiry that is later than this is never reached.
const LIFETIME_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What a token must be.
#[derive(Debug)]
pub(super) struct Requirements {
    pub(super) issuer: String,
    /// One of these must be an audience of the token.
    pub(super) audiences: Vec<String>,
    /// All of these must be scopes of the token.
    pub(super) scopes: Vec<String>,
    pub(super) leeway: Duration,
}

/// What the header of a token says about its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyHint {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
}

/// The claims that are used. Their types are checked later, to tell which is wrong.
#[derive(Deserialize)]
struct Claims {
    iss: Option<Value>,
    sub: Option<Value>,
    exp: Option<f64>,
    scope: Option<Value>,
    scp: Option<Value>,
}

/// Parses the header of a token. Keys in it, or links to keys, are ignored.
pub(super) fn key_hint(token: &str) -> Result<KeyHint, Reason> {
    let mut parts = token.split('.');
    let (Some(header), Some(_), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Reason::Malformed);
    };
    let header = BASE64_URL_SAFE_NO_PAD.decode(header).map_err(|_| Reason::Malformed)?;
    let header: Map<String, Value> =
        serde_json::from_slice(&header).map_err(|_| Reason::Malformed)?;
    // No extension is supported: RFC 7515, 4.1.11.
    if header.contains_key("crit") {
        return Err(Reason::Malformed);
    }
    let text = |name: &str| match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Reason::Malformed),
    };
    if let Some(kind) = text("typ")?
        && !TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind))
    {
        return Err(Reason::Malformed);
    }
    let algorithm = text("alg")?.ok_or(Reason::Malformed)?;
    let algorithm = jwk::algorithm(algorithm).ok_or(Reason::Algorithm)?;
    Ok(KeyHint { id: text("kid")?.cloned(), algorithm })
}

impl Requirements {
    /// Verifies a token with the key that its header names. Returns its principal, and when it is
    /// not accepted any more.
    pub(super) fn verify(
        &self,
        token: &str,
        algorithm: Algorithm,
        key: &DecodingKey,
    ) -> Result<(Principal, Instant), Reason> {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.leeway.as_secs();
        validation.validate_nbf = true;
        validation.set_audience(&self.audiences);
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["aud", "exp", "iss", "sub"]);
        let decoded = jsonwebtoken::decode::<Claims>(token, key, &validation);
        let claims = decoded.map_err(|error| reason(error.kind()))?.claims;
        // A list of issuers is not accepted, although one of them is.
        if claims.iss.as_ref().and_then(Value::as_str) != Some(&self.issuer) {
            return Err(Reason::Issuer);
        }
        let subject = claims.sub.as_ref().and_then(Value::as_str).ok_or(Reason::Subject)?;
        let is_valid = !subject.is_empty()
            && subject.len() <= SUBJECT_BYTES_MAX
            && !subject.contains(char::is_control);
        if !is_valid {
            return Err(Reason::Subject);
        }
        let granted = claims.scopes();
        if !self.scopes.iter().all(|scope| granted.contains(&&**scope)) {
            return Err(Reason::Scope);
        }
        Ok((Principal::new(&self.issuer, subject), self.expires_at(claims.exp)))
    }

    /// Returns when a token with the claim `exp` is not accepted any more: after the second of that
    /// time.
    fn expires_at(&self, exp: Option<f64>) -> Instant {
        let exp = Duration::try_from_secs_f64(exp.unwrap_or_default()).unwrap_or(Duration::MAX);
        let now = Duration::from_secs(jsonwebtoken::get_current_timestamp());
        let last = exp.saturating_add(self.leeway);
        let left = last.saturating_add(Duration::from_secs(1)).saturating_sub(now);
        Instant::now() + left.min(LIFETIME_MAX)
    }
}

impl Claims {
    /// Returns the scopes: `scope` of RFC 9068, or `scp`, as some servers name it.
    fn scopes(&self) -> Vec<&str> {
        match self.scope.as_ref().or(self.scp.as_ref()) {
            Some(Value::String(scopes)) => scopes.split(' ').collect(),
            Some(Value::Array(scopes)) => scopes.iter().filter_map(Value::as_str).collect(),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
                Vec::new()
            }
        }
    }
}

#[expect(clippy::match_same_arms, reason = "every known error is matched by name")]
fn reason(error: &ErrorKind) -> Reason {
    match error {
        ErrorKind::InvalidSignature => Reason::Signature,
        ErrorKind::InvalidAlgorithm
        | ErrorKind::InvalidAlgorithmName
        | ErrorKind::UnsupportedAlgorithm
        | ErrorKind::MissingAlgorithm => Reason::Algorithm,
        ErrorKind::ExpiredSignature => Reason::Expired,
        ErrorKind::ImmatureSignature => Reason::NotYetValid,
        ErrorKind::InvalidIssuer => Reason::Issuer,
        ErrorKind::InvalidAudience => Reason::Audience,
        ErrorKind::InvalidSubject => Reason::Subject,
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
            match claim.as_str() {
                "iss" => Reason::Issuer,
                "aud" => Reason::Audience,
                "sub" => Reason::Subject,
                "exp" => Reason::Expired,
                "nbf" => Reason::NotYetValid,
                _ => Reason::Malformed,
            }
        }
        ErrorKind::InvalidToken
        | ErrorKind::InvalidEcdsaKey
        | ErrorKind::InvalidEddsaKey
        | ErrorKind::InvalidRsaKey(_)
        | ErrorKind::RsaFailedSigning
        | ErrorKind::Signing(_)
        | ErrorKind::InvalidKeyFormat
        | ErrorKind::Base64(_)
        | ErrorKind::Json(_)
        | ErrorKind::Utf8(_)
        | ErrorKind::Provider(_) => Reason::Malformed,
        _ => Reason::Malformed,
    }
}
