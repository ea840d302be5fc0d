//! Nodes on one store, with links, behind a balancer that knows nothing of sessions.

use std::{fs, path::PathBuf, time::Duration};

use rejoin_test_support::{
    Balancer, Client, Forwarder, Program, engine::Engine, free_port, processes::children,
    test_server_path,
};
use tempfile::TempDir;
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep, sleep_until},
};

/// The number of nodes.
pub(crate) const NODES: usize = 3;

/// How long a node must know the store before it takes sessions over: twice the time of a lease, and
/// what its start takes.
const GRACE: Duration = Duration::from_millis(3_200);

/// How long the balancer takes to notice that a node is not ready any more.
const LAG: Duration = Duration::from_millis(200);

/// The option with the address for other nodes.
const LISTEN: &str = "--cluster-listen=";

/// A cluster. The nodes have numbers.
pub(crate) struct Cluster {
    pub(crate) balancer: Balancer,
    /// The way of each node to the store, if the test disturbs it.
    pub(crate) stores: Vec<Forwarder>,
    /// The way of the others to each node, if the test disturbs it.
    pub(crate) links: Vec<Forwarder>,
    nodes: Vec<Node>,
    started_at: Instant,
    _directory: TempDir,
}

struct Node {
    /// `None` while it is dead.
    program: Option<Program>,
    options: Vec<String>,
}

impl Cluster {
    /// Starts nodes. `options` are those of all of them.
    pub(crate) async fn start(engine: &Engine, options: &[&str]) -> Self {
        Self::start_with(engine, options, false).await
    }

    /// Starts nodes whose ways to the store and to each other can be disturbed.
    pub(crate) async fn start_with_forwarders(engine: &Engine, options: &[&str]) -> Self {
        Self::start_with(engine, options, true).await
    }

    async fn start_with(engine: &Engine, options: &[&str], has_forwarders: bool) -> Self {
        let directory = TempDir::new().unwrap();
        let secret = secret_file(&directory, "0123456789abcdef0123456789abcdef");
        let (mut stores, mut links, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..NODES {
            let mut store = engine.address();
            let listen = format!("127.0.0.1:{}", free_port());
            let mut links_to = listen.clone();
            if has_forwarders {
                let (to_store, to_node) =
                    (Forwarder::start(&store).await, Forwarder::start(&listen).await);
                store.clone_from(&to_store.address);
                links_to.clone_from(&to_node.address);
                stores.push(to_store);
                links.push(to_node);
            }
            let own = [
                "--store".to_owned(),
                format!("redis://{store}"),
                format!("{LISTEN}{listen}"),
                format!("--cluster-advertise={links_to}"),
                format!("--cluster-secret-file={}", secret.display()),
            ];
            let options = own.into_iter().chain(options.iter().map(|&option| option.to_owned()));
            nodes.push(Node { program: None, options: options.collect() });
        }
        let balancer = Balancer::start(vec![String::new(); NODES]).await;
        let started_at = Instant::now();
        let mut cluster =
            Self { balancer, stores, links, nodes, started_at, _directory: directory };
        for node in 0..NODES {
            cluster.restart(node).await;
        }
        cluster
    }

    /// Returns a node that lives.
    pub(crate) fn node(&self, node: usize) -> &Program {
        self.nodes[node].program.as_ref().unwrap()
    }

    /// Returns the address where a node listens for others.
    pub(crate) fn link_address(&self, node: usize) -> &str {
        let option = self.nodes[node].options.iter().find_map(|option| option.strip_prefix(LISTEN));
        option.unwrap()
    }

    /// Returns the number of test servers that a node runs.
    pub(crate) fn servers(&self, node: usize) -> usize {
        let children = children(self.node(node).id());
        children.iter().filter(|child| child.command.contains(test_server_path())).count()
    }

    /// Kills a node.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].program.take().unwrap();
    }

    /// Starts a node (again).
    pub(crate) async fn restart(&mut self, node: usize) {
        let program = serve(self.nodes[node].options.clone()).await;
        self.balancer.replace(node, &program.address);
        self.nodes[node].program = Some(program);
        self.started_at = Instant::now();
    }

    /// Stops a node with SIGTERM, and starts it again. Until it is told that the node is not ready, the
    /// balancer sends requests to it.
    pub(crate) async fn replace(&mut self, node: usize) {
        let mut program = self.nodes[node].program.take().unwrap();
        program.signal("TERM");
        sleep(LAG).await;
        self.balancer.remove(node);
        let exited = program.exited(Duration::from_secs(30)).await;
        assert!(exited.expect("it exits").success());
        self.restart(node).await;
    }

    /// Waits until all nodes may take sessions over.
    pub(crate) async fn may_take_over(&self) {
        sleep_until(self.started_at + GRACE).await;
    }

    /// Creates a session that a node owns. Its client uses the balancer.
    pub(crate) async fn session_of(&self, node: usize) -> Client {
        let client = Client::initialize(&self.node(node).address).await;
        Client::new(&self.balancer.address).with_session(client.session())
    }

    /// Returns the same session at a node.
    pub(crate) fn at(&self, node: usize, client: &Client) -> Client {
        Client::new(&self.node(node).address).with_session(client.session())
    }
}

/// Starts a program, without holding up the other tasks of the test.
pub(crate) async fn serve(options: Vec<String>) -> Program {
    let options = move || {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        Program::serve(&options)
    };
    spawn_blocking(options).await.unwrap()
}

/// Writes a secret of links to a file.
pub(crate) fn secret_file(directory: &TempDir, secret: &str) -> PathBuf {
    let file = directory.path().join("secret");
    fs::write(&file, format!("{secret}\n")).unwrap();
    file
}
