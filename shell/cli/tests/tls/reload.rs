//! Certificates that are renewed.

use std::fs;

use super::fixture::{Served, Stream, count, read_progress};

/// Returns the certificate of the server.
fn certificate(stream: &Stream) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap().first().unwrap().to_vec()
}

#[tokio::test]
async fn a_renewed_certificate_is_for_new_connections() {
    let served = Served::start(&[]);
    let client = served.open().await;
    let mut call = served.send(count(&client, 1, 10, 100)).await;
    let first = certificate(&served.connect("h2", None).await.unwrap());
    served.ca.issue("second").write(served.directory.path());
    served.program.signal("HUP");
    served.logged("TLS certificate reloaded");
    let second = certificate(&served.connect("h2", None).await.unwrap());
    assert_ne!(first, second);
    assert_eq!(read_progress(&mut call, 0, None).await, (10, true), "an open connection goes on");
}

#[tokio::test]
async fn a_broken_file_changes_nothing() {
    let served = Served::start(&[]);
    let first = certificate(&served.connect("h2", None).await.unwrap());
    let key = served.directory.path().join("key.pem");
    // The key of another certificate, and no key.
    for text in [served.ca.issue("other").key, String::new()] {
        fs::write(&key, text).unwrap();
        served.program.signal("HUP");
        let line = served.logged("not reloaded");
        assert!(line.contains("nothing has changed") && line.contains("--tls-key"), "{line}");
        assert_eq!(certificate(&served.connect("h2", None).await.unwrap()), first);
    }
}
