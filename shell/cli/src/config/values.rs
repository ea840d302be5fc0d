//! Types of option values, with their text form.

use std::{
    ffi::OsString,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _},
    num::NonZeroU32,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use http::HeaderName;

use super::text::serde_as_text;

/// A duration, such as `300s`, `250ms` or `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HumanDuration(pub(crate) Duration);

/// A duration, or `never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeout(pub(crate) Option<Duration>);

/// An address to listen on: `HOST:PORT`, a port on the loopback address, or an IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listen(pub(crate) SocketAddr);

/// A number of bytes, such as `1024`, `64KiB` or `4MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) usize);

/// A maximum number per second, or `unlimited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateLimit(pub(crate) Option<NonZeroU32>);

/// A directory, or `off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OptionalDir(pub(crate) Option<PathBuf>);

/// A maximum number, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OptionalLimit(pub(crate) Option<usize>);

/// An HTTP header name, or `off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OptionalHeader(pub(crate) Option<HeaderName>);

/// `true` or `false`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch(pub(crate) bool);

/// A change of the environment: `NAME=VALUE` sets a variable, `NAME` unsets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvVariable {
    name: String,
    value: Option<String>,
}

impl EnvVariable {
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

impl fmt::Display for EnvVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Maximum duration of an option. It can be added to any clock without overflow.
const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

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

impl FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error =
            |cause| format!("{cause}: expected a duration such as `300s`, `250ms` or `5min`");
        let duration = humantime::parse_duration(text).map_err(error)?;
        if duration > DURATION_MAX {
            return Err("must be at most 100 years".to_owned());
        }
        Ok(Self(duration))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis.is_multiple_of(1_000) {
            write!(f, "{}s", millis / 1_000)
        } else {
            write!(f, "{millis}ms")
        }
    }
}

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self(None));
        }
        let HumanDuration(duration) =
            text.parse().map_err(|error| format!("{error}, or `never`"))?;
        Ok(Self(Some(duration)))
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(duration) => HumanDuration(duration).fmt(f),
            None => f.write_str("never"),
        }
    }
}

/// The units of a [`Size`], largest first.
const UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error =
            || "expected a number of bytes, or of KiB, MiB or GiB, such as `64KiB`".to_owned();
        let unit = UNITS.iter().find_map(|(name, bytes)| Some((text.strip_suffix(name)?, *bytes)));
        let (number, bytes) = unit.unwrap_or((text, 1));
        let number: usize = number.trim_end().parse().map_err(|_| error())?;
        number.checked_mul(bytes).map(Self).ok_or_else(error)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit =
            UNITS.iter().find(|(_, bytes)| self.0 >= *bytes && self.0.is_multiple_of(*bytes));
        match unit {
            Some((name, bytes)) => write!(f, "{}{name}", self.0 / bytes),
            None => self.0.fmt(f),
        }
    }
}

impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "unlimited" {
            return Ok(Self(None));
        }
        let error = |_| "expected a number of at least 1, or `unlimited`".to_owned();
        text.parse().map(|rate| Self(Some(rate))).map_err(error)
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(rate) => rate.fmt(f),
            None => f.write_str("unlimited"),
        }
    }
}

impl FromStr for OptionalDir {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("expected a directory, or `off`".to_owned()),
            "off" => Ok(Self(None)),
            name => Ok(Self(Some(name.into()))),
        }
    }
}

impl fmt::Display for OptionalDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(dir) => dir.display().fmt(f),
            None => f.write_str("off"),
        }
    }
}

/// Parses a value, or `off` as `None`. `what` describes the value in the error.
fn parse_or_off<T: FromStr>(text: &str, what: &str) -> Result<Option<T>, String> {
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| format!("expected {what}, or `off`"))
}

impl FromStr for OptionalLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_or_off(text, "a number").map(Self)
    }
}

impl fmt::Display for OptionalLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(max) => max.fmt(f),
            None => f.write_str("off"),
        }
    }
}

impl FromStr for OptionalHeader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_or_off(text, "a header name").map(Self)
    }
}

impl fmt::Display for OptionalHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref().map_or("off", HeaderName::as_str))
    }
}

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| "expected `true` or `false`".to_owned())
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Converts a newtype from and to the type of its configuration field.
macro_rules! newtype_conversions {
    ($($name:ident($inner:ty)),*) => {$(
        impl From<$inner> for $name {
            fn from(inner: $inner) -> Self {
                Self(inner)
            }
        }

        impl From<$name> for $inner {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    )*};
}
newtype_conversions!(
    HumanDuration(Duration),
    Listen(SocketAddr),
    OptionalDir(Option<PathBuf>),
    OptionalHeader(Option<HeaderName>),
    OptionalLimit(Option<usize>),
    RateLimit(Option<NonZeroU32>),
    Size(usize),
    Switch(bool),
    Timeout(Option<Duration>)
);

serde_as_text!(
    EnvVariable,
    HumanDuration,
    Listen,
    OptionalDir,
    OptionalHeader,
    OptionalLimit,
    RateLimit,
    Size,
    Switch,
    Timeout,
);

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
        assert_round_trip::<HumanDuration>(&["300s", "250ms", "0s"]);
        assert_round_trip::<Timeout>(&["60s", "never"]);
        assert_round_trip::<Size>(&["0", "1023", "1KiB", "4MiB", "2GiB"]);
        assert_round_trip::<RateLimit>(&["10", "unlimited"]);
        assert_round_trip::<OptionalLimit>(&["1", "off"]);
        assert_round_trip::<OptionalHeader>(&["x-forwarded-for", "off"]);
        assert_round_trip::<Switch>(&["true", "false"]);
        assert_round_trip::<EnvVariable>(&["A=1", "A=", "A"]);
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
        assert!("5".parse::<HumanDuration>().unwrap_err().contains("300s"));
        assert!("584542046090years".parse::<HumanDuration>().unwrap_err().contains("100 years"));
        assert!("101years".parse::<Timeout>().unwrap_err().contains("never"));
        assert!("36500days".parse::<HumanDuration>().is_ok());
        assert!("soon".parse::<Timeout>().unwrap_err().contains("never"));
        assert!("4MB".parse::<Size>().unwrap_err().contains("MiB"));
        assert!("0".parse::<RateLimit>().unwrap_err().contains("unlimited"));
        assert!("-1".parse::<Size>().is_err());
        assert!("99999999999GiB".parse::<Size>().is_err());
    }
}
