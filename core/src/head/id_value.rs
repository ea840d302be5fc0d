//! Parser for the JSON value of an id or a progress token.

use alloc::string::String;

use super::MessageFault;
use crate::{ID_BYTES_MAX, IdTooLong, IdValue};

/// Maximum magnitude of an integer that is written with a fraction or an exponent: 2^53.
/// Up to there, a peer that parses it as a 64-bit float gets the exact value.
const FLOAT_MAX: i64 = 1 << 53;

/// Maximum bytes of JSON per byte of text: `A` may be written as `\u0041`.
const ESCAPE_BYTES_MAX: usize = 6;

/// Parses an id or a progress token from a JSON value. `member` is its name in a fault.
pub(super) fn parse_id(json: &str, member: &'static str) -> Result<IdValue, MessageFault> {
    if let Ok(integer) = json.parse() {
        return Ok(IdValue::Integer(integer));
    }
    let string = json.strip_prefix('"').and_then(|json| json.strip_suffix('"'));
    let Some(string) = string else {
        let integer = parse_integer(json).ok_or(MessageFault::InvalidId { member })?;
        return Ok(IdValue::Integer(integer));
    };
    let too_long = |IdTooLong| MessageFault::IdTooLong { member };
    if string.len() > ESCAPE_BYTES_MAX * ID_BYTES_MAX {
        return Err(too_long(IdTooLong));
    }
    if string.as_bytes().contains(&b'\\') {
        let string: String =
            serde_json::from_str(json).map_err(|_| MessageFault::NotUnicode { member })?;
        return string.as_str().try_into().map_err(too_long);
    }
    string.try_into().map_err(too_long)
}

/// Parses an integer that is written with a fraction or an exponent.
///
/// Digit by digit, since a float would round.
fn parse_integer(json: &str) -> Option<i64> {
    let (number, exponent) = json.split_once(['e', 'E']).unwrap_or((json, "0"));
    let magnitude = number.strip_prefix('-').unwrap_or(number);
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let mut integer = 0_i64;
    let mut zeros = 0_usize;
    for byte in whole.bytes().chain(fraction.bytes()) {
        match byte {
            b'0' if integer == 0 => {}
            b'0' => zeros += 1,
            b'1'..=b'9' => {
                integer =
                    times_power_of_ten(integer, zeros + 1)?.checked_add(i64::from(byte - b'0'))?;
                zeros = 0;
            }
            _ => return None,
        }
    }
    if integer == 0 {
        return Some(0);
    }
    let exponent = exponent.parse::<isize>().ok()?;
    let exponent = exponent.checked_add_unsigned(zeros)?.checked_sub_unsigned(fraction.len())?;
    let integer = times_power_of_ten(integer, usize::try_from(exponent).ok()?)?;
    let integer = (integer <= FLOAT_MAX).then_some(integer)?;
    Some(if number == magnitude { integer } else { -integer })
}

/// Multiplies an integer by a power of ten.
fn times_power_of_ten(integer: i64, exponent: usize) -> Option<i64> {
    let power = 10_i64.checked_pow(u32::try_from(exponent).ok()?)?;
    integer.checked_mul(power)
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    const NOT_ID: MessageFault = MessageFault::InvalidId { member: "id" };
    const TOO_LONG: MessageFault = MessageFault::IdTooLong { member: "id" };

    fn check(json: &str, expected: &Result<IdValue, MessageFault>) {
        assert_eq!(&parse_id(json, "id"), expected, "{json}");
    }

    #[test]
    fn integers_in_any_notation_are_ids() {
        for (json, integer) in [
            ("0", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("1", 1),
            ("1.0", 1),
            ("1e2", 100),
            ("1E+2", 100),
            ("-12.5e1", -125),
            ("1000e-3", 1),
            ("0.00120e5", 120),
            ("10203e0", 10_203),
            ("0e999999999999999999999", 0),
            ("9007199254740993", (1 << 53) + 1),
            ("9007199254740992.0", 1 << 53),
            ("-9007199254740992e0", -(1 << 53)),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            check(json, &Ok(IdValue::Integer(integer)));
        }
    }

    #[test]
    fn other_values_are_not_ids() {
        for json in [
            "0.5",
            "0.99999999999999999999",
            "9007199254740992.5",
            "1e999999999999999999999",
            "1e-9223372036854775808",
            "1e-1",
            "1e-400",
            "1e16",
            "1e999",
            "-9007199254740994.0",
            "9223372036854775808",
            "-9223372036854775809",
            "true",
            "false",
            "null",
            "{}",
            "[1]",
            r#"["e"]"#,
            r#"{"id":"e"}"#,
        ] {
            check(json, &Err(NOT_ID));
        }
        check(&"1".repeat(1_000_000), &Err(NOT_ID));
        check(&format!("1.{}", "0".repeat(1_000_000)), &Ok(IdValue::Integer(1)));
    }

    #[test]
    fn strings_up_to_256_bytes_are_ids() {
        let text = |text: &str| Ok(text.try_into().unwrap());
        check(r#""""#, &text(""));
        check(r#""a-1""#, &text("a-1"));
        check(r#""\u0061\n\"\ud83d\ude00é""#, &text("a\n\"\u{1f600}é"));
        check(&format!("\"{}\"", "x".repeat(256)), &text(&"x".repeat(256)));
        check(&format!("\"{}\"", "\\u0078".repeat(256)), &text(&"x".repeat(256)));
        check(&format!("\"{}\"", "x".repeat(257)), &Err(TOO_LONG));
        check(&format!("\"{}\"", "é".repeat(129)), &Err(TOO_LONG));
        check(&format!("\"{}\"", "\\n".repeat(257)), &Err(TOO_LONG));
        check(&format!("\"{}\"", "\\u0078".repeat(257)), &Err(TOO_LONG));
        check(r#""\ud800""#, &Err(MessageFault::NotUnicode { member: "id" }));
    }
}
