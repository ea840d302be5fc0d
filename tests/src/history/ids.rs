//! Ids, tokens and sizes, from small pools, so that they are reused.

use rejoin_core::{EVENT_OVERHEAD_BYTES, ProgressToken, RequestId};

/// Number of ids in a pool; more are counted from there.
const POOL: u64 = 48;

/// Returns the `n`th id: integers and strings alternate, each pair with the same digits.
pub(super) fn request_id(n: u64) -> RequestId {
    let number = i64::try_from(n / 2).unwrap_or(i64::MAX);
    if n.is_multiple_of(2) {
        return number.into();
    }
    RequestId::try_from(number.to_string().as_str()).unwrap_or(number.into())
}

/// Returns the `n`th token: integers and strings alternate, as for ids.
pub(super) fn progress_token(n: u64) -> ProgressToken {
    let number = i64::try_from(n / 2).unwrap_or(i64::MAX);
    if n.is_multiple_of(2) {
        return number.into();
    }
    ProgressToken::try_from(number.to_string().as_str()).unwrap_or(number.into())
}

/// Returns the first free id of the pool, from the selected one on, or one beyond the pool.
pub(super) fn free(which: u8, fresh: u64, is_free: impl Fn(u64) -> bool) -> u64 {
    let first = u64::from(which) % POOL;
    let in_pool = (first..POOL).chain(0..first).find(|n| is_free(*n));
    in_pool.unwrap_or(POOL + fresh)
}

/// Returns the selected item.
pub(super) fn pick<T>(items: &[T], selector: u8) -> Option<&T> {
    let at = usize::from(selector).checked_rem(items.len())?;
    items.get(at)
}

/// Returns a size in bytes up to `max`, often near one of the limits.
pub(super) fn size(selector: u8, max: usize, limits: [usize; 3]) -> usize {
    let wide = usize::from(selector);
    let [stream, session, message] = limits;
    let size = match selector {
        0..=99 => wide,
        100..=149 => 0,
        150..=189 => 10 * wide,
        190..=209 => stream / 3,
        210..=219 => stream.saturating_sub(EVENT_OVERHEAD_BYTES),
        220..=223 => (stream + 1).saturating_sub(EVENT_OVERHEAD_BYTES),
        224..=235 => session / 3,
        236..=240 => session.saturating_sub(EVENT_OVERHEAD_BYTES),
        241..=249 => message / 2,
        250..=255 => message,
    };
    size.min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_in_pairs_of_integer_and_text() {
        assert_eq!(request_id(4), 2.into());
        assert_eq!(request_id(5), RequestId::try_from("2").unwrap());
    }

    #[test]
    fn a_free_id_is_found_if_any_is_left() {
        assert_eq!(free(3, 0, |n| n > 5), 6);
        assert_eq!(free(3, 0, |n| n < 2), 0);
        assert_eq!(free(3, 7, |_| false), 48 + 7);
    }
}
