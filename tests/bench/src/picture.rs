//! Six ratios as a picture: one bar each, on a scale where every step is a doubling.

use std::fmt::Write as _;

use serde_json::Value;

use crate::format_number;

/// A ratio that the picture shows.
struct Bar {
    label: &'static str,
    workload: &'static str,
    metric: &'static str,
    subject: &'static str,
    baseline: &'static str,
}

/// What a user meets first: a gateway, a service behind HTTP, and where rejoin is worse. Where
/// both load generators measure it, the picture shows what `wrk` says.
const BARS: [Bar; 6] = [
    Bar {
        label: "gateway, 1 session, calls per second: beside supergateway (npm)",
        workload: "gateway echo, 1 sessions",
        metric: "throughput",
        subject: "rejoin serve",
        baseline: "supergateway (npm)",
    },
    Bar {
        label: "gateway, 16 sessions, calls per second: beside mcp-proxy (crate)",
        workload: "gateway echo, 16 sessions, by wrk",
        metric: "throughput",
        subject: "rejoin serve",
        baseline: "mcp-proxy (crate)",
    },
    Bar {
        label: "HTTP, 16 connections, calls per second: beside rmcp, same service",
        workload: "echo, 16 connections, by wrk",
        metric: "throughput",
        subject: "rejoin + rmcp service",
        baseline: "rmcp",
    },
    Bar {
        label: "HTTP, 16 connections, calls per second: beside tower-mcp",
        workload: "echo, 16 connections, by wrk",
        metric: "throughput",
        subject: "rejoin",
        baseline: "tower-mcp",
    },
    Bar {
        label: "HTTP, 16 connections, calls per second: beside bare hyper",
        workload: "echo, 16 connections",
        metric: "throughput",
        subject: "rejoin",
        baseline: "limit, two parts",
    },
    Bar {
        label: "peak memory after all calls over HTTP: beside rmcp, same service",
        workload: "after all echoes",
        metric: "peak memory",
        subject: "rejoin + rmcp service",
        baseline: "rmcp",
    },
];

const ROW: f64 = 26.0;
const LEFT: f64 = 440.0;
const PLOT: f64 = 320.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 60.0;

/// Draws the bars.
///
/// # Errors
///
/// Which of the ratios was not measured.
pub fn draw(figures: &Value) -> Result<String, String> {
    let ratios = BARS.iter().map(|bar| Ok((bar.label, ratio(figures, bar)?)));
    let ratios = ratios.collect::<Result<Vec<_>, String>>()?;
    let logs = || ratios.iter().map(|(_, ratio)| ratio.log2());
    let low = logs().fold(-1.0, f64::min).floor();
    let high = logs().fold(1.0, f64::max).ceil();
    let scale = Scale { low, step: PLOT / (high - low) };
    let (width, height) = (LEFT + PLOT + RIGHT, TOP + ROW * 6.0 + 16.0);
    let mut out = String::new();
    // Writing to memory does not fail.
    let _ = writeln!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="system-ui, sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="16" y="24" font-size="16" font-weight="600" fill="#1f2328">Six ratios of one benchmark run</text>
<text x="16" y="42" fill="#59636e">Right of the line rejoin is better, left of it worse. Each step is a doubling.</text>"##
    );
    grid(&scale, high, height, &mut out);
    let mut y = TOP;
    for (label, ratio) in ratios {
        draw_bar(&scale, label, ratio, y, &mut out);
        y += ROW;
    }
    out.push_str("</svg>\n");
    Ok(out)
}

fn ratio(figures: &Value, bar: &Bar) -> Result<f64, String> {
    let Bar { workload: work, metric: what, subject: who, baseline: than, .. } = bar;
    let ratios = figures["ratios"].as_array().into_iter().flatten();
    let is_it = |ratio: &&Value| {
        ratio["work"] == *work
            && ratio["what"] == *what
            && ratio["who"] == *who
            && ratio["than"] == *than
    };
    let median = |ratio: &Value| ratio.pointer("/times_better/median")?.as_f64();
    let median = ratios.filter(is_it).find_map(median);
    median.ok_or_else(|| format!("{work}: {what} of {who} beside {than} was not measured"))
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
        let (bottom, label_y) = (height - 12.0, TOP - 4.0);
        let label = tick_label(power);
        let _ = writeln!(
            out,
            r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{bottom}" stroke="{color}"/>
<text x="{x:.1}" y="{label_y}" text-anchor="middle" font-size="10" fill="#59636e">{label}</text>"##
        );
        power += 1.0;
    }
}

fn tick_label(power: f64) -> String {
    if power < 0.0 { format!("1/{}", (-power).exp2()) } else { format!("{}", power.exp2()) }
}

fn draw_bar(scale: &Scale, label: &str, ratio: f64, y: f64, out: &mut String) {
    let (one, x) = (scale.x(1.0), scale.x(ratio));
    let (left, width) = (one.min(x), (one - x).abs().max(1.0));
    let color = if ratio < 1.0 { "#d4703f" } else { "#4c8dd6" };
    let (bar_y, text_y, label_x, value_x) = (y + 6.0, y + 17.0, LEFT - 10.0, one.max(x) + 6.0);
    let value = format_number(ratio);
    let _ = writeln!(
        out,
        r##"<text x="{label_x}" y="{text_y}" text-anchor="end" fill="#1f2328">{label}</text>
<rect x="{left:.1}" y="{bar_y}" width="{width:.1}" height="14" fill="{color}"/>
<text x="{value_x:.1}" y="{text_y}" fill="#1f2328">{value}×</text>"##
    );
}
