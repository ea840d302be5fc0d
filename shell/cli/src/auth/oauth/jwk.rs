//! The public keys of an issuer, from its JSON Web Key Set.
//!
//! Specification: RFC 7517, RFC 7518.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::auth::reason::Reason;

/// Maximum number of keys of an issuer. Further ones are ignored.
const KEYS_MAX: usize = 100;

/// Sizes of an RSA modulus that are accepted, in bytes: from 2,048 to 8,192 bits.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;
/// Maximum size of the exponent, in bytes.
const EXPONENT_BYTES_MAX: usize = 8;

/// The algorithms of tokens that are accepted: asymmetric ones only.
const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

const RSA_ALGORITHMS: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Returns an algorithm that is accepted.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
}

/// The keys that verify signatures: at most [`KEYS_MAX`].
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    verifying: DecodingKey,
}

impl KeySet {
    /// Parses a set. Keys of other kinds or for other uses are ignored.
    pub(super) fn parse(json: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Set<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        let Set { keys } = serde_json::from_slice(json)?;
        let keys = keys.into_iter().filter_map(|key| serde_json::from_str(key.get()).ok());
        Ok(Self(keys.filter_map(Jwk::into_key).take(KEYS_MAX).collect()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Finds the key of a token. Without an id, it must be the only one for the algorithm.
    ///
    /// # Errors
    ///
    /// No key has the id, or it is not for the algorithm.
    pub(super) fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<&DecodingKey, Reason> {
        let named = || self.0.iter().filter(|key| id.is_none() || key.id.as_deref() == id);
        let mut fitting = named().filter(|key| key.algorithms.contains(&algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(&key.verifying),
            (None, _) if id.is_some() && named().next().is_some() => Err(Reason::Algorithm),
            (_, _) => Err(Reason::KeyId),
        }
    }
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Jwk {
    /// Returns the key, if it can verify signatures with an algorithm that is accepted.
    fn into_key(self) -> Option<Key> {
        let is_for_signatures = self.r#use.as_deref().is_none_or(|r#use| r#use == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !is_for_signatures {
            return None;
        }
        let decode = |text: &Option<String>| BASE64_URL_SAFE_NO_PAD.decode(text.as_ref()?).ok();
        let (algorithms, key) = match (&*self.kty, self.crv.as_deref()) {
            ("RSA", None) => {
                let (n, e) = (decode(&self.n)?, decode(&self.e)?);
                let is_accepted =
                    MODULUS_BYTES.contains(&n.len()) && (1..=EXPONENT_BYTES_MAX).contains(&e.len());
                let key = DecodingKey::from_rsa_raw_components(&n, &e);
                (RSA_ALGORITHMS, Some(key).filter(|_| is_accepted)?)
            }
            ("EC", Some("P-256")) => (&[Algorithm::ES256] as &[_], self.ec_key(32)?),
            ("EC", Some("P-384")) => (&[Algorithm::ES384] as &[_], self.ec_key(48)?),
            ("OKP", Some("Ed25519")) => {
                let x = decode(&self.x).filter(|x| x.len() == 32)?;
                (&[Algorithm::EdDSA] as &[_], DecodingKey::from_ed_der(&x))
            }
            _ => return None,
        };
        let mut algorithms = algorithms.to_vec();
        if let Some(name) = self.alg {
            let algorithm = algorithm(&name)?;
            algorithms.retain(|known| *known == algorithm);
        }
        (!algorithms.is_empty()).then_some(Key { id: self.kid, algorithms, verifying: key })
    }

    /// Returns the key of an elliptic curve whose coordinates have `bytes` bytes.
    fn ec_key(&self, bytes: usize) -> Option<DecodingKey> {
        let (x, y) = (self.x.as_ref()?, self.y.as_ref()?);
        let is_valid = |text: &String| {
            BASE64_URL_SAFE_NO_PAD.decode(text).is_ok_and(|decoded| decoded.len() == bytes)
        };
        let are_valid = is_valid(x) && is_valid(y);
        DecodingKey::from_ec_components(x, y).ok().filter(|_| are_valid)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ed(extra: &serde_json::Value) -> serde_json::Value {
        let mut key = json!({ "kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43) });
        key.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        key
    }

    fn parse(keys: &[serde_json::Value]) -> KeySet {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn keys_that_cannot_be_used_are_ignored() {
        let modulus = |bytes: usize| BASE64_URL_SAFE_NO_PAD.encode(vec![0xff; bytes]);
        for usable in [
            ed(&json!({ "use": "sig", "alg": "EdDSA", "key_ops": ["verify"], "x5c": 7 })),
            json!({ "kty": "RSA", "n": modulus(256), "e": "AQAB" }),
        ] {
            assert_eq!(parse(&[json!(7), usable]).len(), 1);
        }
        for unusable in [
            ed(&json!({ "use": "enc" })),
            ed(&json!({ "key_ops": ["sign"] })),
            ed(&json!({ "alg": "ES256" })),
            ed(&json!({ "alg": "none" })),
            ed(&json!({ "crv": "Ed448" })),
            ed(&json!({ "x": "AAAA" })),
            ed(&json!({ "kid": 7 })),
            json!({ "kty": "oct", "k": "AAAA", "alg": "HS256" }),
            json!({ "kty": "RSA", "n": modulus(255), "e": "AQAB" }),
            json!({ "kty": "RSA", "n": modulus(1_025), "e": "AQAB" }),
            json!({ "kty": "RSA", "n": modulus(256), "e": "A".repeat(44) }),
            json!({ "kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA" }),
            json!({ "kty": "EC", "crv": "secp256k1", "x": "A".repeat(43), "y": "A".repeat(43) }),
        ] {
            assert_eq!(parse(std::slice::from_ref(&unusable)).len(), 0, "{unusable}");
        }
        assert!(KeySet::parse(b"{}").is_err() && KeySet::parse(b"[]").is_err());
        let many = vec![ed(&json!({})); KEYS_MAX + 1];
        assert_eq!(parse(&many).len(), KEYS_MAX);
    }

    #[test]
    fn a_key_is_found_by_its_id_and_its_algorithm() {
        let named = parse(&[ed(&json!({ "kid": "a" })), ed(&json!({ "kid": "b" }))]);
        let find = |set: &KeySet, id, algorithm| set.find(id, algorithm).map(drop);
        assert_eq!(find(&named, Some("a"), Algorithm::EdDSA), Ok(()));
        assert_eq!(find(&named, Some("c"), Algorithm::EdDSA), Err(Reason::KeyId));
        assert_eq!(find(&named, Some("a"), Algorithm::ES256), Err(Reason::Algorithm));
        assert_eq!(find(&named, None, Algorithm::EdDSA), Err(Reason::KeyId), "there are two");
        let sole = parse(&[ed(&json!({}))]);
        assert_eq!(find(&sole, None, Algorithm::EdDSA), Ok(()));
        assert_eq!(find(&sole, None, Algorithm::RS256), Err(Reason::KeyId));
    }
}
