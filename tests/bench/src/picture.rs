//! Bar chart of six ratios, on a logarithmic scale.

use std::fmt::Write as _;

use serde_json::Value;

use crate::format_number;

/// A ratio that the chart shows.
struct Bar {
    label: &'static str,
    workload: &'static str,
    metric: &'static str,
    subject: &'static str,
    baseline: &'static str,
}

/// The gateway and the HTTP service, which users see first, and two ratios in which rejoin is
/// worse. If both load generators measure a workload, the chart shows the result of `wrk`.
const BARS: [Bar; 6] = [
    Bar {
        label: "gateway, 1 session, requests per second vs. supergateway (npm)",
        workload: "gateway echo, 1 session",
        metric: "throughput",
        subject: "rejoin serve",
        baseline: "supergateway (npm)",
    },
    Bar {
        label: "gateway, 16 sessions, requests per second vs. mcp-proxy (crate)",
        workload: "gateway echo, 16 sessions, by wrk",
        metric: "throughput",
        subject: "rejoin serve",
        baseline: "mcp-proxy (crate)",
    },
    Bar {
        label: "HTTP, 16 connections, requests per second vs. rmcp, same service",
        workload: "echo, 16 connections, by wrk",
        metric: "throughput",
        subject: "rejoin + rmcp service",
        baseline: "rmcp",
    },
    Bar {
        label: "HTTP, 16 connections, requests per second vs. tower-mcp",
        workload: "echo, 16 connections, by wrk",
        metric: "throughput",
        subject: "rejoin",
        baseline: "tower-mcp",
    },
    Bar {
        label: "HTTP, 16 connections, requests per second vs. bare hyper",
        workload: "echo, 16 connections",
        metric: "throughput",
        subject: "rejoin",
        baseline: "bare hyper, two parts",
    },
    Bar {
        label: "peak memory after all HTTP requests vs. rmcp, same service",
        workload: "after all echo runs",
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
/// Names the ratio that was not measured.
pub fn draw(figures: &Value) -> Result<String, String> {
    let ratios = BARS.iter().map(|bar| Ok((bar.label, ratio(figures, bar)?)));
    let ratios = ratios.collect::<Result<Vec<_>, String>>()?;
    let logs = || ratios.iter().map(|(_, ratio)| ratio.log2());
    let low = logs().fold(-1.0, f64::min).floor();
    let high = logs().fold(1.0, f64::max).ceil();
    let scale = Scale { low, step: PLOT / (high - low) };
    let (width, height) = (LEFT + PLOT + RIGHT, TOP + ROW * 6.0 + 16.0);
    let mut out = String::new();
    // Writing to a `String` does not fail.
    let _ = writeln!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="system-ui, sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="16" y="24" font-size="16" font-weight="600" fill="#1f2328">rejoin compared with other servers and gateways</text>
<text x="16" y="42" fill="#59636e">Right of 1 rejoin is better, left of 1 it is worse. Logarithmic scale.</text>"##
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
    let Bar { workload, metric, subject, baseline, .. } = bar;
    let ratios = figures["ratios"].as_array().into_iter().flatten();
    let matches = |ratio: &&Value| {
        ratio["workload"] == *workload
            && ratio["metric"] == *metric
            && ratio["subject"] == *subject
            && ratio["baseline"] == *baseline
    };
    let median = |ratio: &Value| ratio.pointer("/improvement/median")?.as_f64();
    let median = ratios.filter(matches).find_map(median);
    median
        .ok_or_else(|| format!("{workload}: {metric} of {subject} vs. {baseline} was not measured"))
}

/// The horizontal position of a ratio.
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
