//! Types of option values, with their text form.

use std::{
    ffi::OsString,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    num::NonZeroU32,
    str::FromStr,
    time::Duration,
};

use bytesize::ByteSize;
use http::HeaderName;

use super::text::serde_as_text;

/// A duration, such as `5m`, `250ms` or `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HumanDuration(Duration);

/// A number of bytes, such as `1024`, `64KiB` or `4MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(usize);

/// An address to listen on: `HOST:PORT`, a port on the loopback address, or an IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listen(SocketAddr);

/// How others reach a process: `HOST:PORT`. The name is not looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostAndPort(String);

/// A change of the environment: `NAME=VALUE` sets a variable, `NAME` unsets it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct EnvVariable {
    name: String,
    value: Option<String>,
}

/// A header of the request that opens a session, which becomes a variable: `HEADER=NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeaderVariable {
    pub(crate) header: HeaderName,
    pub(crate) variable: String,
}

/// Defines types for a value or a keyword, which stands for `None`.
macro_rules! optional_values {
    ($($(#[$doc:meta])* $name:ident($value:ty): $expected:literal or $keyword:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) struct $name(Option<$value>);

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text.parse() {
                    _ if text == $keyword => Ok(Self(None)),
                    Ok(value) if !text.is_empty() => Ok(Self(Some(value))),
                    Ok(_) | Err(_) => Err(format!("expected {}, or `{}`", $expected, $keyword)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match &self.0 {
                    Some(value) => value.fmt(f),
                    None => f.write_str($keyword),
                }
            }
        }

        serde_as_text!($name);
    )*};
}

optional_values! {
    /// A duration, or `never`.
    Timeout(HumanDuration): "a duration such as `5m` or `250ms`" or "never";
    /// A maximum number per second, or `unlimited`.
    RateLimit(NonZeroU32): "a number of at least 1" or "unlimited";
    /// A file, or `off`.
    OptionalFile(String): "a file" or "off";
    /// A URL, or `off`.
    OptionalUrl(String): "a URL" or "off";
    /// The address of a process, or `off`.
    OptionalAddress(HostAndPort): "`HOST:PORT`" or "off";
    /// A URL path, or `off`.
    OptionalPath(String): "a path" or "off";
    /// A directory, or `off`.
    OptionalDir(String): "a directory" or "off";
    /// A maximum number, or `off`.
    OptionalLimit(usize): "a number" or "off";
    /// An address to listen on, or `off`.
    OptionalListen(Listen): "`HOST:PORT`, or a port" or "off";
    /// An HTTP header name, or `off`.
    OptionalHeader(HeaderName): "a header name" or "off";
}

serde_as_text!(EnvVariable, HeaderVariable, HumanDuration, Listen, Size);

/// Maximum duration of an option: a sum with the time of any clock does not overflow.
const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration = humantime::parse_duration(text)
            .map_err(|cause| format!("{cause}: expected a duration such as `5m` or `250ms`"))?;
        Ok(Self(duration.min(DURATION_MAX)))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// Maximum size of an option. Sums of sizes do not overflow.
const SIZE_MAX: ByteSize = ByteSize::pib(1);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes: ByteSize =
            text.parse().map_err(|_| "expected a size such as `64KiB` or `4MiB`")?;
        if bytes > SIZE_MAX {
            return Err(format!("must be at most {}", Self::format(SIZE_MAX)));
        }
        usize::try_from(bytes.as_u64()).map(Self).map_err(|error| error.to_string())
    }
}

impl Size {
    /// Formats a size as a whole number of its largest unit, without a space.
    fn format(bytes: ByteSize) -> String {
        format!("{:.0}", bytes.display().iec()).replace(' ', "")
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::format(ByteSize::b(self.0 as u64)))
    }
}

