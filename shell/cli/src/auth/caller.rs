//! What a server process is told of who opens its session: headers of the request as environment
//! variables, and the name of the principal.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use http::{HeaderName, header, request::Parts};
use rejoin::{OpenError, Principal, SessionSetup, StdioBackend, StdioConfig};

use super::{AuthConfig, credential::X_API_KEY};
use crate::config::HeaderVariable;

/// Stands for the subject of the principal, in arguments and in the values of variables.
const PLACEHOLDER: &str = "{principal}";

/// Maximum length of a header that becomes a variable, in bytes.
const VALUE_BYTES_MAX: usize = 8 << 10;

/// Maximum length of a subject that takes the place of [`PLACEHOLDER`], in bytes.
const SUBJECT_BYTES_MAX: usize = 128;

/// Variables that change which code a process runs, or what it trusts. A client must not set them.
const RESERVED: [&str; 25] = [
    "ALL_PROXY",
    "BASH_ENV",
    "CDPATH",
    "CLASSPATH",
    "DOTNET_STARTUP_HOOKS",
    "ENV",
    "GCONV_PATH",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LOCPATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "OPENSSL_CONF",
    "OPENSSL_MODULES",
    "PATH",
    "SHELL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "USER",
    "_JAVA_OPTIONS",
];

/// Beginnings of such variables.
const RESERVED_PREFIXES: [&str; 16] = [
    "BUN_",
    "DENO_",
    "DYLD_",
    "GIT_",
    "LD_",
    "MALLOC_",
    "NODE_EXTRA_CA_",
    "NODE_TLS_",
    "NPM_CONFIG_",
    "PERL5",
    "PIP_",
    "PYTHON",
    "REJOIN_",
    "RUBY",
    "UV_",
    "XDG_",
];

/// Creates the backend of a command whose processes are told who opens their sessions.
///
/// # Errors
///
/// A header or a variable is not allowed, a subject cannot take the place of the placeholder, or
/// the command does not exist or cannot be executed.
pub(crate) fn stdio_backend(
    mut config: StdioConfig,
    headers: &[HeaderVariable],
    auth: &AuthConfig,
) -> anyhow::Result<StdioBackend> {
    check(headers, &config, auth)?;
    if headers.is_empty() && !has_placeholder(&config) {
        return Ok(StdioBackend::new(config)?);
    }
    let headers = headers.to_vec();
    for HeaderVariable { variable, .. } in &headers {
        // Not inherited, if the request does not have the header.
        config.env.insert(variable.into(), None);
    }
    let template = Template::new(&config);
    let backend = StdioBackend::with_request_setup(config, move |head| {
        let mut setup = SessionSetup::default();
        for HeaderVariable { header, variable } in &headers {
            let value = head.map(|head| value(head, header)).transpose()?.flatten();
            setup.env.extend(value.map(|value| (variable.into(), value)));
        }
        template.expand(head, &mut setup)?;
        Ok(setup)
    });
    Ok(backend?)
}

/// Checks the variables, and that a subject can take the place of the placeholder.
fn check(headers: &[HeaderVariable], stdio: &StdioConfig, auth: &AuthConfig) -> anyhow::Result<()> {
    let mut variables = Vec::new();
    for HeaderVariable { header, variable } in headers {
        let upper = variable.to_ascii_uppercase();
        let is_reserved = RESERVED.contains(&&*upper)
            || RESERVED_PREFIXES.iter().any(|prefix| upper.starts_with(prefix));
        anyhow::ensure!(!is_reserved, "--header-env: a client must not set `{variable}`");
        let is_fixed = stdio.env.contains_key(OsStr::new(variable));
        anyhow::ensure!(!is_fixed, "--header-env: `{variable}` is set by --env, too");
        anyhow::ensure!(
            !variables.contains(&variable),
            "--header-env: `{variable}` has two headers"
        );
        variables.push(variable);
        let is_credential = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION].contains(header)
            || auth.keys.is_some() && *header == X_API_KEY;
        anyhow::ensure!(
            !(auth.has_credentials() && is_credential),
            "--header-env: `{header}` has the credential for rejoin, which is not passed on"
        );
    }
    if has_placeholder(stdio) {
        let issuers = usize::from(auth.keys.is_some()) + usize::from(auth.issuer.is_some());
        anyhow::ensure!(
            issuers == 1,
            "`{PLACEHOLDER}` needs either --auth-keys or --auth-issuer: names of both could be equal"
        );
    }
    Ok(())
}

/// Returns the value of a header. The errors do not show it.
fn value(head: &Parts, header: &HeaderName) -> Result<Option<OsString>, OpenError> {
    let mut values = head.headers.get_all(header).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(format!("duplicate `{header}` header").into());
    }
    if value.len() > VALUE_BYTES_MAX {
        let error = format!("the `{header}` header is longer than {VALUE_BYTES_MAX} bytes");
        return Err(error.into());
    }
    // Excludes line breaks and NUL, besides all that is not ASCII.
    let text = value.to_str().map_err(|_| format!("the `{header}` header is not valid ASCII"))?;
    Ok(Some(text.into()))
}

/// Arguments and variables, some of which have the placeholder.
struct Template {
    /// Empty if none has it.
    args: Vec<String>,
    env: BTreeMap<String, String>,
}

impl Template {
    fn new(config: &StdioConfig) -> Self {
        let text = |text: &OsString| text.to_string_lossy().into_owned();
        let args: Vec<_> = config.args.iter().map(text).collect();
        let is_used = args.iter().any(|arg| arg.contains(PLACEHOLDER));
        let env = config.env.iter().filter_map(|(name, value)| {
            let value = text(value.as_ref()?);
            value.contains(PLACEHOLDER).then(|| (text(name), value))
        });
        Self { args: if is_used { args } else { Vec::new() }, env: env.collect() }
    }

