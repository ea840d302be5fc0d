//! Tokens and headers that are refused, each for its own reason.

use std::{fmt::Write as _, process::Stdio};

use jsonwebtoken::{Algorithm, EncodingKey, crypto::sign};
use rejoin_test_support::Program;
use serde_json::{Value, json};

use crate::{
    issuer::{Issuer, PUBLIC_URL},
    raw::{self, bearer},
    signer::{SCOPE, Signer, claims, encode, message, now},
};

/// What a client that was refused is told: the status, the error code, and the description.
type Refusal = (u16, &'static str, &'static str);

const MALFORMED: Refusal = (401, "invalid_token", "the credential is malformed");
const TOO_LONG: Refusal = (401, "invalid_token", "the credential is too long");
const ALGORITHM: Refusal =
    (401, "invalid_token", "the token has an algorithm that is not accepted");
const KEY_ID: Refusal = (401, "invalid_token", "the token was signed with an unknown key");
const SIGNATURE: Refusal = (401, "invalid_token", "the signature of the token is not valid");
const EXPIRED: Refusal = (401, "invalid_token", "the token has expired");
const NOT_YET: Refusal = (401, "invalid_token", "the token is not valid yet");
const ISSUER: Refusal = (401, "invalid_token", "the token is from another issuer");
const AUDIENCE: Refusal = (401, "invalid_token", "the token is for another audience");
const SUBJECT: Refusal = (401, "invalid_token", "the token has no valid subject");
const SCOPES: Refusal = (403, "insufficient_scope", "the token lacks a required scope");
const DUPLICATE: Refusal = (400, "invalid_request", "the request has more than one credential");
const QUERY: Refusal = (400, "invalid_request", "a credential must not be in the URL");
const MISSING: Refusal = (401, "", "authentication is required");
const SCHEME: Refusal = (401, "", "authentication is required, with the scheme Bearer");

/// The issuer, and its keys.
struct Fixture {
    issuer: Issuer,
    ed25519: Signer,
    other: Signer,
    p256: Signer,
    rsa: Signer,
}

impl Fixture {
    async fn start() -> Self {
        let [ed25519, other, p256] = [Signer::ed25519(), Signer::other_ed25519(), Signer::p256()];
        let rsa = Signer::rsa(Algorithm::RS256, "RS256");
        let mut rsa_for_rs256 = rsa.jwk("rsa");
        rsa_for_rs256["alg"] = "RS256".into();
        let mut for_encryption = other.jwk("enc");
        for_encryption["use"] = "enc".into();
        let symmetric = json!({ "kty": "oct", "kid": "oct", "k": encode("secret") });
        let issuer = Issuer::start(vec![
            ed25519.jwk("ed"),
            p256.jwk("p256"),
            Signer::p384().jwk("p384"),
            rsa.jwk("any-rsa"),
            rsa_for_rs256,
            for_encryption,
            symmetric,
        ]);
        Self { issuer: issuer.await, ed25519, other, p256, rsa }
    }

    /// Returns a token whose claims are changed; `null` removes one.
    fn claims(&self, changes: &Value) -> String {
        let mut claims = claims(&self.issuer.url, "ada");
        change(&mut claims, changes);
        self.ed25519.sign(&self.ed25519.header("ed"), &claims)
    }

    /// Returns a token of a signer whose header is changed.
    fn header(&self, signer: &Signer, changes: &Value) -> String {
        let mut header = signer.header("ed");
        change(&mut header, changes);
        signer.sign(&header, &claims(&self.issuer.url, "ada"))
    }

    /// Returns a token with a signature of an HMAC, whose secret is what everyone knows.
    fn hmac(&self, id: &str, secret: &[u8]) -> String {
        let header = json!({ "alg": "HS256", "kid": id, "typ": "JWT" });
        let message = message(&header, &claims(&self.issuer.url, "ada"));
        let key = EncodingKey::from_secret(secret).unwrap();
        let signature = sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    }

