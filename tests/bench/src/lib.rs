//! Rendering of benchmark results: tables in Markdown, and a chart of six ratios.
//!
//! Both are generated from the JSON that a run writes, so that a test can generate them again
//! from the results in this directory.

pub mod picture;
pub mod table;

/// Formats a number with three significant digits, or with all its integer digits.
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
    fn numbers_are_rounded_to_three_significant_digits() {
        let numbers = [1_234_567.0, 999.6, 12.34, 1.234, 0.0123, -1_234.0];
        let formatted = ["1,234,567", "1,000", "12.3", "1.23", "0.012", "-1,234"];
        assert_eq!(numbers.map(format_number), formatted);
    }
}