/// The port to listen on if none is given.
pub(crate) const DEFAULT_PORT: u16 = 8848;

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(port) = text.parse::<u16>() {
            return Ok(Self((Ipv4Addr::LOCALHOST, port).into()));
        }
        if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Self((ip, DEFAULT_PORT).into()));
        }
        if let Some(port) = text.strip_prefix(':') {
            return Err(format!(
                "use `{port}` to listen on the loopback address, \
                 or `0.0.0.0:{port}` to listen on all addresses"
            ));
        }
        let error = |cause: &dyn fmt::Display| {
            format!("{cause}: expected `HOST:PORT`, such as `127.0.0.1:{DEFAULT_PORT}`, or a port")
        };
        let text = if text.contains(':') { text } else { &format!("{text}:{DEFAULT_PORT}") };
        let addresses = text.to_socket_addrs().map_err(|cause| error(&cause))?;
        // Prefer IPv4, since not every system has IPv6.
        let address = addresses.min_by_key(SocketAddr::is_ipv6);
        address.map(Self).ok_or_else(|| error(&"the host has no address"))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl EnvVariable {
    pub(super) fn set(name: String, value: String) -> Self {
        Self { name, value: Some(value) }
    }

    /// Returns the name, and the value unless the variable is unset.
    pub(super) fn to_pair(&self) -> (OsString, Option<OsString>) {
        (OsString::from(&self.name), self.value.as_ref().map(OsString::from))
    }
}

impl FromStr for EnvVariable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name.is_empty() || text.contains('\0') {
            return Err("expected `NAME=VALUE`, or `NAME` to unset it".to_owned());
        }
        Ok(Self { name: name.to_owned(), value })
    }
}

/// Has no value, which may be secret.
impl fmt::Debug for EnvVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvVariable").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Display for EnvVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl FromStr for HostAndPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected `HOST:PORT`, such as `10.0.0.7:8110`";
        let (host, port) = text.rsplit_once(':').ok_or(expected)?;
        let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
        let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_name = !host.is_empty() && host.bytes().all(is_allowed);
        let is_host = address.map_or(is_name, |address| address.parse::<Ipv6Addr>().is_ok());
        if is_port && is_host { Ok(Self(text.to_owned())) } else { Err(expected.to_owned()) }
    }
}

impl fmt::Display for HostAndPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HeaderVariable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected `HEADER=NAME`, such as `X-Github-Token=GITHUB_TOKEN`";
        let (header, variable) = text.split_once('=').ok_or(expected)?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let is_valid = variable.bytes().all(is_name)
            && variable.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let header = header.parse().map_err(|_| expected)?;
        if is_valid {
            Ok(Self { header, variable: variable.to_owned() })
        } else {
            Err(expected.to_owned())
        }
    }
}

impl fmt::Display for HeaderVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.header, self.variable)
    }
}

