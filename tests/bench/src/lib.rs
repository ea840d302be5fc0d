//! What the figures of a run look like: a table, and a picture of six ratios.
//!
//! Both are made of the JSON that a run writes, so that a test can make them again from
//! the run that is kept in this folder.

pub mod picture;
pub mod table;

/// Writes a number with three digits that count, or all that stand before the point.
#[must_use]
pub fn format_number(number: f64) -> String {
    let size = number.abs();
    if size >= 100.0 {
        let digits = format!("{number:.0}");
        return group_thousands(&digits);
    }
    if size >= 10.0 {
        format!("{number:.1}")
    } else if size >= 0.1 {
        format!("{number:.2}")
    } else {
        format!("{number:.3}")
    }
}

fn group_thousands(digits: &str) -> String {
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        let left = digits.len() - place;
        if place > 0 && left.is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let numbers = [1_234_567.0, 999.6, 12.34, 1.234, 0.0123, -1_234.0];
        let said = ["1,234,567", "1,000", "12.3", "1.23", "0.012", "-1,234"];
        assert_eq!(numbers.map(format_number), said);
    }
}
