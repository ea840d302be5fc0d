//! The page that draws timelines: plain HTML, SVG and JavaScript, in one file.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
/// In the order in which they need each other.
const SCRIPTS: [&str; 6] = [
    include_str!("page/dom.js"),
    include_str!("page/words.js"),
    include_str!("page/history.js"),
    include_str!("page/picture.js"),
    include_str!("page/session.js"),
    include_str!("page/main.js"),
];

/// The page, and what a browser may do for it.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) html: String,
    /// The value of the header `content-security-policy`.
    pub(crate) policy: String,
}

/// Returns the page that gets its data from the listener for operators.
pub(crate) fn live_page() -> Page {
    page(&Value::Null, "connect-src 'self'; form-action 'none'; frame-ancestors 'none'")
}

impl Page {
    /// Returns the page of a recorded session, which needs nothing else.
    pub(crate) fn recorded(data: &Value) -> Self {
        page(data, "form-action 'none'")
    }
}

fn page(data: &Value, directives: &str) -> Page {
    let script = SCRIPTS.join("\n");
    let policy = format!(
        "default-src 'none'; base-uri 'none'; script-src {}; style-src {}; {directives}",
        hash(&script),
        hash(STYLE),
    );
    // A browser ignores `frame-ancestors` here: it is only in the header.
    let in_html = policy.replace("; frame-ancestors 'none'", "");
    let html = HTML
        .replace("{policy}", &in_html)
        .replace("{style}", STYLE)
        .replace("{script}", &script)
        .replace("{data}", &embedded(data));
    Page { html, policy }
}

/// Returns JSON that is safe in a `script` element: names come from clients.
fn embedded(data: &Value) -> String {
    let text = data.to_string();
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => safe.push_str("\\u003c"),
            '>' => safe.push_str("\\u003e"),
            '&' => safe.push_str("\\u0026"),
            '\u{2028}' => safe.push_str("\\u2028"),
            '\u{2029}' => safe.push_str("\\u2029"),
            other => safe.push(other),
        }
    }
    safe
}

fn hash(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_cannot_end_its_element() {
        let name = "</script><script>alert(1)</script><!-- & \u{2028}";
        let page = Page::recorded(&json!({ "name": name })).html;
        let marker = "<script type=\"application/json\" id=\"data\">";
        let (_, data) = page.split_once(marker).unwrap();
        let (data, _) = data.split_once("</script>").unwrap();
        assert_eq!(serde_json::from_str::<Value>(data).unwrap()["name"], name);
        assert!(!data.contains(['<', '>', '&', '\u{2028}']), "{data}");
    }

    #[test]
    fn the_policy_allows_the_script_and_the_style_and_nothing_else() {
        let Page { html, policy } = live_page();
        let between = |open: &str, close: &str| {
            html.split_once(open).unwrap().1.split_once(close).unwrap().0.to_owned()
        };
        for (open, close) in [("<style>", "</style>"), ("<script>", "</script>")] {
            assert!(policy.contains(&hash(&between(open, close))), "{open}");
        }
        assert!(policy.starts_with("default-src 'none'"));
        assert!(!policy.contains("unsafe"));
        // In XML, a name in braces would have been left.
        assert!(!html.contains("{policy}") && !html.contains("{data}"));
    }
}