/// Converts a value from and to the type of its configuration field.
macro_rules! conversions {
    ($($name:ident($field:ty)),* $(,)?) => {$(
        impl From<$field> for $name {
            fn from(field: $field) -> Self {
                Self(field)
            }
        }

        impl From<$name> for $field {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    )*};
}

conversions!(
    HumanDuration(Duration),
    Listen(SocketAddr),
    OptionalDir(Option<String>),
    OptionalFile(Option<String>),
    OptionalPath(Option<String>),
    OptionalUrl(Option<String>),
    OptionalHeader(Option<HeaderName>),
    OptionalLimit(Option<usize>),
    RateLimit(Option<NonZeroU32>),
    Size(usize),
);

impl From<Option<SocketAddr>> for OptionalListen {
    fn from(address: Option<SocketAddr>) -> Self {
        Self(address.map(Listen))
    }
}

impl From<OptionalListen> for Option<SocketAddr> {
    fn from(OptionalListen(address): OptionalListen) -> Self {
        address.map(|Listen(address)| address)
    }
}

impl From<Option<String>> for OptionalAddress {
    fn from(address: Option<String>) -> Self {
        Self(address.map(HostAndPort))
    }
}

impl From<OptionalAddress> for Option<String> {
    fn from(OptionalAddress(address): OptionalAddress) -> Self {
        address.map(|HostAndPort(address)| address)
    }
}

impl From<Option<Duration>> for Timeout {
    fn from(timeout: Option<Duration>) -> Self {
        Self(timeout.map(HumanDuration))
    }
}

impl From<Timeout> for Option<Duration> {
    fn from(Timeout(timeout): Timeout) -> Self {
        timeout.map(|HumanDuration(timeout)| timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_round_trip<T: FromStr<Err = String> + fmt::Display>(texts: &[&str]) {
        for text in texts {
            assert_eq!(text.parse::<T>().unwrap().to_string(), *text);
        }
    }

    #[test]
    fn values_round_trip_as_text() {
        assert_round_trip::<HumanDuration>(&["5m", "250ms", "0s"]);
        assert_round_trip::<Timeout>(&["1m", "never"]);
        assert_round_trip::<Size>(&["0B", "1023B", "1KiB", "4MiB", "2GiB"]);
        assert_round_trip::<RateLimit>(&["10", "unlimited"]);
        assert_round_trip::<OptionalFile>(&["mcp.json", "off"]);
        assert_round_trip::<OptionalPath>(&["/healthz", "off"]);
        assert_round_trip::<OptionalDir>(&["/var/log", "off"]);
        assert_round_trip::<OptionalListen>(&["127.0.0.1:9464", "off"]);
        assert_round_trip::<OptionalLimit>(&["1", "off"]);
        let addresses = ["10.0.0.7:8110", "node-1.example:1", "[::1]:8110", "off"];
        assert_round_trip::<OptionalAddress>(&addresses);
        assert_round_trip::<OptionalHeader>(&["x-forwarded-for", "off"]);
        assert_round_trip::<EnvVariable>(&["A=1", "A=", "A"]);
        assert_round_trip::<HeaderVariable>(&["x-github-token=GITHUB_TOKEN", "a=_1"]);
    }

    #[test]
    fn sizes_have_the_usual_units() {
        let bytes = |text: &str| text.parse::<Size>().map(usize::from);
        assert_eq!(bytes("1500"), Ok(1_500));
        assert_eq!(bytes("4MB"), Ok(4_000_000));
        assert_eq!(bytes("4 mib"), Ok(4 << 20));
        assert_eq!(bytes("1.5GiB"), Ok(3 << 29));
    }

    #[test]
    fn listen_accepts_a_port_a_host_name_or_an_ip_address() {
        let listen = |text: &str| text.parse().map(|Listen(address)| address.to_string());
        assert_eq!(listen("9100").unwrap(), "127.0.0.1:9100");
        assert_eq!(listen("localhost:9100").unwrap(), "127.0.0.1:9100");
        assert_eq!(listen("0.0.0.0:0").unwrap(), "0.0.0.0:0");
        assert_eq!(listen("0.0.0.0").unwrap(), "0.0.0.0:8848");
        assert_eq!(listen("[::1]:80").unwrap(), "[::1]:80");
        assert_eq!(listen("::1").unwrap(), "[::1]:8848");
        assert!(listen(":9100").unwrap_err().contains("0.0.0.0:9100"));
        assert!(listen("127.0.0.1:99999").unwrap_err().contains("HOST:PORT"));
        assert!(listen("").is_err());
    }

    #[test]
    fn invalid_values_get_a_hint() {
        assert!("5".parse::<HumanDuration>().unwrap_err().contains("5m"));
        assert_eq!("584542046090years".parse(), Ok(HumanDuration(DURATION_MAX)));
        assert!("soon".parse::<Timeout>().unwrap_err().contains("never"));
        assert!("4XB".parse::<Size>().unwrap_err().contains("MiB"));
        assert!("0".parse::<RateLimit>().unwrap_err().contains("unlimited"));
        assert!("".parse::<OptionalDir>().unwrap_err().contains("off"));
        assert!("-1".parse::<Size>().is_err());
        for text in ["", "A", "=A", "a=", "a=1A", "a=A-B", "a b=A", "a=A=B"] {
            assert!(text.parse::<HeaderVariable>().unwrap_err().contains("HEADER=NAME"), "{text}");
        }
        for text in
            ["", "10.0.0.7", "10.0.0.7:", ":80", "a:0", "a:99999", "a b:1", "::1:80", "[a]:1"]
        {
            assert!(text.parse::<OptionalAddress>().unwrap_err().contains("HOST:PORT"), "{text}");
        }
        assert!("99999999999GiB".parse::<Size>().unwrap_err().contains("1PiB"));
    }
}
