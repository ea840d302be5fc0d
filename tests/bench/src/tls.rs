//! The cost of TLS: the demo server of `rejoin serve`, and bare hyper with rustls.

use std::{cell::RefCell, fs, path::Path, rc::Rc, sync::Arc};

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use crate::{
    gateway::{Gateway, Packages, free_port},
    load::{Endpoint, Random, Session, measure, warm_up},
    measure::{Flavor, Trial, interleave, plural},
    options::Sizing,
    process::Process,
    report::Report,
    server::{Kind, Server},
};

/// Number of connections, each with a session.
const CONNECTIONS: usize = 16;

/// Number of calls of each session before the measurement.
const WARMUP_CALLS: usize = 100;

const PROGRAM: &str = "rejoin serve, demo";
const BASELINES: [Kind; 2] = [Kind::HyperOnePart, Kind::HyperTwoParts];

/// Runs the section.
pub(crate) fn run(sizing: &Sizing, seed: u64, report: &mut Report) -> Result<()> {
    let text = Random::new(seed).word(24);
    let runtime = Rc::new(Flavor::CurrentThread.runtime()?);
    let packages = Packages::in_build_directory()?;
    let directory = packages.directory().join("tls");
    let connector = create_certificate(&directory)?;
    let mut workloads = Vec::new();
    for (protocol, tls) in [("HTTP", None), ("HTTPS", Some(connector))] {
        let files = tls.is_some().then_some(&*directory);
        let workload = format!("{protocol}, {}", plural(CONNECTIONS, "connection"));
        let mut trials = Vec::new();
        for kind in BASELINES {
            let server = Server::start_with(kind, &text, files)?;
            let endpoint = Endpoint { address: server.address, tls: tls.clone() };
            let process = server.process();
            let subject = (workload.clone(), kind.subject());
            let target = (endpoint, "/", process);
            trials.push(trial(subject, target, server, (&runtime, &text, sizing))?);
        }
        let port = free_port()?;
        let mut command = packages.rejoin_demo(port)?;
        if let Some(files) = files {
            command.arg("--tls-cert").arg(files.join(CERTIFICATE));
            command.arg("--tls-key").arg(files.join(KEY));
        }
        let program = Gateway::start(command, port)?;
        let endpoint = Endpoint { address: program.address, tls };
        let process = program.process();
        let target = (endpoint, "/mcp", process);
        let subject = (workload.clone(), PROGRAM);
        trials.push(trial(subject, target, program, (&runtime, &text, sizing))?);
        workloads.push((workload, trials));
    }
    // All of them in the same rounds.
    let names: Vec<_> = workloads.iter().map(|(name, _)| name.clone()).collect();
    let mut trials: Vec<_> = workloads.into_iter().flat_map(|(_, trials)| trials).collect();
    report.add(interleave(sizing.load_rounds, &mut trials)?);
    for name in names {
        for kind in BASELINES {
            report.compare(&name, PROGRAM, kind.subject());
        }
    }
    Ok(())
}

/// Returns a trial of echo calls in new sessions of a server, which runs until it is dropped.
fn trial<S: 'static>(
    (workload, subject): (String, &'static str),
    (endpoint, path, process): (Endpoint, &'static str, Process),
    server: S,
    (runtime, text, sizing): (&Rc<Runtime>, &str, &Sizing),
) -> Result<Trial> {
    let mut sessions = Vec::new();
    for _ in 0..CONNECTIONS {
        let session = runtime.block_on(Session::create(endpoint.clone(), path));
        sessions.push(session.context(subject)?);
    }
    runtime.block_on(warm_up(&mut sessions, text, WARMUP_CALLS)).context(subject)?;
    let (runtime, text, sessions) = (Rc::clone(runtime), text.to_owned(), RefCell::new(sessions));
    let duration = sizing.load_duration;
    let round = move || {
        let _server = &server;
        let mut current = sessions.take();
        let readings = runtime.block_on(measure(process, &mut current, &text, duration));
        sessions.replace(current);
        readings
    };
    Ok(Trial { workload, subject, round: Box::new(round) })
}

const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";

/// Writes a certificate and its key to a directory, and returns the TLS of clients that trust it.
fn create_certificate(directory: &Path) -> Result<TlsConnector> {
    fs::create_dir_all(directory)?;
    let generated = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    fs::write(directory.join(CERTIFICATE), generated.cert.pem())?;
    fs::write(directory.join(KEY), generated.signing_key.serialize_pem())?;
    let mut roots = RootCertStore::empty();
    roots.add(generated.cert.der().clone())?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

/// Returns the TLS of a server with the files of a directory.
pub(crate) fn acceptor(directory: &Path) -> Result<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_file(directory.join(CERTIFICATE))?;
    let key = PrivateKeyDer::from_pem_file(directory.join(KEY))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok(Arc::new(config).into())
}