    /// Replaces the placeholder by the subject of a request.
    fn expand(&self, head: Option<&Parts>, setup: &mut SessionSetup) -> Result<(), OpenError> {
        if self.args.is_empty() && self.env.is_empty() {
            return Ok(());
        }
        let principal: Option<&Principal> = head.and_then(|head| head.extensions.get());
        let subject = principal.ok_or("the request has no principal")?.subject();
        if !is_plain(subject) {
            let error = "the subject of the principal cannot be used as a name: it must have at most \
                         128 letters, digits, and characters of `._@-`, and begin with one of the first two";
            return Err(error.into());
        }
        let expand = |text: &String| OsString::from(text.replace(PLACEHOLDER, subject));
        if !self.args.is_empty() {
            setup.args = Some(self.args.iter().map(expand).collect());
        }
        setup.env.extend(self.env.iter().map(|(name, value)| (name.into(), expand(value))));
        Ok(())
    }
}

/// Returns whether a subject is neither an option, nor a path, nor anything that a shell expands.
fn is_plain(subject: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    subject.len() <= SUBJECT_BYTES_MAX
        && subject.bytes().all(is_allowed)
        && subject.starts_with(|first: char| first.is_ascii_alphanumeric())
}

fn has_placeholder(config: &StdioConfig) -> bool {
    let has = |text: &OsString| text.to_string_lossy().contains(PLACEHOLDER);
    config.args.iter().any(has) || config.env.values().flatten().any(has)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> Vec<HeaderVariable> {
        let variable = |(header, variable): &(&'static str, &str)| HeaderVariable {
            header: HeaderName::from_static(header),
            variable: (*variable).to_owned(),
        };
        pairs.iter().map(variable).collect()
    }

    fn error(pairs: &[(&'static str, &str)], stdio: &StdioConfig, auth: &AuthConfig) -> String {
        let error = check(&headers(pairs), stdio, auth).err();
        error.map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn variables_that_change_the_process_are_reserved() {
        let mut stdio = StdioConfig::new("server");
        stdio.env.insert("FIXED".into(), None);
        let auth = AuthConfig { keys: Some("keys.txt".into()), ..AuthConfig::default() };
        assert_eq!(error(&[("x-a", "GITHUB_TOKEN"), ("x-b", "A")], &stdio, &auth), "");
        for reserved in
            ["PATH", "path", "LD_PRELOAD", "NODE_OPTIONS", "REJOIN_LISTEN", "PYTHONPATH"]
        {
            assert!(
                error(&[("x-a", reserved)], &stdio, &auth).contains("must not set"),
                "{reserved}"
            );
        }
        assert!(error(&[("x-a", "FIXED")], &stdio, &auth).contains("--env"));
        assert!(error(&[("x-a", "A"), ("x-b", "A")], &stdio, &auth).contains("two headers"));
        for credential in ["authorization", "proxy-authorization", "x-api-key"] {
            assert!(error(&[(credential, "A")], &stdio, &auth).contains("credential"));
            assert_eq!(error(&[(credential, "A")], &stdio, &AuthConfig::default()), "");
        }
    }

    #[test]
    fn the_placeholder_needs_one_kind_of_principals() {
        let mut stdio = StdioConfig::new("server");
        stdio.args.push("--user={principal}".into());
        let with = |keys: bool, issuer: bool| AuthConfig {
            keys: keys.then(|| "keys.txt".into()),
            issuer: issuer.then(|| "https://a.example".into()),
            ..AuthConfig::default()
        };
        assert_eq!(error(&[], &stdio, &with(true, false)), "");
        assert_eq!(error(&[], &stdio, &with(false, true)), "");
        assert!(error(&[], &stdio, &with(false, false)).contains("{principal}"));
        assert!(error(&[], &stdio, &with(true, true)).contains("{principal}"));
    }

    #[test]
    fn only_plain_subjects_take_the_place_of_the_placeholder() {
        for subject in ["ada", "ada.l@example.com", "0-_-0"] {
            assert!(is_plain(subject), "{subject}");
        }
        let long = "a".repeat(SUBJECT_BYTES_MAX + 1);
        for subject in ["", ".", "..", "-a", "--help", "a/b", "a b", "a;b", "a|b", "$a", "é", &long]
        {
            assert!(!is_plain(subject), "{subject}");
        }
    }

    #[test]
    fn a_header_is_used_if_it_is_unique_short_and_ascii() {
        let name = HeaderName::from_static("x-a");
        let value = |values: &[&[u8]]| {
            let mut request = Request::builder();
            for value in values {
                request = request.header(&name, *value);
            }
            let (head, ()) = request.body(()).unwrap().into_parts();
            super::value(&head, &name).map_err(|error| error.to_string())
        };
        assert_eq!(value(&[]), Ok(None));
        assert_eq!(value(&[b""]), Ok(Some("".into())));
        assert_eq!(value(&[b"secret=1"]), Ok(Some("secret=1".into())));
        let long = vec![b's'; VALUE_BYTES_MAX + 1];
        for (values, why) in [
            (&[b"secret".as_slice(), b"secret"] as &[&[u8]], "duplicate"),
            (&[&*long], "longer"),
            (&["sécret".as_bytes()], "ASCII"),
        ] {
            let error = value(values).unwrap_err();
            assert!(
                error.contains(why) && error.contains("x-a") && !error.contains("cret"),
                "{error}"
            );
        }
    }
}
