//! The example `ws_chat` with the clients of Python's `websockets`.

use rustlet_ecosystem::works;

use rustlet_ecosystem::process::{bounded, installed, output, serve, text};

#[test]
fn websocket_chat_with_python_websockets() {
    // Debian's own, which is where Debian's package `python3-websockets` is.
    let python = "/usr/bin/python3";
    let has_package = || {
        output(bounded(python).args(["-c", "import websockets"]))
            .status
            .success()
    };
    if installed("python3").is_none() || !has_package() {
        assert!(
            rustlet_ecosystem::folder().is_none(),
            "python3-websockets is not installed"
        );
        eprintln!("skipped: python3-websockets is not installed");
        return;
    }
    let (server, address) = serve("ws_chat", &["--queue", "20", "127.0.0.1:0"]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/websocket.py");
    let said = text(bounded(python).args(["-u", script, &address]));
    assert!(said.ends_with("all well\n"), "{said}");
    server.end();
    works(
        "tungstenite",
        "tests/ecosystem/examples/ws_chat.rs",
        "",
        "Python's websockets: messages up to 1 MB, fragments, pings, closing, frames that break \
         the protocol, a chat of 20, a client that does not read",
    );
}
