//! The ratios as a picture: one bar each, on a scale where every step is a doubling.

use std::fmt::Write as _;

use super::{Ratio, numbers::short};

const ROW: f64 = 22.0;
const LEFT: f64 = 600.0;
const PLOT: f64 = 380.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 56.0;

/// Draws the ratios that are to be drawn.
pub(super) fn draw(ratios: &[Ratio]) -> String {
    let is_shown = |ratio: &&Ratio| ratio.is_drawn && ratio.summary.median.is_normal();
    let shown: Vec<&Ratio> = ratios.iter().filter(is_shown).collect();
    let logs = || shown.iter().map(|ratio| ratio.summary.median.log2());
    let low = logs().fold(-1.0, f64::min).floor();
    let high = logs().fold(1.0, f64::max).ceil();
    let scale = Scale { low, step: PLOT / (high - low) };
    let width = LEFT + PLOT + RIGHT;
    let height = TOP + ROW * shown.len() as f64 + 16.0;
    let mut out = String::new();
    // Writing to memory does not fail.
    let _ = writeln!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="system-ui, sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="16" y="24" font-size="16" font-weight="600" fill="#1f2328">How many times better rejoin is</text>
<text x="16" y="42" fill="#59636e">beside rmcp (blue), bare hyper (grey) and other gateways (green); the line is 1, each step a doubling</text>"##
    );
    grid(&scale, high, height, &mut out);
    for (place, ratio) in shown.into_iter().enumerate() {
        bar(&scale, ratio, TOP + ROW * place as f64, &mut out);
    }
    out.push_str("</svg>\n");
    out
}

/// Where a ratio stands.
struct Scale {
    low: f64,
    step: f64,
}

impl Scale {
    fn x(&self, ratio: f64) -> f64 {
        LEFT + (ratio.log2() - self.low) * self.step
    }
}

fn grid(scale: &Scale, high: f64, height: f64, out: &mut String) {
    let mut power = scale.low;
    while power <= high {
        let x = scale.x(power.exp2());
        let color = if power == 0.0 { "#1f2328" } else { "#d1d9e0" };
        let bottom = height - 12.0;
        let _ = writeln!(
            out,
            r#"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{bottom}" stroke="{color}"/>"#
        );
        power += 1.0;
    }
}

fn bar(scale: &Scale, ratio: &Ratio, y: f64, out: &mut String) {
    let (one, x) = (scale.x(1.0), scale.x(ratio.summary.median));
    let (left, width) = (one.min(x), (one - x).abs().max(1.0));
    let (bar_y, text_y, color) = (y + 4.0, y + 15.0, color(&ratio.against));
    let (label_x, value_x) = (LEFT - 10.0, one.max(x) + 6.0);
    let Ratio { work, metric, of, against, .. } = ratio;
    let label = escaped(&format!("{work}: {} ({of} beside {against})", metric.name));
    let value = short(ratio.summary.median);
    let _ = writeln!(
        out,
        r##"<text x="{label_x}" y="{text_y}" text-anchor="end" fill="#1f2328">{label}</text>
<rect x="{left:.1}" y="{bar_y}" width="{width:.1}" height="14" fill="{color}"/>
<text x="{value_x:.1}" y="{text_y}" fill="#1f2328">{value}×</text>"##
    );
}

fn color(against: &str) -> &'static str {
    if against.starts_with("rmcp") {
        "#4c8dd6"
    } else if against.starts_with("limit") {
        "#8c959f"
    } else {
        "#57ab5a"
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
