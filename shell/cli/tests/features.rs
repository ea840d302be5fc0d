//! The table of features names a test for each that rejoin has.

use std::{fs, path::Path};

#[test]
fn every_feature_of_rejoin_has_a_test() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let page = fs::read_to_string(docs.join("features.md")).unwrap();
    let rows: Vec<Vec<_>> = page
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let (heading, rows) = rows.split_first().unwrap();
    let mut tests = 0;
    for row in rows {
        let (feature, rejoin, links) = (row[0], row[1], row[row.len() - 1]);
        assert_eq!(row.len(), heading.len(), "{feature}");
        assert!(!rejoin.starts_with('●') || !links.is_empty(), "{feature} has no test");
        // Links in Markdown: [`name`](path).
        for link in links.split("; ").filter(|link| !link.is_empty()) {
            let (name, path) = link.split_once("`](").unwrap();
            let (name, path) = (name.trim_start_matches("[`"), path.trim_end_matches(')'));
            let code = fs::read_to_string(docs.join(path)).unwrap_or_default();
            assert!(code.contains(&format!("fn {name}(")), "{feature}: {path} has no test {name}");
            tests += 1;
        }
    }
    assert!(tests > rows.len() / 2, "{tests}");
}