    /// Returns tokens, with why each is refused.
    fn wrong_tokens(&self) -> Vec<(String, Refusal)> {
        let Self { ed25519, other, p256, rsa, issuer } = self;
        let valid = ed25519.token("ed", &issuer.url, "ada");
        let (signed, signature) = valid.rsplit_once('.').unwrap();
        let unsigned = |header: &Value| message(header, &claims(&issuer.url, "ada"));
        let none = |name: &str| unsigned(&json!({ "alg": name }));
        let public = rsa.jwk("rsa").to_string();
        let own_key = json!({ "jwk": other.jwk("ed"), "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/x", "x5c": ["AAAA"] });
        vec![
            // The form.
            ("x".to_owned(), MALFORMED),
            (signed.to_owned(), MALFORMED),
            (format!("{valid}.x"), MALFORMED),
            (format!("{valid}.."), MALFORMED),
            (format!(".{signed}"), MALFORMED),
            ("..".to_owned(), MALFORMED),
            (format!("{}.{}.{signature}", encode("{}"), encode("{}")), MALFORMED),
            (format!("{}.{}.{signature}", encode("[]"), encode("{}")), MALFORMED),
            (format!("{valid}="), MALFORMED),
            (valid.replacen('.', "+.", 1), MALFORMED),
            (format!("{valid}{}", "A".repeat(17_000)), TOO_LONG),
            (self.header(ed25519, &json!({ "typ": "dpop+jwt" })), MALFORMED),
            (self.header(ed25519, &json!({ "typ": 7 })), MALFORMED),
            (self.header(ed25519, &json!({ "kid": 7 })), MALFORMED),
            (self.header(ed25519, &json!({ "crit": ["exp"] })), MALFORMED),
            (self.header(ed25519, &json!({ "crit": [], "b64": false })), MALFORMED),
            // The algorithm and the key.
            (format!("{}.", none("none")), ALGORITHM),
            (format!("{}.", none("None")), ALGORITHM),
            (format!("{}.{signature}", none("NONE")), ALGORITHM),
            (format!("{}.{signature}", none("")), ALGORITHM),
            (format!("{}.{signature}", none("ES512")), ALGORITHM),
            (self.hmac("rsa", public.as_bytes()), ALGORITHM),
            (self.hmac("oct", b"secret"), ALGORITHM),
            (self.header(p256, &json!({})), ALGORITHM),
            (self.header(ed25519, &json!({ "alg": "ES256" })), ALGORITHM),
            (
                self.header(&Signer::rsa(Algorithm::PS256, "PS256"), &json!({ "kid": "rsa" })),
                ALGORITHM,
            ),
            (self.header(other, &json!({ "kid": "unknown" })), KEY_ID),
            (self.header(other, &json!({ "kid": "enc" })), KEY_ID),
            (self.header(ed25519, &json!({ "kid": "oct" })), KEY_ID),
            (self.header(rsa, &json!({ "kid": null })), KEY_ID),
            // The signature.
            (self.header(other, &json!({})), SIGNATURE),
            (self.header(other, &own_key), SIGNATURE),
            (format!("{signed}."), SIGNATURE),
            (format!("{signed}.{}", &signature[..40]), SIGNATURE),
            (
                format!(
                    "{}.{signature}",
                    message(&ed25519.header("ed"), &claims(&issuer.url, "eve"))
                ),
                SIGNATURE,
            ),
            (p256.token("p384", &issuer.url, "ada"), ALGORITHM),
            // The claims.
            (self.claims(&json!({ "exp": now() - 5 })), EXPIRED),
            (self.claims(&json!({ "exp": 0 })), EXPIRED),
            (self.claims(&json!({ "exp": null })), EXPIRED),
            (self.claims(&json!({ "exp": "tomorrow" })), MALFORMED),
            (self.claims(&json!({ "nbf": now() + 600 })), NOT_YET),
            (self.claims(&json!({ "nbf": "now" })), NOT_YET),
            (self.claims(&json!({ "iss": null })), ISSUER),
            (self.claims(&json!({ "iss": "https://evil.example" })), ISSUER),
            (self.claims(&json!({ "iss": format!("{}/", issuer.url) })), ISSUER),
            (self.claims(&json!({ "iss": [issuer.url, "https://evil.example"] })), ISSUER),
            (self.claims(&json!({ "aud": null })), AUDIENCE),
            (self.claims(&json!({ "aud": "https://mcp.example.com" })), AUDIENCE),
            (self.claims(&json!({ "aud": [] })), AUDIENCE),
            (self.claims(&json!({ "aud": { "a": "b" } })), AUDIENCE),
            (self.claims(&json!({ "sub": null })), SUBJECT),
            (self.claims(&json!({ "sub": "" })), SUBJECT),
            (self.claims(&json!({ "sub": "a\nb" })), SUBJECT),
            (self.claims(&json!({ "sub": "a".repeat(256) })), SUBJECT),
            (self.claims(&json!({ "scope": null })), SCOPES),
            (self.claims(&json!({ "scope": "openid mcp:use:not" })), SCOPES),
            (self.claims(&json!({ "scope": null, "scp": ["openid"] })), SCOPES),
        ]
    }
}

fn change(object: &mut Value, changes: &Value) {
    let object = object.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
}

/// Sends a request, and checks how it is refused.
async fn check(program: &Program, target: &str, lines: &[&[u8]], expected: Refusal) {
    let (status, error, description) = expected;
    let response = raw::get(&program.address, target, lines).await;
    let lines: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(line)).collect();
    assert_eq!(response.status, status, "{target} {lines:?} {}", response.text);
    let challenge = response.header("www-authenticate").unwrap_or_default();
    let mut wanted = format!(
        "Bearer resource_metadata=\"{PUBLIC_URL}/.well-known/oauth-protected-resource/mcp\", \
         scope=\"{SCOPE}\""
    );
    if !error.is_empty() {
        write!(wanted, ", error=\"{error}\", error_description=\"{description}\"").unwrap();
    }
    assert_eq!(challenge, wanted, "{lines:?}");
    assert!(response.text.contains(&format!("\"message\":\"{description}\"")), "{response:?}");
}

