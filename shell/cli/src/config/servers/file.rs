//! The syntax of the file: the `mcpServers` object of MCP clients.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, Error as _, IgnoredAny, MapAccess, SeqAccess},
};

use super::ServerName;
use crate::config::{options::Options, text::Text};

/// Maximum number of servers.
const SERVERS_MAX: usize = 256;

/// A file. Keys that clients keep beside `mcpServers` are ignored.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServersFile {
    #[serde(rename = "mcpServers")]
    pub(super) servers: Entries,
    /// Options for all servers of the file.
    #[serde(default)]
    pub(super) rejoin: Options,
    #[serde(rename = "$schema")]
    _schema: Option<IgnoredAny>,
    #[serde(rename = "globalShortcut")]
    _global_shortcut: Option<IgnoredAny>,
    #[serde(rename = "preferences")]
    _preferences: Option<IgnoredAny>,
}

/// The servers, in the order of the file.
pub(super) struct Entries(pub(super) Vec<(ServerName, Entry)>);

/// A server. Keys by which clients describe how they show or use it are ignored.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) command: Option<String>,
    pub(super) args: Option<Args>,
    pub(super) env: Option<Variables>,
    pub(super) cwd: Option<String>,
    /// Of a remote server. Clients use several names.
    #[serde(alias = "serverUrl", alias = "httpUrl", alias = "baseUrl")]
    pub(super) url: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) disabled: bool,
    pub(super) enabled: Option<bool>,
    /// Options for this server.
    #[serde(default)]
    pub(super) rejoin: Options,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) transport: Option<String>,
    #[serde(rename = "transportType")]
    pub(super) transport_type: Option<String>,
    #[serde(rename = "autoApprove")]
    _auto_approve: Option<IgnoredAny>,
    #[serde(rename = "alwaysAllow")]
    _always_allow: Option<IgnoredAny>,
    #[serde(rename = "timeout")]
    _timeout: Option<IgnoredAny>,
    #[serde(rename = "name")]
    _name: Option<IgnoredAny>,
    #[serde(rename = "description")]
    _description: Option<IgnoredAny>,
    #[serde(rename = "icon")]
    _icon: Option<IgnoredAny>,
    #[serde(rename = "gallery")]
    _gallery: Option<IgnoredAny>,
}

/// The arguments of a command. Its errors have no values, which may be secret.
pub(super) struct Args(pub(super) Vec<String>);

/// Environment variables. Its errors have no values, which may be secret.
pub(super) struct Variables(pub(super) Vec<(String, String)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a key for each server")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries: Vec<(ServerName, Entry)> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    let name: ServerName = name.parse().map_err(A::Error::custom)?;
                    if entries.iter().any(|(other, _)| *other == name) {
                        return Err(A::Error::custom(format!(
                            "the server `{name}` is there twice"
                        )));
                    }
                    if entries.len() == SERVERS_MAX {
                        return Err(A::Error::custom(format!("more than {SERVERS_MAX} servers")));
                    }
                    // Its position is a part of the text, which serde_json finds again.
                    let entry = map.next_value().map_err(|error| in_server(&name, &error))?;
                    entries.push((name, entry));
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

fn in_server<E: de::Error>(name: &ServerName, error: &E) -> E {
    E::custom(format!("server `{name}`: {error}"))
}

impl<'de> Deserialize<'de> for Args {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Args;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of strings as `args`")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Args, E> {
                Err(E::custom("`args` must be an array of strings, not one string"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Args, A::Error> {
                let mut args = Vec::new();
                while let Some(Text(text)) = seq.next_element()? {
                    args.push(text);
                }
                Ok(Args(args))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for Variables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Variables;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings as `env`")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Variables, E> {
                Err(E::custom("`env` must be an object of strings, not one string"))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Variables, A::Error> {
                let mut variables: Vec<(String, String)> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name.is_empty() || name.contains(['=', '\0']) {
                        let error = format!("`env`: {name:?} is not a name of a variable");
                        return Err(A::Error::custom(error));
                    }
                    if variables.iter().any(|(other, _)| *other == name) {
                        return Err(A::Error::custom(format!("`env`: `{name}` is there twice")));
                    }
                    let Text(value) = map.next_value()?;
                    variables.push((name, value));
                }
                Ok(Variables(variables))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
