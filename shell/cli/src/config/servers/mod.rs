//! Several servers, from the file that MCP clients have: `mcpServers`, with a key `rejoin` for
//! options.

mod file;
mod name;
mod scope;
#[cfg(test)]
mod tests;
mod variables;

use std::{fs::File, io::Read as _, path::Path};

use anyhow::{Context as _, bail, ensure};

pub(crate) use self::name::ServerName;
use self::{
    file::{Args, Entry, ServersFile, Variables},
    variables::Lookup,
};
use super::{ProgramConfig, values::EnvVariable};

/// A server of the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NamedServer {
    pub(crate) name: ServerName,
    /// That of the program, with what the file says about this server.
    pub(crate) config: ProgramConfig,
}

/// Maximum size of the file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads the servers of a file that are not disabled, by name. `program` is the configuration that
/// they have in common.
///
/// # Errors
///
/// The user is at fault. The error names the file, and the line or the server.
pub(crate) fn read(file: &Path, program: &ProgramConfig) -> anyhow::Result<Vec<NamedServer>> {
    let read = || parse(&read_text(file)?, program, &variables::of_process);
    read().with_context(|| file.display().to_string())
}

fn read_text(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= FILE_BYTES_MAX, "larger than {FILE_BYTES_MAX} bytes");
    Ok(text)
}

fn parse(
    text: &str,
    program: &ProgramConfig,
    lookup: Lookup<'_>,
) -> anyhow::Result<Vec<NamedServer>> {
    let ServersFile { servers, rejoin: common, .. } = serde_json::from_str(text)?;
    scope::check(&common)?;
    let mut program = program.clone();
    common.apply(&mut program);
    let mut resolved = Vec::new();
    for (name, entry) in servers.0 {
        if entry.disabled || entry.enabled == Some(false) {
            continue;
        }
        let config =
            resolve(entry, &program, lookup).with_context(|| format!("server `{name}`"))?;
        resolved.push(NamedServer { name, config });
    }
    ensure!(!resolved.is_empty(), "`mcpServers` has no server that is enabled");
    resolved.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(resolved)
}

fn resolve(
    entry: Entry,
    program: &ProgramConfig,
    lookup: Lookup<'_>,
) -> anyhow::Result<ProgramConfig> {
    ensure!(
        entry.url.is_none(),
        "it is remote (`url`), but only servers with a `command` can be served"
    );
    for kind in [&entry.kind, &entry.transport, &entry.transport_type].into_iter().flatten() {
        ensure!(kind == "stdio", "its type is {kind:?}, but only `stdio` can be served");
    }
    let replace = |key: &str, text: &str| {
        variables::replace(text, lookup).with_context(|| format!("`{key}`"))
    };
    let Some(command) = entry.command else { bail!("`command` is missing") };
    let command = replace("command", &command)?;
    ensure!(!command.is_empty(), "`command` is empty");
    let mut config = ProgramConfig { servers: None, command: vec![command], ..program.clone() };
    for arg in entry.args.into_iter().flat_map(|Args(args)| args) {
        config.command.push(replace("args", &arg)?);
    }
    for (name, value) in entry.env.into_iter().flat_map(|Variables(variables)| variables) {
        let value = replace(&format!("env.{name}"), &value)?;
        config.env.push(EnvVariable::set(name, value));
    }
    if let Some(cwd) = entry.cwd {
        config.cwd = replace("cwd", &cwd)?.into();
    }
    ensure!(config.cwd.is_dir(), "`cwd`: `{}` is not a directory", config.cwd.display());
    scope::check(&entry.rejoin)?;
    entry.rejoin.apply(&mut config);
    config.check()?;
    Ok(config)
}
