//! Benchmark of rejoin, compared with the crate `rmcp`, a minimal hyper service that sends the
//! same bytes, and other gateways.
//!
//! `cargo run --release -p rejoin-bench --features run` runs everything, `--quick` a shorter
//! version. Subjects are measured in the same run, in interleaved rounds, so that ratios are
//! reproducible even if absolute figures are not.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and rounds numbers"
)]

mod backend;
mod busy;
mod cluster;
mod drop_in;
mod gateway;
mod idle;
mod layer;
mod load;
mod measure;
mod message;
mod options;
mod process;
mod report;
mod server;
mod service;
mod tls;
mod workloads;

use anyhow::Result;
use clap::Parser as _;

use crate::{
    options::{Options, Role, Section, Sizing},
    report::Report,
};

fn main() -> Result<()> {
    let options = Options::parse();
    rlimit::increase_nofile_limit(20_000)?;
    match options.role {
        Some(Role::Serve { kind, text, tls }) => server::serve(kind, &text, tls.as_deref()),
        Some(Role::Hold { layer, count, timeout }) => idle::hold_sessions(layer, count, timeout),
        Some(Role::Busy { layer, sessions, calls }) => busy::keep_busy(layer, sessions, calls),
        Some(Role::Stdio) => gateway::stdio(),
        None => measure_all(&options),
    }
}

fn measure_all(options: &Options) -> Result<()> {
    let sizing = if options.quick { Sizing::QUICK } else { Sizing::FULL };
    let mut report = Report::default();
    let is_wanted = |section| options.only.is_empty() || options.only.contains(&section);
    report::print_header();
    if is_wanted(Section::Sessions) {
        report::print_section("sessions, in this process");
        workloads::run(&sizing, &mut report)?;
    }
    if is_wanted(Section::Idle) {
        report::print_section("idle sessions, each measurement in its own process");
        idle::run(&sizing, &mut report)?;
    }
    if is_wanted(Section::Busy) {
        report::print_section("busy sessions, each time in a process of its own");
        busy::run(&sizing, &mut report)?;
    }
    if is_wanted(Section::DropIn) {
        report::print_section("HTTP service of rmcp, in this process, with either session manager");
        drop_in::run(&sizing, &mut report)?;
    }
    if is_wanted(Section::Http) {
        report::print_section("HTTP, each server in its own process");
        load::run(&sizing, options.seed, &mut report)?;
    }
    if is_wanted(Section::Tls) {
        report::print_section("the program and bare hyper, with TLS and without");
        tls::run(&sizing, options.seed, &mut report)?;
    }
    if is_wanted(Section::Cluster) {
        report::print_section("nodes of the program with a store, and without");
        cluster::run(&sizing, options.seed, &mut report)?;
    }
    if is_wanted(Section::Gateways) {
        report::print_section("gateways in front of a stdio server");
        gateway::run(&sizing, options.seed, &mut report)?;
    }
    report.finish(&options.output, options.seed)
}
