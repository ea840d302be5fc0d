//! The run that is kept: the picture and the table are made of its figures.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rejoin_bench::{picture, table};
use serde_json::Value;

fn figures() -> Value {
    serde_json::from_str(include_str!("../figures.json")).unwrap()
}

#[test]
fn the_picture_shows_six_ratios_of_the_figures() {
    let picture = picture::draw(&figures()).unwrap();
    assert_eq!(picture, include_str!("../ratios.svg"));
    assert_eq!(picture.matches("<rect x=").count(), 6);
}

#[test]
fn the_table_has_all_of_the_figures() {
    assert_eq!(table::write(&figures()), include_str!("../figures.md"));
}

#[test]
fn a_ratio_that_was_not_measured_is_named() {
    let missing = picture::draw(&Value::Null).unwrap_err();
    assert!(missing.contains("supergateway"), "{missing}");
}
