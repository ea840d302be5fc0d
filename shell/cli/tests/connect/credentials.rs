//! Bearer tokens.

use std::fs;

use serde_json::json;

use crate::{
    application::Application,
    scripted_server::{Received, ScriptedServer, status},
};

#[test]
fn changed_token_is_read_again_and_the_call_sent_again() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "one\n").unwrap();
    let mut valid = "Bearer one";
    let server = ScriptedServer::start(move |request| {
        if request.is_call() && request.message["params"]["name"] == "expire" {
            valid = "Bearer two";
        }
        (request.header("authorization") != Some(valid)).then(|| status(401, ""))
    });
    let option = file.path().to_str().unwrap();
    let mut application = Application::initialize(&server.url, &["--bearer-file", option]);
    application.call(1, "expire", &json!({}));
    let (response, _) = application.response(1);
    let message = "the server refused the request with HTTP status 401";
    assert_eq!(response["error"]["message"], message);
    assert_eq!(response["error"]["data"]["executed"], "no");
    fs::write(file.path(), "two").unwrap();
    application.call(2, "tool", &json!({}));
    assert!(application.response(2).0["result"].is_object());
    application.leave();
    assert_eq!(server.count(Received::is_call), 3);
}
