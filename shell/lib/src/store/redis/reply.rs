//! Replies of the server.

use bytes::Bytes;
use redis::{ErrorKind, FromRedisValue, RedisError, Value};
use rejoin_core::cluster::EntryId;

use super::{
    super::{Entry, Outcome},
    FIELD,
};

/// Returns what became of an entry. The server answers with its id, or with nothing if there is no
/// such log.
pub(super) fn outcome_of_append(
    appended: Result<Value, RedisError>,
) -> Result<Outcome, RedisError> {
    match appended {
        Ok(Value::Nil) => Ok(Outcome::Missing),
        Ok(_) => Ok(Outcome::Written),
        Err(error) if is_no_log(&error) => Ok(Outcome::Refused),
        Err(error) => refusal(&error).ok_or(error),
    }
}

/// Returns why the server has refused an entry: its id is not higher than that of the last one (an
/// error without a code of its own, which only the text tells), or the server is out of memory.
pub(super) fn refusal(error: &RedisError) -> Option<Outcome> {
    let errors = error.clone().into_server_errors()?;
    errors.iter().find_map(|(_, error)| {
        if error.code() == "OOM" {
            return Some(Outcome::Full);
        }
        let is_not_higher = |text: &str| text.contains("equal or smaller than the target stream");
        error.details().is_some_and(is_not_higher).then_some(Outcome::Refused)
    })
}

/// Returns whether the key of a session has another type than a log: another program has written it.
fn is_no_log(error: &RedisError) -> bool {
    let errors = error.clone().into_server_errors();
    errors.is_some_and(|errors| errors.iter().any(|(_, error)| error.code() == "WRONGTYPE"))
}

pub(super) fn invalid(what: &'static str) -> RedisError {
    RedisError::from((
        ErrorKind::UnexpectedReturnType,
        "the store returned an invalid value",
        what.to_owned(),
    ))
}

/// Returns the entries of a log. A key of another type is read as a log with one unreadable entry, which
/// has the highest id, so that it affects one session only.
pub(super) fn entries(range: Result<Entries, RedisError>) -> Result<Vec<Entry>, RedisError> {
    match range {
        Ok(Entries(entries)) => Ok(entries),
        Err(error) if is_no_log(&error) => {
            let id = EntryId { epoch: u64::MAX, number: u64::MAX };
            Ok(vec![Entry { id, bytes: Bytes::new() }])
        }
        Err(error) => Err(error),
    }
}

/// Entries as `XRANGE` returns them. One that this program has not written has no bytes.
pub(super) struct Entries(Vec<Entry>);

/// The names and values of an entry.
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

impl FromRedisValue for Entries {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let entries: Vec<(String, Fields)> = redis::from_redis_value(value)?;
        let entries = entries.into_iter().map(|(id, fields)| {
            let id = id.parse().map_err(|_| "not an id of an entry".to_owned())?;
            let field = fields.into_iter().find(|(name, _)| name == FIELD.as_bytes());
            Ok(Entry { id, bytes: field.map_or_else(Bytes::new, |(_, bytes)| bytes.into()) })
        });
        let entries: Result<_, String> = entries.collect();
        entries.map(Self).map_err(Into::into)
    }
}
