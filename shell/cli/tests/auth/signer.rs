//! Tokens that the tests sign, with keys that are only for them.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto::sign};
use serde_json::{Value, json};

pub(crate) const AUDIENCE: &str = "https://mcp.example.com/mcp";
pub(crate) const SCOPE: &str = "mcp:use";

/// A key pair.
#[derive(Clone)]
pub(crate) struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    /// The name of the algorithm.
    pub(crate) name: &'static str,
    public: Value,
}

impl Signer {
    pub(crate) fn ed25519() -> Self {
        let key = EncodingKey::from_ed_der(include_bytes!("keys/ed25519.der"));
        Self::new(key, Algorithm::EdDSA, "EdDSA", "ed25519")
    }

    pub(crate) fn other_ed25519() -> Self {
        let key = EncodingKey::from_ed_der(include_bytes!("keys/other_ed25519.der"));
        Self::new(key, Algorithm::EdDSA, "EdDSA", "other_ed25519")
    }

    pub(crate) fn p256() -> Self {
        let key = EncodingKey::from_ec_der(include_bytes!("keys/p256.der"));
        Self::new(key, Algorithm::ES256, "ES256", "p256")
    }

    pub(crate) fn p384() -> Self {
        let key = EncodingKey::from_ec_der(include_bytes!("keys/p384.der"));
        Self::new(key, Algorithm::ES384, "ES384", "p384")
    }

    /// The key pair of RSA, with one of its algorithms.
    pub(crate) fn rsa(algorithm: Algorithm, name: &'static str) -> Self {
        let key = EncodingKey::from_rsa_der(include_bytes!("keys/rsa.der"));
        Self::new(key, algorithm, name, "rsa")
    }

    fn new(key: EncodingKey, algorithm: Algorithm, name: &'static str, public: &str) -> Self {
        let keys: Value = serde_json::from_str(include_str!("keys/public.json")).unwrap();
        Self { key, algorithm, name, public: keys[public].clone() }
    }

    /// Returns the public key as a JWK with an id.
    pub(crate) fn jwk(&self, id: &str) -> Value {
        let mut key = self.public.clone();
        key["kid"] = id.into();
        key["use"] = "sig".into();
        key
    }

    /// Signs a token with any header and claims.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let signature = sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    /// Returns a valid token.
    pub(crate) fn token(&self, id: &str, issuer: &str, subject: &str) -> String {
        self.sign(&self.header(id), &claims(issuer, subject))
    }

    pub(crate) fn header(&self, id: &str) -> Value {
        json!({ "alg": self.name, "kid": id, "typ": "at+jwt" })
    }
}

/// Returns the part of a token that is signed.
pub(crate) fn message(header: &Value, claims: &Value) -> String {
    let [header, claims] = [header, claims].map(|part| encode(part.to_string()));
    format!("{header}.{claims}")
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns the claims of a valid token.
pub(crate) fn claims(issuer: &str, subject: &str) -> Value {
    json!({
        "iss": issuer, "sub": subject, "aud": [AUDIENCE, "other"], "exp": now() + 3_600,
        "scope": format!("openid {SCOPE}"),
    })
}

/// Returns the time in seconds.
pub(crate) fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}
