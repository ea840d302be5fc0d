//! A TCP proxy that cuts connections after events of the server.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A proxy in front of one server.
pub(crate) struct CuttingProxy {
    pub(crate) url: String,
    cuts: Arc<AtomicUsize>,
}

impl CuttingProxy {
    /// Starts a proxy that cuts each connection when it has passed on `events` events.
    ///
    /// It cuts between two events, and never after the last bytes of a response: the client may
    /// then have sent the next request on the connection.
    pub(crate) fn start(server: &str, events: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let cuts = Arc::new(AtomicUsize::new(0));
        let (count, server) = (Arc::clone(&cuts), server.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(&server).unwrap();
                let (to_server, to_client) =
                    (server.try_clone().unwrap(), client.try_clone().unwrap());
                let count = Arc::clone(&count);
                thread::spawn(move || pass_on(client, to_server, |_| false));
                let mut passed = 0;
                thread::spawn(move || {
                    pass_on(server, to_client, |bytes| {
                        passed +=
                            bytes.windows(4).filter(|it| it == b"\nid:" || it == b"id: ").count();
                        let is_end = bytes.ends_with(b"0\r\n\r\n");
                        let cuts = passed >= events && !is_end;
                        count.fetch_add(usize::from(cuts), Ordering::SeqCst);
                        cuts
                    });
                });
            }
        });
        Self { url, cuts }
    }

    /// Returns how many connections it has cut.
    pub(crate) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

/// Passes bytes on until either side ends, or until `cuts` says so.
pub(crate) fn pass_on(mut from: TcpStream, mut to: TcpStream, mut cuts: impl FnMut(&[u8]) -> bool) {
    to.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() || cuts(&buffer[..length]) {
            break;
        }
    }
    // The other side may have ended them already.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