#[tokio::test]
async fn wrong_tokens_are_refused_for_their_reasons() {
    let fixture = Fixture::start().await;
    let program = fixture.issuer.program(&[]);
    let tokens = fixture.wrong_tokens();
    assert!(tokens.len() > 40, "{}", tokens.len());
    for (token, refusal) in tokens {
        check(&program, "/mcp", &[bearer(&token).as_bytes()], refusal).await;
    }
}

#[tokio::test]
async fn wrong_headers_are_refused_for_their_reasons() {
    let fixture = Fixture::start().await;
    let program = fixture.issuer.program(&[]);
    let valid = fixture.ed25519.token("ed", &fixture.issuer.url, "ada");
    let bearer = bearer(&valid);
    let (bearer, lower) = (bearer.as_bytes(), format!("authorization: bearer {valid}"));
    for (target, lines, refusal) in [
        ("/mcp", &[] as &[&[u8]], MISSING),
        ("/mcp", &[b"x-api-key: a"], MISSING),
        ("/mcp", &[b"proxy-authorization: Bearer a"], MISSING),
        ("/mcp", &[b"authorization: Basic YTpi"], SCHEME),
        ("/mcp", &[b"authorization: "], SCHEME),
        ("/mcp", &[b"authorization: Bearer"], MALFORMED),
        ("/mcp", &[b"authorization: Bearer  "], MALFORMED),
        ("/mcp", &[b"authorization: Bearer a b"], MALFORMED),
        ("/mcp", &[b"authorization: Bearer \xc3\xa9"], MALFORMED),
        ("/mcp", &[bearer, bearer], DUPLICATE),
        ("/mcp", &[bearer, b"authorization: Basic YTpi"], DUPLICATE),
        ("/mcp?access_token=a", &[], QUERY),
        ("/mcp?a=b&access_token=a", &[bearer], QUERY),
    ] {
        check(&program, target, lines, refusal).await;
    }
    for lines in [&[bearer] as &[&[u8]], &[lower.as_bytes()], &[bearer, b"x-api-key: a"]] {
        let response = raw::get(&program.address, "/mcp?a=b", lines).await;
        assert_eq!(response.status, 404, "{response:?}");
    }
    let foreign_host = [b"host: evil.example".as_slice()];
    let response = raw::get(&program.address, "/mcp", &foreign_host).await;
    assert_eq!(response.status, 400, "two hosts: before authentication");
}

#[tokio::test]
async fn right_tokens_of_every_algorithm_are_accepted() {
    let fixture = Fixture::start().await;
    let program = fixture.issuer.program(&[]);
    let issuer = &fixture.issuer.url;
    let mut tokens = vec![
        fixture.ed25519.token("ed", issuer, "ada"),
        fixture.p256.token("p256", issuer, "ada"),
        Signer::p384().token("p384", issuer, "ada"),
        fixture.rsa.token("rsa", issuer, "ada"),
        fixture.claims(&json!({ "aud": crate::signer::AUDIENCE, "nbf": now() - 1 })),
        fixture.claims(&json!({ "scope": null, "scp": [SCOPE], "exp": 253_402_300_799.5 })),
        fixture.header(&fixture.ed25519, &json!({ "typ": null, "kid": null })),
        fixture.header(&fixture.ed25519, &json!({ "typ": "JWT", "jku": "http://127.0.0.1:1" })),
    ];
    for (algorithm, name) in
        [(Algorithm::RS512, "RS512"), (Algorithm::PS256, "PS256"), (Algorithm::PS384, "PS384")]
    {
        tokens.push(Signer::rsa(algorithm, name).token("any-rsa", issuer, "ada"));
    }
    for token in tokens {
        let response = raw::get(&program.address, "/mcp", &[bearer(&token).as_bytes()]).await;
        assert_eq!(response.status, 404, "{token} {response:?}");
    }
}

#[tokio::test]
async fn credentials_are_not_logged() {
    let fixture = Fixture::start().await;
    let options: Vec<_> =
        fixture.issuer.options().into_iter().chain(["--log-level", "trace"]).collect();
    let mut program = Program::logging_to(Stdio::piped(), &options);
    let valid = fixture.ed25519.token("ed", &fixture.issuer.url, "ada");
    let wrong = fixture.header(&fixture.other, &json!({}));
    for (target, token) in
        [("/mcp", &valid), ("/mcp", &wrong), (&*format!("/mcp?access_token={valid}"), &valid)]
    {
        raw::get(&program.address, target, &[bearer(token).as_bytes()]).await;
    }
    program.signal("TERM");
    let log = std::io::read_to_string(program.stderr()).unwrap();
    assert!(log.contains("authentication failed") && log.contains("signature"), "{log}");
    for token in [&valid, &wrong] {
        for part in token.split('.') {
            assert!(!log.contains(part), "{part} is in the log:\n{log}");
        }
    }
}
