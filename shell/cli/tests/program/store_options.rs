//! Options of the store that are invalid, or do not fit together.

use std::{
    fs,
    process::{Command, Stdio},
};

use rejoin_test_support::{Program, certificates::Ca, program_path};
use tempfile::TempDir;

const PLAIN: &str = "--store=redis://localhost";
const TLS: &str = "--store=rediss://localhost";

/// Returns the error of the program, which trusts no CA but those of options.
fn error_of(options: &[&str]) -> String {
    let mut command = Command::new(program_path());
    command.env("SSL_CERT_FILE", "/no/such").env_remove("SSL_CERT_DIR");
    command.arg("serve").args(options).stderr(Stdio::piped());
    Program::try_start(&mut command).unwrap_err()
}

#[test]
fn invalid_options_are_refused() {
    for (options, expected) in [
        (
            &["--store=http://localhost"][..],
            "--store: invalid configuration of a store: not a URL of Redis",
        ),
        (&["--store=rediss://localhost/#insecure"], "`#insecure` is not supported"),
        (&[PLAIN, "--lease=200ms"], "--lease must be at least 300ms"),
        (&[PLAIN, "--store-ttl=5s"], "--store-ttl must be at least four times --lease"),
        (&["--cluster-listen=9000"], "--cluster-listen needs --store"),
        (
            &[PLAIN, "--cluster-listen=9000"],
            "--cluster-listen and --cluster-secret-file need each other",
        ),
        (
            &[PLAIN, "--cluster-advertise=localhost:9000"],
            "--cluster-advertise needs --cluster-listen",
        ),
        (
            &[PLAIN, "--cluster-listen=0.0.0.0:9000", "--cluster-secret-file=/no/such"],
            "--cluster-listen on all addresses needs --cluster-advertise",
        ),
    ] {
        let error = error_of(options);
        assert!(error.contains(expected), "{options:?}: {error}");
    }
}

#[test]
fn invalid_certificates_are_refused() {
    let directory = TempDir::new().unwrap();
    let ca = Ca::new();
    ca.issue("client").write(directory.path());
    let write = |name: &str, pem: &str| {
        let file = directory.path().join(name);
        fs::write(&file, pem).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let ca = format!("--store-ca={}", write("ca.pem", &ca.pem));
    let other_key = write("other.pem", &Ca::new().issue("other").key);
    let file = |option: &str, name: &str| {
        format!("--store-{option}={}", directory.path().join(name).display())
    };
    let (cert, key) = (file("cert", "cert.pem"), file("key", "key.pem"));
    let needs_url = "--store-ca, --store-cert and --store-key need --store with a `rediss://` URL";
    for (options, expected) in [
        (&[&*ca][..], needs_url),
        (&[PLAIN, &ca], needs_url),
        (&[PLAIN, &cert, &key], needs_url),
        (&[TLS], "the system has no trusted certificates; use --store-ca"),
        (&[TLS, &cert], "--store-cert and --store-key need each other"),
        (&[TLS, "--store-ca=/no/such"], "--store-ca /no/such: No such file"),
        (&[TLS, &file("ca", "key.pem")], "key.pem: has no certificate in PEM format"),
        (&[TLS, &ca, &file("cert", "key.pem"), &key], "key.pem: has no certificate in PEM format"),
        (
            &[TLS, &ca, &cert, &file("key", "cert.pem")],
            "cert.pem: has no private key in PEM format",
        ),
        (&[TLS, &ca, &cert, &format!("--store-key={other_key}")], &other_key),
    ] {
        let error = error_of(options);
        assert!(error.contains(expected), "{options:?}: {error}");
    }
}
